"""Results of a bundle that an earlier version of a step made: told apart from those that were edited.

Steps that differ in nothing but versions are matched, so that a table made before a number was corrected can
still be checked against its results, and is said to be of an earlier version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lthbench import registry
from lthbench.kinds import Metric
from lthbench.spec import Step, describe, history

#: The fields of steps and records that hold a version. One that is absent is version 1.
FIELDS = ("version", "metric_version", "criterion_version", "predict_version", "explain_version")

Described = Mapping[str, Mapping[str, Any]]


def described(steps: Iterable[Step]) -> dict[str, dict[str, Any]]:
    """The steps and all that they need, as they stand in a bundle's ``steps.json``."""
    return {s.key: describe(s) for s in history(*steps)}


def matched(theirs: Described, wanted: Sequence[Step]) -> dict[str, str]:
    """By key here, the key of the step in a bundle that differs in versions alone. Others are left out."""
    ours = described(wanted)
    known: dict[str, str] = {}
    twins = {_apart(key, theirs, known): key for key in theirs}
    known = {}
    pairs = ((s.key, twins.get(_apart(s.key, ours, known))) for s in wanted)
    return {here: there for here, there in pairs if there is not None}


def _apart(key: str, steps: Described, known: dict[str, str]) -> str:
    """A hash of a step and all behind it, versions left out."""
    if key not in known:
        text = json.dumps(_plain(steps[key], steps, known), sort_keys=True)
        known[key] = hashlib.sha256(text.encode()).hexdigest()
    return known[key]


def _plain(value: Any, steps: Described, known: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v, steps, known) for k, v in value.items() if k not in FIELDS}
    if isinstance(value, list | tuple):
        return [_plain(v, steps, known) for v in value]
    return _apart(value, steps, known) if isinstance(value, str) and value in steps else value


def differences(theirs: Described, wanted: Iterable[Step], pairs: Mapping[str, str]) -> list[str]:
    """What has another version, in words: "rewire 1, here 2".

    Not a metric whose later versions gave the same values.
    """
    ours = described(s for s in wanted if s.key in pairs)
    found: dict[str, None] = {}
    done: set[tuple[str, str]] = set()
    todo: list[tuple[str, Any, Any]] = [("", pairs[key], key) for key in pairs]
    while todo:
        name, there, here = todo.pop()
        if isinstance(here, str) and here in ours:
            if (there, here) in done or there == here:
                continue
            done.add((there, here))
            there, here = theirs[there], ours[here]
        if isinstance(here, Mapping):
            for field in FIELDS:
                old, new = there.get(field, 1), here.get(field, 1)
                if old != new and not (field == "metric_version" and _same_values(here["metric"], old, new)):
                    found[f"{_named(name, field, here)} {old}, here {new}"] = None
            todo.extend((k, there.get(k), v) for k, v in here.items() if k not in FIELDS)
        elif isinstance(here, list):
            todo.extend((name, a, b) for a, b in zip(there, here, strict=True))
    return sorted(found)


def _same_values(name: str, old: str, new: str) -> bool:
    """Whether two versions of a metric give the same values, but for standard errors."""
    since = registry.get(Metric, name).values_since
    return since > 0 and old.isdigit() and new.isdigit() and since <= min(int(old), int(new))


def _named(name: str, field: str, record: Mapping[str, Any]) -> str:
    """What a version is of."""
    if field in ("predict_version", "explain_version"):
        return field.removesuffix("_version")
    kinds = {"metric_version": ("metric",), "criterion_version": ("criterion",)}
    for kind in kinds.get(field, ("view", "architecture", "name")):
        if kind in record:
            return f"{'data set' if kind == 'name' else kind} {record[kind]}"
    return str(record.get("step", name)).lower()
