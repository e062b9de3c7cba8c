"""Network modules in plain PyTorch; the records in ``architectures/`` build them."""
