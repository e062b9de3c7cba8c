"""Whether a device ran out of memory: libraries say so in words of their own."""

from __future__ import annotations

import torch

from lthbench.errors import because

FULL = "the device ran out of memory"

#: What PyTorch says for CUDA, cuDNN, and cuBLAS and its like. cuDNN tries one algorithm after the other, and
#: names no reason where memory sufficed for none.
_SAID = ("out of memory", "unable to find an engine", "ALLOC_FAILED")


def no_room(error: BaseException) -> bool:
    """Whether an error says that a device ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def lacking(error: BaseException) -> str:
    """The reason to give for an error that is ``no_room``; what a library says stands with it."""
    plain = isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)
    return FULL if plain else f"{FULL}, as it seems{because(error)}"
