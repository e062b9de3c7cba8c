"""The hash of a network made elsewhere, which stands in its step: what is stored must have it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from lthbench.spec import Given, Network

if TYPE_CHECKING:
    import torch


#: Names that say nothing about a network's output in evaluation mode.
IDLE = re.compile(r"(^|\.)(num_batches_tracked|total_ops|total_params)$|(^|\.)aux(1|2|iliary_head)\.")


def digest(weights: Mapping[str, torch.Tensor], mask: Mapping[str, torch.Tensor] | None) -> str:
    """Sha256 (hex) of names, shapes and bytes (float32, int64) of the weights, and of the mask."""
    total = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name]
        if name.endswith("num_batches_tracked"):  # nothing is computed with it
            continue
        total.update(f"\n{name} {tuple(tensor.shape)} ".encode())
        total.update(tensor.numpy().astype("<f4" if tensor.is_floating_point() else "<i8").tobytes())
    for name in sorted(mask or {}):
        total.update(f"\nmask {name} ".encode() + np.packbits((mask or {})[name].numpy()).tobytes())
    return total.hexdigest()


def has_digest(
    step: Given, weights: Mapping[str, torch.Tensor], mask: Mapping[str, torch.Tensor] | None
) -> bool:
    """Whether stored weights and their mask are those that a step names.

    The tensors that pixels are normalised by are in the digest where a last layer was drawn; elsewhere they
    come from the step's network, whose numbers they must hold. What is ``IDLE`` and was in no file is stored
    as zeros.
    """
    others = {n: t for n, t in weights.items() if not _normalizes(n, t, step.network)}
    forms = [others, weights]
    forms += [{n: t for n, t in form.items() if not IDLE.search(n) or t.any()} for form in forms]
    return any(digest(held, mask) == step.digest for held in forms)


def _normalizes(name: str, tensor: torch.Tensor, network: Network) -> bool:
    """Whether a tensor is the mean or the standard deviation of a network's pixels."""
    import torch

    values = {"mean": network.mean, "std": network.std}.get(name.rpartition(".")[2])
    if values is None or not tensor.is_floating_point():
        return False
    return torch.equal(tensor.flatten(), torch.tensor(values, dtype=tensor.dtype, device=tensor.device))
