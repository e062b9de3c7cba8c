"""Doing steps in one process: what a step reads and publishes."""
