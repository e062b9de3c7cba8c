"""Networks without the channels that their masks take away: physically smaller, with the same outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy

import torch
from torch import nn

from lthbench.compute.tracing import traceable
from lthbench.errors import StepFailed
from lthbench.masks.coupled import channels
from lthbench.masks.structured import Cut, by_unit, cuts


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
    every = cuts(model)
    found = [(cut, kept) for cut in every if not bool((kept := _kept(model, cut, mask)).all())]
    coupled = _uncoupled(smaller, model, every, mask)
    if not found and not coupled:
        raise StepFailed(
            "its mask removes no filter, neuron or head whole, with what reads it: nothing gets smaller"
        )
    for cut, kept in found:
        channels = len(model.get_parameter(f"{cut.producer}.weight"))
        places = kept[cut.unit_of(channels)].nonzero()[:, 0]
        _take(smaller.get_submodule(cut.producer), places, 0)
        for norm in cut.norms:
            _take(smaller.get_submodule(norm), places, 0)
        for consumer in cut.consumers:
            features = model.get_parameter(f"{consumer}.weight").shape[1]
            columns = kept[cut.read_of(channels, features)].nonzero()[:, 0]
            _take(smaller.get_submodule(consumer), columns, 1)
        if cut.heads:
            smaller.get_submodule(cut.producer.rpartition(".")[0]).heads = int(kept.sum())  # type: ignore[assignment]
    return smaller


def _uncoupled(
    smaller: nn.Module, model: nn.Module, alone: Sequence[Cut], mask: Mapping[str, torch.Tensor]
) -> bool:
    """Take out the units that ``mask`` removes in all layers that make them; whether there are any.

    Those of ``alone``, which one layer makes and nothing else reads, are left to others.
    """
    found, named = channels(model), dict(model.named_parameters())
    held = torch.zeros(found.count, dtype=torch.bool)
    for cut in alone:
        own = found.made.get(cut.producer)
        if own is not None:
            held[own[own >= 0]] = True
    for layers, axis in ((found.made, 0), (found.norms, 0), (found.reads, 1)):
        for layer, units in layers.items():
            for name in (f"{layer}.weight", f"{layer}.bias") if axis == 0 else (f"{layer}.weight",):
                if name in named:
                    part = mask.get(name, torch.ones_like(named[name], dtype=torch.bool))
                    some = part.transpose(0, axis).reshape(len(units), -1).any(1).cpu()
                    held[units[some & (units >= 0)]] = True
    for group in found.groups:
        held[group[0]] |= not bool(held[group].any())
    for layers, axis in ((found.made, 0), (found.norms, 0), (found.reads, 1)):
        for layer, units in layers.items():
            left = found.left(units, held)
            if not bool(left.all()):
                _take(smaller.get_submodule(layer), left.nonzero()[:, 0], axis)
    return not bool(held.all())


def _kept(model: nn.Module, cut: Cut, mask: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Which units of a layer are left, bool ``[units]``; one at least."""
    named = dict(model.named_parameters())
    channels = len(named[f"{cut.producer}.weight"])
    units = cut.units(channels)
    kept = torch.zeros(units, dtype=torch.bool)
    for module in (cut.producer, *cut.norms):
        for name in (f"{module}.weight", f"{module}.bias"):
            if name in named:
                held = mask.get(name)
                if held is None:
                    return torch.ones_like(kept)
                kept |= by_unit(cut, held.reshape(channels, -1).any(1).int()) > 0
    for consumer in cut.consumers:
        held = mask.get(f"{consumer}.weight")
        if held is None:
            return torch.ones_like(kept)
        kept |= held.transpose(0, 1).reshape(units, -1).any(1).cpu()
    if not kept.any():
        kept[0] = True
    return kept


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
