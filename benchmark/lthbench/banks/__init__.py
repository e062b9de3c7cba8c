"""Banks of concepts: one file each."""
