"""The pure core of every metric, named as its metric."""
