"""Why steps are to be done again: their results are stored, of another version of a metric or criterion."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable, Iterator, Set

from lthbench.formatting import counted
from lthbench.spec import Measure, Prune, Step
from lthbench.store import Store
from lthbench.store.inventory import index
from lthbench.store.layout import history_of

#: So many of the artefacts that nothing planned needs are opened at most, to learn of earlier plug-ins.
OPENED = 50
#: Of each metric and criterion about so many steps are looked up before it is taken for new.
TRIED = 20

#: The verb, whose version it is, and the version.
_Of = tuple[str, str]


def reasons(steps: Iterable[Step], stored: Set[str], store: Store) -> list[str]:
    """What is stored of another version, in words; of steps that lack, where the network they see is stored.

    Keys follow from versions: nothing is opened but for plug-ins, whose versions are hashes of their files.
    """
    lacking: dict[_Of, list[Measure | Prune]] = {}
    for step in steps:
        if isinstance(step, Measure | Prune) and step.key not in stored and _seen_by(step).key in stored:
            lacking.setdefault(_of(step), []).append(step)
    before: dict[_Of, list[str]] = {of: _earlier_numbers(_version(found[0])) for of, found in lacking.items()}
    if any("+" in _version(found[0]) for found in lacking.values()):
        planned = {step.key for found in lacking.values() for step in found} | stored
        for of, version in _in(store, planned):
            if version not in before.setdefault(of, []):
                before[of].append(version)
    told = []
    for of, found in lacking.items():
        for version in before[of]:
            if not any(store.lists(_as(step, version)) for step in found[:: 1 + len(found) // TRIED]):
                continue
            count = sum(store.lists(_as(step, version)) for step in found)
            noun = ("measure", "measures") if of[0] == Measure.__name__ else ("mask", "masks")
            told.append(f"{counted(count, *noun)}: {_difference(of[1], version, _version(found[0]))}")
    return told


def _of(step: Measure | Prune) -> _Of:
    return type(step).__name__, step.metric if isinstance(step, Measure) else step.criterion


def _version(step: Measure | Prune) -> str:
    return step.metric_version if isinstance(step, Measure) else step.criterion_version


def _seen_by(step: Measure | Prune) -> Step:
    return step.subject if isinstance(step, Measure) else step.given


def _as(step: Measure | Prune, version: str) -> Step:
    """The step as it was of another version."""
    if isinstance(step, Measure):
        return dataclasses.replace(step, metric_version=version)
    return dataclasses.replace(step, criterion_version=version)


def _earlier_numbers(version: str) -> list[str]:
    """The versions before one that is a number, the last first."""
    return [str(n) for n in range(int(version) - 1, 0, -1)] if version.isdecimal() else []


def _in(store: Store, planned: Container[str]) -> Iterator[tuple[_Of, str]]:
    """What the last artefacts that are not planned are of, and their versions."""
    kinds = (Measure.__name__, Prune.__name__)
    others = [key for key, (kind, _) in index(store).items() if kind in kinds and key not in planned]
    for key in others[: -OPENED - 1 : -1]:
        described = history_of(store.place(key)).get(key)
        if isinstance(described, dict):
            for name in ("metric", "criterion"):
                version = described.get(f"{name}_version")
                if isinstance(version, str):
                    yield (str(described.get("step")), str(described.get(name))), version


def _difference(name: str, stored: str, wanted: str) -> str:
    """What differs: the number of the version, or the file of a plug-in alone."""
    (old, _, old_file), (new, _, new_file) = stored.partition("+"), wanted.partition("+")
    if old == new and old_file and new_file:
        return f"{name} has changed"
    return f"{name} version {old} is stored, {new} is wanted"
