"""Random numbers: one generator for each purpose and seed."""

from __future__ import annotations

import hashlib

import torch


def generator(*purpose: object) -> torch.Generator:
    """A CPU generator seeded by a hash of what it is for."""
    text = "/".join(str(p) for p in purpose)
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(seed)
