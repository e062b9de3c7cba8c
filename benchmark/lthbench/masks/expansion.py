"""Networks whose layers were made narrower, at full width again: what is left out comes back as zeros.

Outputs stay: a unit of zeros, with what reads it, adds nothing. Which of a layer's units are gone cannot be
told from a narrower one, and does not matter: the first are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from lthbench.compute.tracing import traceable
from lthbench.masks.coupled import channels
from lthbench.masks.selection import Mask
from lthbench.masks.structured import Cut, by_producer, channels_of, cuts, mask_without
from lthbench.masks.units import Channels, mask_of

Places = dict[str, tuple[torch.Tensor | None, torch.Tensor | None]]


@dataclass(frozen=True)
class Narrower:
    """A network of which units are gone: for each tensor by name, the places of what is left along its first
    and its second axis (None: all); and the mask of the full network without these units.
    """

    places: Places
    mask: Mask

    def shapes(self, whole: Mapping[str, torch.Size]) -> dict[str, torch.Size]:
        """The shapes of the narrower network's tensors, of those of the full one."""
        found = {}
        for name, shape in whole.items():
            at = self.places.get(name, (None, None))
            sizes = [*((s if a is None else len(a)) for s, a in zip(shape, at, strict=False)), *shape[2:]]
            found[name] = torch.Size(sizes)
        return found

    def widened(self, name: str, tensor: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """A tensor of the narrower network at full width, on the CPU: zeros around it, variances of 1."""
        rows, columns = self.places.get(name, (None, None))
        if rows is None and columns is None:
            return tensor
        tensor = tensor.cpu()
        whole = torch.full(shape, float(name.endswith("running_var")), dtype=tensor.dtype)
        at = torch.arange(shape[0]) if rows is None else rows
        if columns is None:
            whole[at] = tensor
        else:
            whole[at[:, None], columns] = tensor
        return whole


def narrower(model: nn.Module, shapes: Mapping[str, torch.Size]) -> Narrower | None:
    """What is left of ``model`` in a narrower network with tensors of these shapes.

    None where it is not narrower, or not as filters, alone or together, neurons and heads can go; and where
    these cannot be found, as its forward pass cannot be traced.
    """
    if not traceable(model):
        return None
    state = model.state_dict()
    found, alone = channels(model), list[Cut]()
    if not found.groups:
        alone = cuts(model)
        found = channels_of(model, alone)
    kept = _first(found, shapes)
    if kept is None or bool(kept.all()):
        return None
    places: Places = {}
    for layer, units, axis in found.layers():
        left = found.left(units, kept)
        for kind in ("weight", "bias", "running_mean", "running_var")[: 1 if axis else None]:
            name = f"{layer}.{kind}"
            if name in state and not bool(left.all()):
                rows, columns = places.get(name, (None, None))
                at = left.nonzero()[:, 0]
                places[name] = (rows, at) if axis else (at, columns)
    if alone:
        mask = mask_without(model, alone, by_producer(alone, found, kept))
    else:
        mask = mask_of(model, found, kept)
    narrow = Narrower(places, mask)
    expected = narrow.shapes({name: tensor.shape for name, tensor in state.items()})
    return narrow if all(shapes.get(name, shape) == shape for name, shape in expected.items()) else None


def _first(found: Channels, shapes: Mapping[str, torch.Size]) -> torch.Tensor | None:
    """The first units of each group, bool ``[count]``: as many as a layer with these shapes makes.

    None where it makes none, more than there are, or a part of one.
    """
    kept = torch.ones(found.count, dtype=torch.bool)
    for group in found.groups:
        units = set(group.tolist())
        made = ((layer, [u for u in own.tolist() if u in units]) for layer, own in found.made.items())
        maker, own = next((layer, own) for layer, own in made if own)
        # Of a head there are several channels.
        count, rest = divmod((shapes.get(f"{maker}.weight") or (0,))[0], len(own) // len(set(own)))
        if rest or not 1 <= count <= len(group):
            return None
        kept[group[count:]] = False
    return kept
