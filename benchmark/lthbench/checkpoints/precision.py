"""In how many bits a checkpoint keeps its numbers, and which of its zeros rounding made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import torch

from lthbench.checkpoints.contents import Checkpoint
from lthbench.checkpoints.quantised import Stored
from lthbench.checkpoints.tensor_names import Part

#: Values of channels repeat where fewer than this share are different: those of float32 hardly do.
_REPEAT = 0.95


def stored(found: Checkpoint, parts: Mapping[str, Part], made: Mapping[str, str]) -> dict[str, Stored]:
    """How tensors were stored that were quantised, or take less than float32, by the network's names.

    ``made`` has the names of tensors of normalisations that were fused into convolutions, and what each is
    made of: but for their biases, their files have none of them.
    """
    places = {id(found.tensors[name]): own for name, own in found.stored.items()}
    for name, old in made.items():
        if old.endswith(".bias") and not name.endswith(".bias"):
            places[id(found.tensors[name])] = Stored(0, 0)
    ways = {}
    for name, part in parts.items():
        rows = [places.get(id(row)) or _float(row) for row in part.rows or (part.tensor,)]
        known = [row for row in rows if row is not None]
        if len(known) == len(rows) and len({row.bits for row in known}) == 1:
            ways[name] = known[0]._replace(beside=sum(row.beside for row in known))
    return ways


def _float(tensor: torch.Tensor) -> Stored | None:
    narrow = tensor.is_floating_point() and tensor.element_size() < 4
    return Stored(8 * tensor.element_size(), 0, floats=True) if narrow else None


def rounded_to_zero(weights: Iterable[torch.Tensor], coarse: bool = False) -> bool:
    """Whether zeros are what rounding left, and no pruned weights: as many as there are at the next levels.

    Rounding to levels puts about as many weights at zero as at the one above, or below; pruning at least
    twice as many. Where numbers are known to be ``coarse``, or repeat, levels are those of each output
    channel; else of each tensor, and fewer than two zeros in each are none.
    """
    rows = [weight.detach().float().flatten(1) for weight in weights]
    zeros = sum(int((own == 0).sum()) for own in rows)
    if 2 * zeros >= sum(own.numel() for own in rows):  # three bits leave less than half at zero
        return False
    if not coarse and sum(map(_different, rows)) > _REPEAT * (sum(own.numel() for own in rows) - zeros):
        rows = [own.reshape(1, -1) for own in rows]
    return zeros < 2 * max(sum(_nearest(sign * own) for own in rows) for sign in (1, -1))


def _different(rows: torch.Tensor) -> int:
    """How many different values there are beside zero, those of each row counted by themselves."""
    ordered = rows.sort(1).values
    return int((ordered.diff(dim=1) != 0).sum()) + len(rows) - int((rows == 0).any(1).sum())


def _nearest(rows: torch.Tensor) -> int:
    """How many weights have the smallest positive value of their row."""
    least = rows.masked_fill(rows <= 0, math.inf).amin(1, keepdim=True)
    return int((rows == least).sum())
