"""Networks without the channels that their masks take away: physically smaller, with the same outputs."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy

import torch
from torch import nn

from lthbench.errors import StepFailed
from lthbench.masks.structured import Cut, cuts


def compact(model: nn.Module, mask: Mapping[str, torch.Tensor]) -> nn.Module:
    """A copy in evaluation mode without the channels that ``mask`` removes whole; ``model`` stays as it is.

    A channel goes where the mask holds nothing of what makes it, normalises it and reads it, so that the
    outputs are those of the masked network but for rounding. Parameters keep their names. Raises StepFailed
    where no channel goes.
    """
    smaller = deepcopy(model).eval()
    found = [(cut, kept) for cut in cuts(model) if not bool((kept := _kept(model, cut, mask)).all())]
    if not found:
        raise StepFailed(
            "its mask removes no filter whole, with what reads it: there is nothing to make smaller"
        )
    for cut, kept in found:
        places = kept.nonzero()[:, 0]
        _take(smaller.get_submodule(cut.producer), places, 0)
        for norm in cut.norms:
            _take(smaller.get_submodule(norm), places, 0)
        for consumer in cut.consumers:
            weight = model.get_parameter(f"{consumer}.weight")
            spread = weight.shape[1] // len(kept)  # flattened maps: several features for each channel
            columns = (places[:, None] * spread + torch.arange(spread)).reshape(-1)
            _take(smaller.get_submodule(consumer), columns, 1)
    return smaller


def _kept(model: nn.Module, cut: Cut, mask: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Which channels of a convolution are left, bool ``[out]``; one at least."""
    named = dict(model.named_parameters())
    channels = len(named[f"{cut.producer}.weight"])
    kept = torch.zeros(channels, dtype=torch.bool)
    for module in (cut.producer, *cut.norms):
        for name in (f"{module}.weight", f"{module}.bias"):
            if name in named:
                held = mask.get(name)
                kept |= torch.ones_like(kept) if held is None else held.reshape(channels, -1).any(1).cpu()
    for consumer in cut.consumers:
        held = mask.get(f"{consumer}.weight")
        if held is None:
            return torch.ones_like(kept)
        kept |= held.transpose(0, 1).reshape(channels, -1).any(1).cpu()
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
    elif isinstance(module, nn.Conv2d):
        if axis:
            module.in_channels = len(places)
        else:
            module.out_channels = len(places)
    elif isinstance(module, nn.Linear):
        module.in_features = len(places)
