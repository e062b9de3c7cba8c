"""From a request to steps, and what they cost: nothing here imports torch."""
