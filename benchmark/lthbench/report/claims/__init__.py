"""What papers say, held to the tables."""
