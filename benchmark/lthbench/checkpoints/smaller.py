"""Checkpoints of networks smaller than the task's: layers without some of their units, or other widths.

The first are the full network with a mask, the second networks of their own, as the method ``small`` trains.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

import torch

from lthbench.checkpoints import skeletons
from lthbench.checkpoints.tensor_names import Part, idle
from lthbench.kinds import Architecture
from lthbench.masks.expansion import Narrower
from lthbench.spec import Network


def wide(
    parts: Mapping[str, Part], target: Mapping[str, torch.Size], left: Narrower | None
) -> dict[str, Part]:
    """The parts of a narrower network as those of the full one, by its names."""
    if left is None:
        return dict(parts)
    return {
        name: Part(
            left.widened(name, part.tensor, target[name]),
            None if part.mask is None else left.widened(name, part.mask, target[name]),
        )
        for name, part in parts.items()
    }


def of_other_widths(
    architecture: Architecture, network: Network, shapes: Mapping[str, torch.Size]
) -> Network | None:
    """The network with the widths that tensors of these shapes have; None where there are no such widths.

    Which width stands where is seen from a network whose widths are different primes.
    """
    usual = network.widths or architecture.widths
    if not usual:
        return None
    marks = dict(zip(_primes(), range(len(usual)), strict=False))
    marked = skeletons.skeleton(architecture, dataclasses.replace(network, widths=tuple(marks)))
    found: dict[int, int] = {}
    for name, shape in skeletons.shapes(marked).items():
        there = shapes.get(name, torch.Size())
        for size, own in zip(shape, there, strict=False):
            for prime, place in marks.items():
                if size % prime == 0 and own % (size // prime) == 0:
                    found.setdefault(place, own // (size // prime))
    widths = tuple(found.get(place, 0) for place in range(len(usual)))
    if widths == tuple(usual) or min(widths) < 1 or any(w > u for w, u in zip(widths, usual, strict=True)):
        return None
    narrow = dataclasses.replace(network, widths=widths)
    wanted = skeletons.shapes(skeletons.skeleton(architecture, narrow))
    return narrow if all(idle(name) or shapes.get(name) == shape for name, shape in wanted.items()) else None


def _primes() -> Iterator[int]:
    """Primes from a thousand on: more than any number of classes or heads multiplies them by."""
    number = 1009
    while True:
        if all(number % divisor for divisor in range(2, int(number**0.5) + 1)):
            yield number
        number += 2
