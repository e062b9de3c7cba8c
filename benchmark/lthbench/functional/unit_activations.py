"""What the units of a layer do: their activations on images, as concept metrics read them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lthbench.compute.memory import beyond
from lthbench.errors import StepFailed
from lthbench.inference.batches import as_pixels, at_once
from lthbench.kinds import Pixels

#: A unit whose activations differ by less than this is dead (von Rad & Seuffert 2024).
DEAD = 1e-8


@torch.no_grad()
def activations(
    model: nn.Module, layers: Sequence[str], pixels: NDArray[np.uint8]
) -> dict[str, NDArray[np.float32]]:
    """The outputs of layers for images ``[N, C, H, W]``: float32 ``[N, units, h, w]`` each. Raises
    StepFailed.
    """
    seen: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    found: dict[str, NDArray[np.float32]] = {}

    def keep(layer: str) -> Any:
        # A copy also where the network is on the CPU: what follows may work in place.
        return lambda module, arguments, made: seen[layer].append(
            made.detach().to("cpu", torch.float32, copy=True)
        )

    hooks = []
    device = next(model.parameters()).device
    size = at_once(device, *pixels.shape[2:])
    try:
        for layer in layers:
            try:
                hooks.append(model.get_submodule(layer).register_forward_hook(keep(layer)))
            except AttributeError as error:
                raise StepFailed(f"the network has no layer {layer!r}") from error
        for start in range(0, len(pixels), size):
            some = np.ascontiguousarray(pixels[start : start + size])
            model(as_pixels(some, device))
            for layer, parts in seen.items():
                if not parts or parts[0].dim() != 4:
                    raise StepFailed(f"layer {layer!r} has no grid of units")
                _once(layer, parts, len(some))
                if not torch.isfinite(parts[0]).all():
                    raise StepFailed(f"activations of layer {layer!r} are not finite")
            if start == 0:
                found = _room(seen, len(pixels))
            for layer, parts in seen.items():
                found[layer][start : start + size] = parts.pop()
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _room(first: Mapping[str, list[torch.Tensor]], images: int) -> dict[str, NDArray[np.float32]]:
    """Where the activations of all images go, by the ``first`` of them. Raises StepFailed for too many."""
    shapes = {layer: (images, *parts[0].shape[1:]) for layer, parts in first.items()}
    if more := beyond(sum(4 * math.prod(shape) for shape in shapes.values())):
        raise StepFailed(
            f"activations on {images:,} images take {more}: set concept_images of the budget to fewer"
        )
    return {layer: np.empty(shape, dtype=np.float32) for layer, shape in shapes.items()}


def pooled(model: nn.Module, layers: Sequence[str], pixels: Pixels) -> dict[str, NDArray[np.float32]]:
    """Spatial means of the ``activations`` of layers, float32 ``[N, units]`` each: the same to the bit.

    Batch by batch, so that neither all maps are in memory nor all images of a stream. Raises StepFailed.
    """
    size = at_once(next(model.parameters()).device, *pixels.shape[2:])
    parts = []
    for start in range(0, len(pixels), size):
        made = activations(model, layers, pixels[start : start + size])
        parts.append({layer: maps.mean((2, 3)) for layer, maps in made.items()})
    return {layer: np.concatenate([part[layer] for part in parts]) for layer in layers}


def _once(layer: str, parts: Sequence[torch.Tensor], images: int) -> None:
    """Raise StepFailed for a layer that gave more outputs than there are images."""
    if sum(map(len, parts)) != images:
        raise StepFailed(f"layer {layer!r} is called more than once in a pass: it has no maps of its own")


def blocks(model: nn.Module) -> tuple[str, ...]:
    """The parts of a network that hold several convolutions each, such as stages and inception blocks."""

    def many(part: nn.Module) -> bool:
        return sum(isinstance(module, nn.Conv2d) for module in part.modules()) > 1

    return tuple(name for name, part in model.named_children() if many(part))


@torch.no_grad()
def means(
    model: nn.Module, layers: Sequence[str], pixels: NDArray[np.uint8]
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.float32]]:
    """Spatial means of the units of layers for images ``[N, C, H, W]``, float32 ``[N, units]`` each, and the
    probabilities of the classes ``[N, classes]``. No maps are kept. Raises StepFailed.
    """
    seen: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}

    def keep(layer: str) -> Any:
        def hook(module: nn.Module, arguments: Any, made: torch.Tensor) -> None:
            if made.dim() != 4:
                raise StepFailed(f"layer {layer!r} has no grid of units")
            seen[layer].append(made.detach().float().mean((2, 3)).cpu())

        return hook

    device = next(model.parameters()).device
    size = at_once(device, *pixels.shape[2:])
    hooks = [model.get_submodule(layer).register_forward_hook(keep(layer)) for layer in layers]
    chances = []
    try:
        for start in range(0, len(pixels), size):
            logits = model(as_pixels(np.ascontiguousarray(pixels[start : start + size]), device))
            chances.append(torch.softmax(logits.float(), 1).cpu())
    finally:
        for hook in hooks:
            hook.remove()
    for layer, parts in seen.items():
        _once(layer, parts, len(pixels))
    found = {layer: torch.cat(parts).numpy() for layer, parts in seen.items()}
    for layer, units in found.items():
        if not np.isfinite(units).all():
            raise StepFailed(f"activations of layer {layer!r} are not finite")
    return found, torch.cat(chances).numpy()


def dead(activations: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which units never change, ``[units]``."""
    spread = activations.max((0, 2, 3)) - activations.min((0, 2, 3))
    found: NDArray[np.bool_] = spread < DEAD
    return found


def dead_without(activations: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many units never change where each image in turn is left out, ``[N]``."""
    least, most = np.sort(activations.min((2, 3)), axis=0), np.sort(activations.max((2, 3)), axis=0)
    n, places = len(activations), np.arange(activations.shape[1])
    if n == 1:
        return np.full(1, len(places))
    # Leaving out the image that has a unit's largest value leaves the second largest; so for the least.
    low, high = np.tile(least[0], (n, 1)), np.tile(most[-1], (n, 1))
    low[activations.min((2, 3)).argmin(0), places] = least[1]
    high[activations.max((2, 3)).argmax(0), places] = most[-2]
    found: NDArray[np.int64] = (high - low < DEAD).sum(1)
    return found
