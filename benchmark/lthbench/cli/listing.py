"""What the listing commands say: one screen for a kind, everything for one name. Imports no torch."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from lthbench import formatting, registry
from lthbench.cli.pages import page
from lthbench.cli.terminal import columns, wrapped
from lthbench.data import concepts, loading
from lthbench.errors import BadInput, unknown
from lthbench.kinds import Architecture, Bank, Criterion, Dataset, Method, Metric
from lthbench.planning import task
from lthbench.spec import Network
from lthbench.verdict import calibration

KINDS: dict[str, type[Any]] = {
    "method": Method,
    "metric": Metric,
    "dataset": Dataset,
    "architecture": Architecture,
    "bank": Bank,
}


def every(kind: str, folder: Path | None) -> list[dict[str, Any]]:
    """A short row for each."""
    places = loading.checked_folders(folder)
    if kind == "task":
        rows = [_task_row(task.load(name), places) for name in task.names()]
        return sorted(rows, key=lambda row: row["data"] != "found")  # what can be run comes first
    return [_row(record, places) for record in registry.every(KINDS[kind])]


def describe(kind: str, name: str, folder: Path | None) -> dict[str, Any]:
    """Everything about one."""
    places = loading.checked_folders(folder)
    if kind == "task":
        found = task.load(name)
        half = [name for name in _budgets(found) if name not in found.budget]
        known = _calibrated(found, name, places)
        return {
            **_plain(found),
            "in bfloat16": half,
            "calibrated": known,
            "data found": _found(found, places),
        }
    base, variant = name, ""
    if kind == "method" and not name.endswith(".py"):
        base, _, variant = name.partition(":")
    record = registry.get(KINDS[kind], base)
    if variant and variant not in record.variants:
        raise unknown("method", name, [f"{base}:{known}" for known in record.variants], "lthbench methods")
    described: dict[str, Any] = _plain(record)
    if isinstance(record, Method) and record.criterion is not None:
        described["criterion"] = _criterion(record.criterion)
    if isinstance(record, Method):
        described["criteria"] = {variant: _criterion(c) for variant, c in record.criteria.items()}
    if isinstance(record, Dataset):
        described |= dict(loading.describe(record.name, places))
    if isinstance(record, Bank):
        described |= concepts.of_bank(record, places)
    return described


def _criterion(criterion: Criterion) -> dict[str, Any]:
    return {
        "name": criterion.name,
        "version": criterion.version,
        "training images of each class": criterion.per_class,
        "definition": " ".join((criterion.score.__doc__ or "").split()),
    }


def text(found: list[dict[str, Any]] | dict[str, Any], plural: str) -> str:
    """A listing for the shell."""
    width = max(columns(), 60)
    if isinstance(found, dict) and plural in ("metrics", "methods", "tasks"):
        return page(plural, found, columns())
    if isinstance(found, dict):
        return "\n".join(_lines(found))
    shown = [formatting.table([short(row) for row in found], width)]
    # Addresses are long: they stand below the table, where they need no column.
    if plural == "datasets":
        shown += [wrapped(f"{row['data set']}: {row['where']}", 4, width) for row in found]
    if plural == "methods":
        names = ", ".join(name for row in found for name in row["variants"])
        shown += ["", wrapped(f"Variants: {names}", 4, width)]
    shown[1:1] = ["", "Where it is, or how to get it:"] if plural == "datasets" else []
    if plural == "tasks":
        shown += [
            "",
            "A number behind a budget: dense trainings that calibrate its verdict.",
            "Budgets in bfloat16, such as quick-bf16, stand on the page of each task.",
        ]
    shown += ["", f"Describe one: lthbench {plural} NAME", f"As JSON: lthbench {plural} --json"]
    return "\n".join(shown)


def short(row: dict[str, Any]) -> dict[str, Any]:
    """A row of a listing without what takes too much room in a table, as budgets in bfloat16 do."""
    kept = {key: value for key, value in row.items() if key not in ("where", "calibrated", "variants")}
    if "calibrated" in row:
        sizes = {entry.partition(" ")[0]: entry for entry in row["calibrated"].split(", ")}
        names = [n for n in row["budgets"].split(", ") if n in sizes or not n.endswith(task.HALF)]
        kept["budgets"] = ", ".join(sizes.get(name, name) for name in names)
    return kept


def _task_row(found: task.Task, places: tuple[Path, ...]) -> dict[str, Any]:
    known = _calibrated(found, found.name, places)
    return {
        "task": found.name,
        "title": found.title,
        "network": found.architecture,
        "data": _found(found, places),
        "budgets": ", ".join(_budgets(found)),
        "calibrated": ", ".join(f"{name} ({count})" for name, count in known.items()) or "–",
    }


def _budgets(found: task.Task) -> list[str]:
    """The names of a task's budgets, each followed by that in bfloat16, if it has one."""
    there = found.budgets()
    pairs = ((name, f"{name}{task.HALF}") for name in found.budget)
    return [name for pair in pairs for name in pair if name in there]


