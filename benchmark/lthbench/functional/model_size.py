"""The size and the cost of a network under its mask, counted from its layers."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn

from lthbench.masks import Mask, prunable


class Cost(NamedTuple):
    """Counts; FLOPs are those of convolutions and linear layers for one image, two for a multiply-add."""

    parameters: int
    nonzeros: int
    density_prunable: float
    density_all: float
    flops_dense: int
    flops_sparse: int
    bytes: int


def cost(model: nn.Module, mask: Mask | None, shape: tuple[int, int, int]) -> Cost:
    """The cost of a network for images of ``shape`` (channels, height, width).

    A pruned weight is one that the mask leaves out, not one that happens to be zero. With it go the
    operations that would multiply by it, at every position of the map.
    """
    held = mask or {}
    named = dict(model.named_parameters())
    kept = {n: int(held[n].sum()) if n in held else p.numel() for n, p in named.items()}
    total = sum(p.numel() for p in named.values())
    weights = prunable(model)
    dense = sparse = 0
    for name, positions in _positions(model, shape).items():
        dense += 2 * positions * named[f"{name}.weight"].numel()
        sparse += 2 * positions * kept[f"{name}.weight"]
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    bits = sum(named[n].numel() for n in held)
    nonzeros = sum(kept.values())
    return Cost(
        parameters=total,
        nonzeros=nonzeros,
        density_prunable=sum(kept[n] for n in weights) / sum(w.numel() for w in weights.values()),
        density_all=nonzeros / total,
        flops_dense=dense,
        flops_sparse=sparse,
        bytes=4 * nonzeros + (bits + 7) // 8 + buffers,
    )


@torch.no_grad()
def _positions(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, int]:
    """At how many places each convolution or linear layer applies its weights, by one pass of an image."""
    found: dict[str, int] = {}

    def count(name: str) -> Any:
        def hook(module: nn.Module, arguments: Any, made: torch.Tensor) -> None:
            found[name] = found.get(name, 0) + made.shape[2:].numel()

        return hook

    hooks = [
        module.register_forward_hook(count(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    parameter = next(model.parameters())
    model(torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype))
    for hook in hooks:
        hook.remove()
    return found
