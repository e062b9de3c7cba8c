"""Commands with a module of their own. Nothing here imports torch, NumPy or pandas before it is needed."""
