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
from lthbench.masks.coupled import Channels, channels, mask_of
from lthbench.masks.selection import Mask
from lthbench.masks.structured import Cut, cuts, mask_without

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
    found = channels(model)
    left = _of_channels(model, found, state, shapes) if found.groups else _of_cuts(model, state, shapes)
    if left is None or not left.places:
        return None
    expected = left.shapes({name: tensor.shape for name, tensor in state.items()})
    return left if all(shapes.get(name, shape) == shape for name, shape in expected.items()) else None


def _of_channels(
    model: nn.Module, found: Channels, state: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size]
) -> Narrower | None:
    kept = torch.ones(found.count, dtype=torch.bool)
    for group in found.groups:
        units = set(group.tolist())
        maker = next(layer for layer, own in found.made.items() if units & set(own.tolist()))
        count = (shapes.get(f"{maker}.weight") or (0,))[0]
        if not 1 <= count <= len(group):
            return None
        kept[group[count:]] = False
    places: Places = {}
    for layers in (found.made, found.norms):
        for layer, units_of in layers.items():
            left = found.left(units_of, kept)
            if not bool(left.all()):
                _add_rows(places, layer, state, left.nonzero()[:, 0])
    for layer, units_of in found.reads.items():
        left = found.left(units_of, kept)
        if not bool(left.all()):
            name = f"{layer}.weight"
            places[name] = (places.get(name, (None, None))[0], left.nonzero()[:, 0])
    return Narrower(places, mask_of(model, found, kept))


def _of_cuts(
    model: nn.Module, state: Mapping[str, torch.Tensor], shapes: Mapping[str, torch.Size]
) -> Narrower | None:
    found, kept = cuts(model), dict[str, torch.Tensor]()
    places: Places = {}
    for cut in found:
        made = f"{cut.producer}.weight"
        whole = len(state[made])
        units = cut.units(whole)
        count, rest = divmod((shapes.get(made) or (0,))[0] * units, whole)
        if rest or not 1 <= count <= units:
            return None
        kept[cut.producer] = torch.arange(units) < count
        if count < units:
            _add(places, cut, state, kept[cut.producer])
    return Narrower(places, mask_without(model, found, kept))


def _add_rows(found: Places, module: str, state: Mapping[str, torch.Tensor], rows: torch.Tensor) -> None:
    for kind in ("weight", "bias", "running_mean", "running_var"):
        name = f"{module}.{kind}"
        if name in state:
            found[name] = (rows, found.get(name, (None, None))[1])


def _add(found: Places, cut: Cut, state: Mapping[str, torch.Tensor], kept: torch.Tensor) -> None:
    """Add the places of the units of a layer that are ``kept``, bool ``[units]``."""
    channels = len(state[f"{cut.producer}.weight"])
    rows = kept[cut.unit_of(channels)].nonzero()[:, 0]
    for module in (cut.producer, *cut.norms):
        _add_rows(found, module, state, rows)
    for consumer in cut.consumers:
        name = f"{consumer}.weight"
        columns = kept[cut.read_of(channels, state[name].shape[1])].nonzero()[:, 0]
        found[name] = (found.get(name, (None, None))[0], columns)
