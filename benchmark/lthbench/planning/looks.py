"""Looks at the results of a run that adds seeds until all is decided: when, and what each added. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Up to how many seeds are added where nothing is said.
MOST = 10
#: Each look adds a seed, and from twice as many seeds on more: a share of one in so many of those there are.
SHARE = 10


@dataclass(frozen=True)
class Look:
    """What one look adds: seeds, and the sparsities that get them, by method."""

    seeds: tuple[int, ...]
    networks: dict[str, tuple[float, ...]]

    def wants(self, method: str, sparsity: float, seed: int) -> bool:
        """Whether a network gets a seed."""
        return seed in self.seeds and sparsity in self.networks.get(method, ())


def schedule(first: int, most: int) -> tuple[int, ...]:
    """The numbers of seeds at the looks, fixed before anything is trained: from the first to the most."""
    looks = [first]
    while looks[-1] < most:
        looks.append(min(looks[-1] + max(1, looks[-1] // SHARE), most))
    return tuple(looks)


def following(looks: Sequence[Look], most: int, networks: Mapping[str, tuple[float, ...]]) -> Look | None:
    """The look after these, for networks that are still open; None where there is none, or none is open.

    Its seeds are the numbers after the largest one so far.
    """
    planned = schedule(len(looks[0].seeds), most)
    if len(looks) >= len(planned) or not any(networks.values()):
        return None
    left = {method: sparsities for method, sparsities in networks.items() if sparsities}
    return Look(_added(looks, planned), left)


def _added(looks: Sequence[Look], planned: Sequence[int]) -> tuple[int, ...]:
    """The seeds that the look after these adds."""
    start = max(seed for look in looks for seed in look.seeds) + 1
    return tuple(range(start, start + planned[len(looks)] - planned[len(looks) - 1]))


def fault(looks: Sequence[Look], most: int, networks: Mapping[str, Sequence[float]]) -> str:
    """What is wrong with looks that were read, of these networks; "" where nothing is.

    A run chooses its seeds before it knows a result: two or more for the first look, and those after them for
    the others.
    """
    seeds = [seed for look in looks for seed in look.seeds]
    planned = schedule(len(looks[0].seeds), most) if looks and looks[0].seeds else ()
    if planned and not 2 <= planned[0] < most:
        return f"the first look has {planned[0]} seeds; it needs two or more, and fewer than the most, {most}"
    seen = 0
    for number, look in enumerate(looks):
        seen += len(look.seeds)
        if number >= len(planned) or seen != planned[number]:
            return f"look {number + 1} has {seen} seeds, and the looks are at {', '.join(map(str, planned))}"
        before = looks[number - 1].networks if number else networks
        for method, sparsities in look.networks.items():
            if not set(sparsities) <= set(before.get(method, ())):
                return f"look {number + 1} adds networks of {method} that the one before has not"
        if number and look.seeds != (own := _added(looks[:number], planned)):
            return f"look {number + 1} adds seeds other than {', '.join(map(str, own))}, which come next"
    return "its looks have a seed twice" if len(set(seeds)) < len(seeds) else ""
