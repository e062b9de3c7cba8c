"""Networks that were pruned elsewhere: their files, names and weights."""
