"""Networks that were pruned elsewhere: their weights and masks, checked, as steps that a store can hold."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lthbench import masks, registry
from lthbench.checkpoints import files
from lthbench.checkpoints.contents import Checkpoint
from lthbench.checkpoints.taking import Taken, take
from lthbench.compute.environment import environment
from lthbench.errors import BadInput
from lthbench.kinds import Method
from lthbench.planning import contents
from lthbench.spec import Network, Weights
from lthbench.store import Store
from lthbench.store.artifacts import MASK, WEIGHTS

#: By how much the sparsities of networks of one method may differ.
ALIKE = 0.005
#: Why no parent can stand for two networks: networks and parents are paired by seed.
_OWN_PARENT = (
    "each network needs a parent of its own, of another seed. Score networks of one parent each on its own: "
    "lthbench report FIRST SECOND --out DIR puts tables together"
)


@dataclass(frozen=True)
class Brought:
    """Networks made elsewhere: ``pruned`` by seed, and their ``dense`` parents if these were given."""

    name: str
    pruned: Mapping[int, Taken]
    dense: Mapping[int, Taken]

    @property
    def sparsity(self) -> float:
        """The mean sparsity of the pruned networks, as it stands in the table."""
        found: list[float] = [t.account["sparsity"] for t in self.pruned.values()]
        return round(found[0] if len(set(found)) == 1 else sum(found) / len(found), 12)

    @property
    def networks(self) -> Mapping[str, Mapping[int, Weights]]:
        """The steps, by method and seed."""
        steps: dict[str, dict[int, Weights]] = {self.name: {s: t.step for s, t in self.pruned.items()}}
        if self.dense:
            steps["dense"] = {s: t.step for s, t in self.dense.items()}
        return steps

    def publish(self, store: Store) -> None:
        """Put into a store what it does not hold."""
        publish(store, (*self.pruned.values(), *self.dense.values()))

    def accounts(self) -> list[dict[str, Any]]:
        """The account of each network, for ``run.json``."""
        groups = ((self.name, self.pruned), ("dense", self.dense))
        return [
            {"method": n, "seed": s, "network": t.step.key, **t.account}
            for n, g in groups
            for s, t in g.items()
        ]


def publish(store: Store, networks: Iterable[Taken]) -> None:
    """Put into a store what it does not hold of networks that were taken in.

    Another network in the place of one, as only other programs leave it, is put aside.
    """
    for taken in networks:
        held = store.whole(taken.step)
        if held is not None and contents.misfit(taken.step, held):
            store.put_aside(taken.step)
            store.delete(taken.step.key)  # elsewhere, too
            held = None
        if held is None:
            files = {WEIGHTS.name: WEIGHTS.encode(taken.weights)}
            meta: dict[str, Any] = {"seconds": 0.0, "environment": environment(torch.device("cpu"))}
            if taken.mask is not None:
                files[MASK.name] = MASK.encode(taken.mask)
                meta |= masks.counted(taken.mask, taken.prunable)
            store.put(taken.step, files, {**meta, "given": taken.account, "read": time.time()})


def brought(
    name: str,
    network: Network,
    pruned: Sequence[Any],
    dense: Sequence[Any],
    given_masks: Sequence[Any],
    seeds: Sequence[int],
    normalization: tuple[tuple[float, ...], tuple[float, ...]] | None,
    key: str | None = None,
) -> Brought:
    """Take in networks: paths, modules or state dicts, one for each seed. Raises BadInput where one is unfit.

    ``dense`` are parents of the same order, or none; ``given_masks`` as many masks as networks, or none.
    ``normalization`` is the mean and standard deviation that the networks expect their pixels normalised by;
    None: what stands in the file, or else the task's. ``key`` says which network of a file that holds
    several; of a parent's file, too, unless it holds one.
    """
    check_name(name)
    count = len(pruned)
    if not count:
        raise BadInput("give at least one network.")
    for what, found in (("dense parents", dense), ("masks", given_masks), ("seeds of parents", seeds)):
        if found and len(found) != count:
            raise BadInput(f"{count} networks need {count} {what}, one for each; got {len(found)}.")
    named_twice = next((seed for place, seed in enumerate(seeds) if seed in seeds[:place]), None)
    if named_twice is not None:
        raise BadInput(f"dense: seed {named_twice} is named twice; {_OWN_PARENT}.")
    of_all = [f" {place} of {count}" if count > 1 else "" for place in range(1, count + 1)]
    given = zip(pruned, given_masks or [None] * count, of_all, strict=True)
    taken = [
        take(network, files.of(p, f"checkpoint{n}"), _mask(m, f"mask{n}"), normalization, key=key)
        for p, m, n in given
    ]
    parents = [
        take(network, files.of(d, f"dense{n}"), None, normalization, dense=True, key=key)
        for d, n in zip(dense, of_all, strict=False)  # there may be none
    ]
    sparsities = [t.account["sparsity"] for t in taken]
    if max(sparsities) - min(sparsities) > ALIKE:
        listed = ", ".join(f"{100 * s:.2f} %" for s in sparsities)
        raise BadInput(
            f"networks of one name must have one sparsity; these have {listed}. Score each on its own: "
            "lthbench report FIRST SECOND --out DIR puts tables together."
        )
    keys = [t.step.key for t in taken]
    if len(set(keys)) < len(keys):
        raise BadInput("the same network is given twice; give networks of different seeds.")
    if len({t.step.key for t in parents}) < len(parents):
        raise BadInput(f"dense: the same parent is given twice; {_OWN_PARENT}.")
    return Brought(
        name,
        dict(zip(seeds, taken, strict=True)),
        dict(zip(seeds, parents, strict=True)) if parents else {},
    )


def _mask(source: Any, what: str) -> Checkpoint | None:
    return None if source is None else files.of(source, what)


def check_name(name: str) -> None:
    """Raise BadInput for a name that cannot stand in the table."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise BadInput(f"name: letters, digits, '-', '_' and '.' only, at most 64, got {name!r}.")
    method = registry.called(Method, name)
    if method is not None:
        other = "" if method == name else f" ({method})"
        raise BadInput(f"name: {name} is a method of lthbench{other}; give another one with --name.")
