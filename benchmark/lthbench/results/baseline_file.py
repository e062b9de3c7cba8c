"""Baselines on disk, which people edit: read and checked. What they hold: see ``baseline``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lthbench import textfiles
from lthbench.errors import BadInput, shown
from lthbench.formatting import one_line
from lthbench.results.run_facts import RunFacts

SCHEMA = 1
#: Numbers of a baseline are below this.
_LARGEST = 1e100
_FIELDS = {
    "method": str,
    "sparsity": float,
    "score": str,
    "unit": str,
    "direction": str,
    "tolerance": float,
    "values": dict,
}


def read(path: Path) -> dict[str, Any]:
    """A baseline file, checked. Raises BadInput that names the file and the entry."""
    found = textfiles.data(path, "baseline")
    if not isinstance(found, dict) or found.get("what") != "lthbench baseline":
        raise BadInput(f"baseline {path}: is none; write one with lthbench gate --write-baseline {path}.")
    if found.get("schema") != SCHEMA:
        raise BadInput(f"baseline {path}: has schema {found.get('schema')}, this version reads {SCHEMA}.")
    if not isinstance(found.get("environments", []), list):
        raise BadInput(f"baseline {path}: environments: expected a list.")
    told = found.get("libraries", {})
    lists = isinstance(told, dict) and all(isinstance(versions, list) for versions in told.values())
    if not lists or not all(
        isinstance(v, str) and one_line(v) for versions in told.values() for v in versions
    ):
        raise BadInput(
            f"baseline {path}: libraries: expected a list of versions for each, got {shown(told)}."
        )
    for part in ("task", "budget"):
        if not isinstance(found.get(part), str):
            raise BadInput(f"baseline {path}: {part}: expected a name, got {shown(found.get(part))}.")
    entries = found.get("scores")
    if not isinstance(entries, list) or not entries:
        raise BadInput(f"baseline {path}: holds no scores.")
    for place, entry in enumerate(entries):
        _check(entry, f"baseline {path}: scores[{place}]")
    return found


def _check(entry: Any, where: str) -> None:
    if not isinstance(entry, dict):
        raise BadInput(f"{where}: expected an object, got {entry!r}.")
    for field, kind in _FIELDS.items():
        value = entry.get(field)
        if not (_is_finite(value) if kind is float else isinstance(value, kind)):
            raise BadInput(f"{where}.{field}: expected a {kind.__name__}, got {shown(value)}.")
    if not entry["values"] or not all(map(_is_finite, entry["values"].values())):
        said = shown(entry["values"])
        raise BadInput(f"{where}.values: expected a finite number for each seed, got {said}.")
    if not all(len(seed) < 20 and seed.isdecimal() and seed == str(int(seed)) for seed in entry["values"]):
        raise BadInput(f"{where}.values: seeds are whole numbers, got {', '.join(entry['values'])[:100]}.")
    for field in ("tolerance", "elsewhere"):
        value = entry.get(field, 0.0)
        if not _is_finite(value):
            raise BadInput(f"{where}.{field}: expected a float, got {shown(value)}.")
        if value < 0.0:
            raise BadInput(f"{where}.{field}: must not be negative, got {shown(value)}.")
    if entry["direction"] not in ("higher", "lower"):
        raise BadInput(f"{where}.direction: higher or lower, got {entry['direction']!r}.")


def _is_finite(value: Any) -> bool:
    """Whether a value is a number of which means can be taken."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def check_read_alike(base: dict[str, Any], facts: RunFacts) -> None:
    """Raise BadInput where a baseline reads a score otherwise than a table's facts do."""
    scores = {s.name: s for s in facts.scores}
    for place, entry in enumerate(base["scores"]):
        score = scores.get(entry["score"])
        better = "higher" if score is not None and score.higher_is_better else "lower"
        for field, own in (("direction", better), ("unit", score.unit if score else "")):
            if score is not None and entry[field] != own:
                raise BadInput(
                    f"the baseline's scores[{place}].{field}, of {score.name}, is {entry[field]}, "
                    f"and the table's {own}: one was edited."
                )
