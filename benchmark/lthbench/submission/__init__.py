"""Tables handed in: bundles written, read, verified and run again."""
