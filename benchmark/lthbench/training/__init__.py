"""The training loop: one network, many together, and what is kept on the way."""
