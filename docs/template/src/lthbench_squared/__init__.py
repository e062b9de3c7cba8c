"""A pruning method for lthbench: keep the largest squares."""
