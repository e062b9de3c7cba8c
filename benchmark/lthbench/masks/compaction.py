"""Networks without the channels that their masks take away: physically smaller, with the same outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import deepcopy

import torch
from torch import nn

from lthbench.compute.tracing import traceable
from lthbench.errors import StepFailed
from lthbench.masks.coupled import channels
from lthbench.masks.structured import channels_of, cuts
from lthbench.masks.units import Channels


def compact(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> nn.Module:
    """A copy in evaluation mode without the units that ``mask`` removes whole; ``model`` stays as it is.

    A unit goes where the mask holds nothing of what makes it, normalises it and reads it, so that the
    outputs are those of the masked network but for rounding. Parameters keep their names; what has ``heads``
    has fewer. Raises StepFailed where no unit goes.
    """
    if not traceable(model):
        raise StepFailed(
            "torch.fx cannot trace its forward pass, so that no channel can be followed: nothing gets smaller"
        )
    smaller = deepcopy(model).eval()
    found, coupled = cuts(model), channels(model)
    alone = channels_of(model, found)
    held = _held(model, mask, alone)
    held_together = _held(model, mask, coupled, whole=alone.made)
    if bool(held.all() and held_together.all()):
        raise StepFailed(
            "its mask removes no filter, neuron or head whole, with what reads it: nothing gets smaller"
        )
    for units, kept in ((alone, held), (coupled, held_together)):
        for layer, of_layer, axis in units.layers():
            left = units.left(of_layer, kept)
            if not bool(left.all()):
                _take(smaller.get_submodule(layer), left.nonzero()[:, 0], axis)
    for cut, group in zip(found, alone.groups, strict=True):
        if cut.heads and not bool(held[group].all()):
            smaller.get_submodule(cut.producer.rpartition(".")[0]).heads = int(held[group].sum())  # type: ignore[assignment]
    return smaller


def _held(
    model: nn.Module, mask: Mapping[str, torch.Tensor], found: Channels, whole: Iterable[str] = ()
) -> torch.Tensor:
    """The units of which a mask holds anything, bool ``[count]``: one of each group at least.

    Of layers that stay ``whole``, all that they make.
    """
    named = dict(model.named_parameters())
    held = torch.zeros(found.count, dtype=torch.bool)
    for layer in whole:
        own = found.made.get(layer)
        if own is not None:
            held[own[own >= 0]] = True
    for layer, units, axis in found.layers():
        for name in (f"{layer}.weight", f"{layer}.bias")[: 2 - axis]:
            if name in named:
                part = mask.get(name, torch.ones_like(named[name], dtype=torch.bool))
                some = part.transpose(0, axis).reshape(len(units), -1).any(1).cpu()
                held[units[some & (units >= 0)]] = True
    for group in found.groups:
        held[group[0]] |= not bool(held[group].any())
    return held


@torch.no_grad()
def _take(module: nn.Module, places: torch.Tensor, axis: int) -> None:
    """Keep some channels of a module: those that it makes or normalises (axis 0), or reads (axis 1)."""
    for name, parameter in module.named_parameters():
        if axis == 0 or name == "weight":
            chosen = parameter.index_select(axis, places.to(parameter.device)).contiguous()
            setattr(module, name, nn.Parameter(chosen, requires_grad=parameter.requires_grad))
    for name, buffer in module.named_buffers():
        if axis == 0 and buffer.dim() == 1:
            module.register_buffer(name, buffer.index_select(0, places.to(buffer.device)))
    if isinstance(module, nn.BatchNorm2d):
        module.num_features = len(places)
    elif isinstance(module, nn.Conv2d | nn.Linear):
        kind = "channels" if isinstance(module, nn.Conv2d) else "features"
        setattr(module, f"{'in' if axis else 'out'}_{kind}", len(places))
