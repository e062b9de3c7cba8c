"""Masks: exact global top-k with stable ties, how to apply and count them, and when a layer is empty.

A mask is ``{parameter name: bool tensor of the weight's shape}``, True where the weight is kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import nn

from lthbench.errors import StepFailed

Mask = dict[str, torch.Tensor]


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The weights that can be pruned: of all convolutions, the first one included; not BN, not the head."""
    convolutions = [f"{n}.weight" for n, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    named = dict(model.named_parameters())
    return {name: named[name] for name in convolutions}


def top(
    scores: Mapping[str, torch.Tensor], density: float, within: Mapping[str, torch.Tensor] | None = None
) -> Mask:
    """Keep the round(density * N) highest of all N scores together.

    Ties go to the earlier weight (parameters in the order given, row-major within one), so the count is
    exact and the mask does not depend on the device. With ``within``, only weights that it keeps can be
    kept, so masks nest; asking for more than it holds is an error.
    """
    total = sum(s.numel() for s in scores.values())
    keep = round(density * total)
    flat = torch.cat([s.detach().reshape(-1).double().cpu() for s in scores.values()])
    if not bool(torch.isfinite(flat).all()):
        bad = [name for name, s in scores.items() if not bool(torch.isfinite(s).all())]
        raise StepFailed(f"scores are not finite in {', '.join(bad)}")
    if within is not None:
        allowed = torch.cat([within[name].reshape(-1).cpu() for name in scores])
        if keep > int(allowed.sum()):
            raise StepFailed(f"cannot keep {keep} weights: the mask pruned within holds {int(allowed.sum())}")
        flat = flat.masked_fill(~allowed, -math.inf)
    kept = torch.zeros(total, dtype=torch.bool)
    kept[torch.sort(flat, descending=True, stable=True).indices[:keep]] = True
    parts = torch.split(kept, [s.numel() for s in scores.values()])
    return {name: part.reshape(s.shape) for (name, s), part in zip(scores.items(), parts, strict=True)}


@torch.no_grad()
def apply(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> None:
    """Set the pruned weights to zero."""
    for name, weight in prunable(model).items():
        if name in mask:
            weight.masked_fill_(~mask[name].to(weight.device), 0.0)


def count(mask: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, int]]:
    """For each layer, how many weights are kept and how many there are."""
    return {name: (int(m.sum()), m.numel()) for name, m in mask.items()}


def collapsed(mask: Mapping[str, torch.Tensor]) -> list[str]:
    """The layers of which nothing is left."""
    return [name for name, (kept, _) in count(mask).items() if kept == 0]
