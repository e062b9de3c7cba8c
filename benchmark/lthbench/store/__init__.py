"""Artefacts under the hash of the step that made them, on disk or on an object store."""
