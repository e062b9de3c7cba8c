"""Steps out of their descriptions, as they stand in artefacts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lthbench.spec import STEPS, Data, Inputs, Network, Recipe, Rewire, Step

#: The types of fields that hold a step.
_HELD = ("Weights", "Train", "Prune")
_RECORDS: dict[str, type] = {c.__name__: c for c in (Data, Inputs, Network, Recipe, Rewire)}


def restored(described: Mapping[str, Any], key: str, known: dict[str, Step] | None = None) -> Step:
    """The step of a key, from the descriptions of it and of all before it. Raises ValueError for another.

    ``known`` are steps by key, which are not made again; those that are made are added to it.
    """
    made = {} if known is None else known
    verbs: dict[str, Any] = {step.__name__: step for step in STEPS}
    stack = [key]
    while stack:
        if stack[-1] in made:
            stack.pop()
            continue
        if len(stack) > 4 * len(described) + 4:
            raise ValueError("it needs itself")
        fields = dict(described[stack[-1]])
        kind = verbs[fields.pop("step")]
        held = {f.name for f in dataclasses.fields(kind) if _first(f.type) in _HELD} & fields.keys()
        lacking = [fields[name] for name in held if fields[name] not in made]
        if lacking:
            stack += lacking
            continue
        step = _record(kind, fields | {name: made[fields[name]] for name in held})
        if step.key != stack[-1]:
            raise ValueError("its description is of another step")
        made[stack.pop()] = step
    return made[key]


def _first(kind: Any) -> str:
    return str(kind).partition(" ")[0]


def _record(kind: Any, fields: Mapping[str, Any]) -> Any:
    """A record from its fields as JSON data."""
    types = {f.name: str(f.type) for f in dataclasses.fields(kind)}
    return kind(**{name: _value(types[name], value) for name, value in fields.items()})


def _value(kind: str, value: Any) -> Any:
    record = _RECORDS.get(_first(kind))
    if record is not None:
        return _record(record, value)
    if isinstance(value, list) and "Inputs" in kind:
        return tuple((name, _record(Inputs, inputs)) for name, inputs in value)
    return tuple(value) if isinstance(value, list) else value
