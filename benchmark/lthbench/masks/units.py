"""Units of a network that can be removed whole: where they are made and read, and which of them go first."""

from __future__ import annotations

import bisect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from lthbench.masks.selection import Mask, full, prunable, smallest_first


@dataclass(frozen=True)
class Channels:
    """Where the units of a network are made, normalised and read: by layer, the unit of each of its channels.

    Each is int64: ``made`` and ``norms`` ``[channels]``, ``reads`` ``[features]``; -1 stands for what stays.
    ``groups`` are the units that the same layers make, which lose the same share.
    """

    made: Mapping[str, torch.Tensor]
    norms: Mapping[str, torch.Tensor]
    reads: Mapping[str, torch.Tensor]
    groups: tuple[torch.Tensor, ...]

    @property
    def count(self) -> int:
        """One more than the largest unit."""
        return 1 + max((int(units.max()) for units in self.made.values() if len(units)), default=-1)

    def left(self, units: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
        """Which channels are left with the units that are ``kept``, bool ``[count]``; what stays, stays."""
        if not len(kept):
            return torch.ones_like(units, dtype=torch.bool)
        return torch.where(units < 0, True, kept[units.clamp(min=0)])

    def layers(self) -> Iterator[tuple[str, torch.Tensor, int]]:
        """Each layer, the units of its channels, and along which axis of its weight these lie."""
        for named, axis in ((self.made, 0), (self.norms, 0), (self.reads, 1)):
            for layer, units in named.items():
                yield layer, units, axis


def mask_of(model: nn.Module, found: Channels, kept: torch.Tensor) -> Mask:
    """The mask of a network without the units that ``kept``, bool ``[count]``, leaves out.

    Their biases, normalisations and what reads them go, too.
    """
    named = dict(model.named_parameters())
    mask = full(model)
    for layer, units, axis in found.layers():
        left = found.left(units, kept)
        for name in (f"{layer}.weight", f"{layer}.bias")[: 2 - axis]:
            if name in named and not bool(left.all()):
                part = mask.setdefault(name, torch.ones_like(named[name], dtype=torch.bool, device="cpu"))
                part.index_fill_(axis, (~left).nonzero()[:, 0], False)
    return mask


def highest(
    model: nn.Module,
    found: Channels,
    scores: Mapping[str, torch.Tensor],
    density: float,
    *,
    pooled: bool = False,
) -> torch.Tensor:
    """The units to keep, bool ``[count]``: those with the largest sums of scores over what makes them.

    The same share of each group goes, or where ``pooled`` the smallest of all groups together. As many go as
    bring the prunable weights nearest to density * N; each group keeps one unit at least.
    """
    totals = torch.zeros(found.count, dtype=torch.float64)
    for layer, units in found.made.items():
        rows = scores[f"{layer}.weight"].detach().double().cpu().flatten(1).sum(1)
        totals.index_add_(0, units[units >= 0], rows[units >= 0])
    ranked = [group[smallest_first(totals[group])].tolist() for group in found.groups]
    shapes = {name.removesuffix(".weight"): w.shape for name, w in prunable(model).items()}
    # Units in the order of removal: in step, so that all groups lose the same share, or by their scores.
    steps = sorted(
        (float(totals[unit]) if pooled else (i + 1) / len(units), place, i, unit)
        for place, units in enumerate(ranked)
        for i, unit in enumerate(units[:-1])
    )

    def kept_after(count: int) -> torch.Tensor:
        kept = torch.ones(found.count, dtype=torch.bool)
        kept[[unit for *_, unit in steps[:count]]] = False
        return kept

    def off(count: int) -> float:
        return weights_left(found, kept_after(count), shapes) - target

    target = density * sum(shape.numel() for shape in shapes.values())
    enough = bisect.bisect_left(range(len(steps)), 0.0, key=lambda count: -off(count))
    return kept_after(min((max(enough - 1, 0), enough), key=lambda count: abs(off(count))))


def weights_left(found: Channels, kept: torch.Tensor, shapes: Mapping[str, torch.Size]) -> int:
    """How many weights are left of layers of these shapes with the units that are ``kept``."""
    total = 0
    for layer, (rows, columns, *area) in shapes.items():
        if layer in found.made:
            rows = int(found.left(found.made[layer], kept).sum())
        if layer in found.reads:
            columns = int(found.left(found.reads[layer], kept).sum())
        total += rows * columns * math.prod(area)
    return total
