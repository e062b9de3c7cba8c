"""The size and the cost of a network under its mask, counted from its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from lthbench.compute.tracing import PRODUCTS, called
from lthbench.masks import Mask, prunable


class Cost(NamedTuple):
    """Counts; FLOPs are those of convolutions, linear layers and attention for one image, two for a
    multiply-add.
    """

    parameters: int
    nonzeros: int
    density_prunable: float
    density_all: float
    flops_dense: int
    flops_sparse: int
    bytes: int


def cost(
    model: nn.Module,
    mask: Mask | None,
    shape: tuple[int, int, int],
    stored: Mapping[str, tuple[int, int]] | None = None,
) -> Cost:
    """The cost of a network for images of ``shape`` (channels, height, width).

    A pruned weight is one that the mask leaves out, not one that happens to be zero. With it go the
    operations that would multiply by it, at every position of the map. ``stored`` has the bits of a value and
    the bytes of scales for parameters and buffers that were quantised, by name; other weights take 32 bits.
    """
    held = mask or {}
    named = dict(model.named_parameters())
    kept = {n: int(held[n].sum()) if n in held else p.numel() for n, p in named.items()}
    total = sum(p.numel() for p in named.values())
    weights = prunable(model)
    dense, positions = _passed(model, shape)
    pruned = {n: p.numel() - kept[n] for n, p in named.items()}
    sparse = dense - sum(2 * count * pruned[f"{name}.weight"] for name, count in positions.items())
    others = {n: (8 * b.element_size(), 0) for n, b in model.named_buffers()} | dict(stored or {})
    buffers = sum(b.numel() * others[n][0] // 8 for n, b in model.named_buffers())
    bits = sum(named[n].numel() for n in held)
    nonzeros = sum(kept.values())
    sizes = {n: (stored or {}).get(n, (32, 0)) for n in named}
    values = sum(kept[n] * width for n, (width, _) in sizes.items())
    scales = sum(beside for _, beside in sizes.values())
    return Cost(
        parameters=total,
        nonzeros=nonzeros,
        density_prunable=sum(kept[n] for n in weights) / sum(w.numel() for w in weights.values()),
        density_all=nonzeros / total,
        flops_dense=dense,
        flops_sparse=sparse,
        bytes=(values + 7) // 8 + scales + (bits + 7) // 8 + buffers,
    )


@torch.no_grad()
def _passed(model: nn.Module, shape: tuple[int, int, int]) -> tuple[int, dict[str, int]]:
    """The operations of a pass of one image, and at how many places each convolution or linear layer applies
    its weights.

    Products of activations, as in attention, are among the operations.
    """
    found: dict[str, int] = {}

    def count(name: str) -> Any:
        def hook(module: nn.Module, arguments: Any, made: torch.Tensor) -> None:
            found[name] = found.get(name, 0) + made.numel() // len(module.weight)  # type: ignore[arg-type]

        return hook

    hooks = [
        module.register_forward_hook(count(name))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d | nn.Linear)
    ]
    parameter = next(model.parameters())
    image = torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype)
    products = called(model, image) & PRODUCTS
    for hook in hooks:
        hook.remove()
    if not products:
        return sum(2 * n * model.get_parameter(f"{name}.weight").numel() for name, n in found.items()), found
    from torch.utils.flop_counter import FlopCounterMode  # which loads for a second when it is first used

    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        model(image)
    return counter.get_total_flops(), found
