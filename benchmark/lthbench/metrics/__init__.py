"""One file per plug-in, found by its name."""
