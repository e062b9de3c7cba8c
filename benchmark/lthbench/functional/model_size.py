"""The size and the cost of a network under its mask, counted from its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.backends import mha
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.conv import _ConvNd

from lthbench.errors import StepFailed
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
    Raises StepFailed for a network without prunable weights.
    """
    held = mask or {}
    named = dict(model.named_parameters())
    kept = {n: int(held[n].sum()) if n in held else p.numel() for n, p in named.items()}
    total = sum(p.numel() for p in named.values())
    weights = prunable(model)
    if not weights:
        raise StepFailed(
            "the network has no convolutions, so none of its weights can be pruned: name those that can by a "
            "method of its module, prunable_weights(), that returns a list of parameters' names"
        )
    dense, positions = _passed(model, shape)
    pruned = {n: p.numel() - kept[n] for n, p in named.items()}
    sparse = dense - sum(2 * count * pruned[name] for name, count in positions.items())
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
def operations(model: nn.Module, images: torch.Tensor) -> int:
    """The operations of a forward pass: those of all convolutions and matrix products, two a multiply-add."""
    from torch.utils.flop_counter import FlopCounterMode  # which loads for a second when it is first used

    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)  # one kernel for a layer, in which nothing is seen
    try:
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            model(images)
    finally:
        mha.set_fastpath_enabled(before)
    return int(counter.get_total_flops())


def _passed(model: nn.Module, shape: tuple[int, int, int]) -> tuple[int, dict[str, int]]:
    """The operations of a pass of one image, and at how many places the weights of convolutions, linear
    layers and attention are applied, by the names of parameters.

    Products of activations, as in attention, are among the operations.
    """
    found: dict[str, int] = {}
    names = {id(parameter): name for name, parameter in model.named_parameters()}

    def count(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], made: Any) -> None:
        for weight, places in _places(module, given, named, made):
            if id(weight) in names:  # what a layer computes from its parameters cannot be pruned
                name = names[id(weight)]
                found[name] = found.get(name, 0) + places

    kinds = (_ConvNd, nn.Linear, nn.MultiheadAttention)
    layers = [module for module in model.modules() if isinstance(module, kinds)]
    hooks = [module.register_forward_hook(count, with_kwargs=True) for module in layers]
    parameter = next(model.parameters())
    image = torch.zeros(1, *shape, device=parameter.device, dtype=parameter.dtype)
    try:
        total = operations(model, image)
    finally:
        for hook in hooks:
            hook.remove()
    return total, found


def _places(
    module: nn.Module, given: tuple[Any, ...], named: Mapping[str, Any], made: Any
) -> list[tuple[Any, int]]:
    """The weights of a layer, and how often each number of them is multiplied in a pass."""
    if isinstance(module, nn.MultiheadAttention):
        query, key, value = (
            given[i] if i < len(given) else named[name] for i, name in enumerate(("query", "key", "value"))
        )
        places = [(module.out_proj.weight, query.numel() // module.embed_dim)]
        if query.shape == key.shape == value.shape:  # else its rows are not applied equally often
            places.append((module.in_proj_weight, query.numel() // module.embed_dim))
        return places
    weight: Any = module.weight
    if isinstance(module, _ConvNd) and module.transposed:
        image = given[0] if given else named["input"]
        return [(weight, image.numel() // len(weight))]
    return [(weight, made.numel() // len(weight))]