def _calibrated(found: task.Task, typed: str, places: tuple[Path, ...]) -> dict[str, int]:
    """The budgets that are calibrated, with the dense trainings behind each.

    A task that ships is calibrated by what ships with it. A file, ``typed`` as a path, may have another
    recipe or network than the calibration of its name: it counts as far as it is of the same steps.
    """
    known = {
        name: calibration.beside(found.name, name, typed) or calibration.shipped(found.name, name)
        for name in _budgets(found)
    }
    if "/" in typed or typed.endswith(".toml"):
        known = {name: c and _fitting(c, typed, name, places) for name, c in known.items()}
    return {name: len(c.seeds) for name, c in known.items() if c is not None}


def _fitting(
    known: calibration.Calibration, typed: str, budget: str, places: tuple[Path, ...]
) -> calibration.Calibration | None:
    """The part of a calibration that runs of a task's file are judged by, with the images that are here."""
    from lthbench.planning.plan import plan
    from lthbench.planning.request import ask
    from lthbench.planning.settle import settled
    from lthbench.results.run_facts import dense_keys
    from lthbench.results.score_order import aspects

    try:
        asked = settled(ask(typed, [], None, [], 1, budget=budget), places)
        keys = dense_keys(plan(asked, places, data_needed=False))
    except BadInput:  # of images that are damaged, which is told of them
        return None
    return calibration.fitting(known, keys, aspects(asked.metrics, asked.classes))[0]


def _found(found: task.Task, places: tuple[Path, ...]) -> str:
    trained_on, *ood = (found.data.dataset, *found.data.ood)
    states = {name: loading.describe(name, places)["state"] for name in (trained_on, *ood)}
    if states[trained_on] == "found":
        source = registry.get(Dataset, trained_on).locate(places)
        if source is not None and source.splits and "train" not in source.splits:
            states[trained_on] = "training images missing"
    lacking = [f"{name} {state}" for name, state in states.items() if state != "found"]
    return ", ".join(lacking) if lacking else "found"


def _row(record: Any, places: tuple[Path, ...]) -> dict[str, Any]:
    if isinstance(record, Method):
        aliases = f" (also {', '.join(record.aliases)})" if record.aliases else ""
        variants = [f"{record.name}:{variant}" for variant in record.variants]
        row = {"method": record.name, "what": record.title + aliases, "cost": record.cost}
        return {**row, "variants": variants}
    if isinstance(record, Metric):
        scores = ", ".join(f"{s.name} {'↑' if s.higher_is_better else '↓'}" for s in record.scores)
        fewest = min((s.fewest_classes for s in record.scores if s.verdict), default=None)
        verdict = "no" if fewest is None else f"from {fewest} classes" if fewest else "yes"
        return {
            "metric": record.name,
            "scores": scores,
            "group": record.scores[0].group,
            "in the verdict": verdict,
        }
    if isinstance(record, Dataset):
        state = loading.describe(record.name, places)
        return {
            "data set": record.name,
            "what": record.title,
            "state": state["state"],
            "where": state["detail"],
        }
    return {"architecture": record.name, "what": record.title, **_size(record)}


def _size(record: Architecture) -> dict[str, str]:
    """The counts of a network as designed: ten classes, colour images of its own size."""
    counts = record.count(Network(record.name, record.version, 10, 3, record.size, (), ()))
    return {
        "parameters": f"{counts.parameters:,}",
        "prunable": f"{counts.prunable:,}",
        "multiply-adds": f"{counts.macs / 1e6:.1f} M at {record.size} px",
    }


def _plain(value: Any) -> Any:
    """A record as JSON data; functions are left out."""
    if dataclasses.is_dataclass(value):
        named = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        return {k: _plain(v) for k, v in named.items() if not callable(v) and v is not None}
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _lines(found: dict[str, Any], indent: str = "") -> list[str]:
    lines = []
    for key, value in found.items():
        if isinstance(value, dict):
            lines += [f"{indent}{key}", *_lines(value, indent + "  ")]
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for item in value:
                lines += [f"{indent}{key}", *_lines(item, indent + "  ")]
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(wrapped(f"{indent}{key:<{max(20 - len(indent), 1)}} {shown}", 21))
    return lines
