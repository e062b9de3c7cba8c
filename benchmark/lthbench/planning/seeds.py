"""Plans of many seeds from a few: seeds of which nothing is stored differ in their numbers alone.

What a plan of 10,000 seeds costs is counted from a plan of the seeds of which something is stored, and from
what one seed adds to others. Which these are is told by keys: those of any seed follow from those of one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from lthbench import registry
from lthbench.kinds import Method
from lthbench.planning.estimate import More
from lthbench.planning.plan import Plan, plan
from lthbench.planning.request import Request
from lthbench.spec import Step, canonical, describe, history
from lthbench.store import Store

#: Dense networks are held against that of the next seed: from three on each seed adds the same.
ALIKE = 3


@dataclass(frozen=True)
class Thinned:
    """A plan without so many seeds of which nothing is ``stored``: keys of steps that a store lists.

    Each seed that is ``left_out`` adds what the second of two plans, ``few``, has over the first. The plan's
    request is the whole one.
    """

    plan: Plan
    stored: frozenset[str]
    left_out: int = 0
    few: tuple[Plan, Plan] | None = None

    @property
    def more(self) -> More | None:
        """The steps of the seeds that are left out."""
        return More(self.left_out, *(made.steps for made in self.few)) if self.few else None

    def total(self, of: Callable[[Plan], float]) -> float:
        """A total of the whole plan, of which each seed adds the same."""
        found = of(self.plan)
        if self.few:
            without, beside = map(of, self.few)
            found += self.left_out * (beside - without)
        return found


def thinned(request: Request, places: tuple[Path, ...], store: Store | None = None) -> Thinned:
    """The plan of a request, thinned out where its seeds are alike. Data need not be there."""

    def of(seeds: Sequence[int]) -> Plan:
        asked = dataclasses.replace(request, seeds=tuple(seeds))
        return dataclasses.replace(plan(asked, places, data_needed=False), request=request)

    seeds = request.seeds
    if len(seeds) > ALIKE and _uniform(request):
        without, beside = of(seeds[: ALIKE - 1]), of(seeds[:ALIKE])
        found = _looked_up(beside, seeds, store)
        if found is not None:
            stored, begun = found
            kept = [s for i, s in enumerate(seeds) if i < ALIKE or s in begun or seeds[i - 1] in begun]
            made = beside if len(kept) == ALIKE else of(kept)
            left_out = len(seeds) - len(kept)
            return Thinned(made, stored, left_out, (without, beside) if left_out else None)
    return whole(of(seeds), store)


def whole(made: Plan, store: Store | None = None) -> Thinned:
    """A plan that is not thinned out, and what of it is stored."""
    return Thinned(made, frozenset(s.key for s in made.steps if store is not None and store.lists(s)))


def _uniform(request: Request) -> bool:
    """Whether all seeds get the same networks: methods that do not ship may do with a seed what they like."""
    shipped = all(registry.ships(Method, name.partition(":")[0]) for name in request.methods)
    return shipped and len(request.looks) < 2


def _looked_up(
    few: Plan, seeds: Sequence[int], store: Store | None
) -> tuple[frozenset[str], frozenset[int]] | None:
    """The keys that are stored, and the seeds that have a part in them or in a savepoint.

    None where the keys of a seed do not follow from those of another.
    """
    there = set[str]() if store is None else store.listed()
    saved = set[str]() if store is None else set(store.saved())
    if not there and not saved:
        return frozenset(), frozenset()
    first, second, third = seeds[:ALIKE]
    pattern = Pattern(_of_seed(few, first), first, second)
    if pattern.keys(second, third) != [s.key for s in _of_seed(few, second)]:
        return None
    left, stored, begun = there | saved, set[str](), set[int]()
    for seed, following in zip(seeds, (*seeds[1:], seeds[0]), strict=True):
        own = left.intersection(pattern.keys(seed, following))
        if own:
            stored |= own & there
            begun |= {seed, following}
            left -= own
        if not left:
            break
    return frozenset(stored), frozenset(begun)


def _of_seed(made: Plan, seed: int) -> list[Step]:
    entries = [e for e in made.entries if e.seed == seed]
    return list(history(*(m for e in entries for m in e.scored()), *(e.network for e in entries)))


#: Numbers that stand for a seed in the texts of its steps.
_SEEDS = 3


class Pattern:
    """The keys of the steps behind a seed's networks, for any seed and the one that follows it.

    Their texts differ from those of the given steps, of one seed, in seeds and in keys of each other alone.
    """

    def __init__(self, steps: Sequence[Step], seed: int, following: int):
        places = {step.key: f"@{_SEEDS + number}@" for number, step in enumerate(steps)}
        numbers = {seed: "@0@", following: "@1@", -1 - seed: "@2@"}  # the last draws weights anew
        self._texts = [_split(_marked(describe(step), places, numbers)) for step in steps]

    def keys(self, seed: int, following: int) -> list[str]:
        """The keys, in the order of the steps."""
        values = [str(seed), str(following), str(-1 - seed)]
        for head, tail, pick in self._texts:
            digest = head.copy()
            digest.update((tail % pick(values)).encode())
            values.append(digest.hexdigest())
        return values[_SEEDS:]


def _marked(described: dict[str, Any], places: dict[str, str], numbers: dict[int, str]) -> str:
    """The canonical text of a step with marks in place of seeds and of keys."""
    fields = {n: places.get(v, v) if isinstance(v, str) else v for n, v in described.items()}
    seed = described.get("seed")
    if seed in numbers:
        fields["seed"] = numbers[seed]
    return canonical(fields)


def _split(marked: str) -> tuple[Any, str, Callable[[list[str]], Any]]:
    """A text as the hash of what comes before its first mark, the format of the rest, and its values."""
    head, *rest = re.split(r'("@\d+@")', marked)
    slots = [int(mark.strip('"@')) for mark in rest[::2]]
    quoted = ["%s" if slot < _SEEDS else '"%s"' for slot in slots]
    parts = [part.replace("%", "%%") for part in rest[1::2]]
    tail = "".join(mark + part for mark, part in zip(quoted, parts, strict=True))
    pick: Callable[[list[str]], Any] = itemgetter(*slots) if slots else lambda values: ()
    return hashlib.sha256(head.encode()), tail, pick
