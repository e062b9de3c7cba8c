"""The long table of scores: one row for each score of each network. Reading, writing, and its facts."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lthbench import registry, textfiles
from lthbench.errors import BadInput, Damaged, because
from lthbench.files import make_folder, publish_all
from lthbench.formatting import one_line
from lthbench.kinds import Dataset, Metric, Score
from lthbench.results import run_facts, units
from lthbench.results.run_facts import SCHEMA, RunFacts
from lthbench.store import ResultReader
from lthbench.store.artifacts import DRAWS, SCORES

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.planning.plan import Entry, Plan
    from lthbench.spec import Measure

#: The file beside a table that holds its pictures.
PICTURES = "pictures.json"
#: What may lie beside a table, and is carried with it.
BESIDE = (PICTURES, units.FILE)
COLUMNS = {
    "task": "str",
    "method": "str",
    "sparsity": "float64",
    "seed": "int64",
    "budget": "str",
    "metric": "str",
    "score": "str",
    "variant": "str",
    "value": "float64",
    "se": "float64",
    "diff_se": "float64",
    "mean_diff_se": "float64",
    "n": "int64",
    "unit": "str",
    "direction": "str",
    "group": "str",
    "status": "str",
    "reason": "str",
    "step": "str",
    "parent": "str",
    "forwards": "int64",
}


#: No line of names of columns has more bytes.
_HEADER = 100_000
#: Columns of names, which stand in lines with others.
_NAMES = (
    "task",
    "method",
    "budget",
    "metric",
    "score",
    "variant",
    "unit",
    "group",
    "status",
    "step",
    "parent",
)


def build(plan: Plan, store: ResultReader, failures: dict[str, str]) -> pd.DataFrame:
    """The table of a plan's networks, from what the store holds; what failed has a row that says why."""
    import numpy as np
    import pandas as pd

    rows = [row for entry in plan.entries for row in _rows(plan, entry, store, failures)]
    _gate(rows, plan)
    with np.errstate(invalid="ignore", over="ignore"):  # draws may be infinite
        _add_paired_errors(rows, plan, store)
    columns = {name: pd.Series([r[name] for r in rows], dtype=kind) for name, kind in COLUMNS.items()}
    return pd.DataFrame(columns)


def _rows(plan: Plan, entry: Entry, store: ResultReader, failures: dict[str, str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for measure in entry.measures:
        metric = registry.get(Metric, measure.metric)
        shared = {
            "task": plan.request.task.name,
            "method": entry.method,
            "sparsity": entry.sparsity,
            "seed": entry.seed,
            "budget": plan.request.budget,
            "metric": metric.name,
            "step": measure.key,
            "parent": entry.dense.key,
        }
        if measure.key in failures or not store.has(measure):
            reason = failures.get(measure.key, "not run")
            status = "failed" if measure.key in failures else "missing"
            empty = {"variant": "", "value": math.nan, "se": math.nan, **_UNPAIRED, "n": 0, "forwards": 0}
            for score in metric.scores:
                rows.append({**shared, **_facts(score), **empty, "status": status, "reason": reason})
            continue
        result = SCORES.read(store, measure)
        notes += result["degenerate"]
        shared |= {**_UNPAIRED, "forwards": result["forwards"]}
        of_score = {s.name: shared | _facts(s) for s in metric.scores}
        rows += (of_score[value["score"]] | _known(value) for value in result["values"])
    rows += _controls(rows, entry, store, failures)
    notes += _at_chance(plan, rows)
    if notes and entry.method != "dense":
        why = "; ".join(dict.fromkeys(notes))
        for row in (r for r in rows if r["status"] == "ok"):
            row["status"], row["reason"] = "degenerate", "; ".join(filter(None, (why, row["reason"])))
    return rows


def _gate(rows: list[dict[str, Any]], plan: Plan) -> None:
    """Mark the interpretability scores of networks that have lost much of what there is to interpret.

    Such scores can be best where a network has collapsed: maps get sparser, linear explanations closer. The
    gate is half of what the dense parent of the seed has above chance; without accuracies none gets through.
    """
    chance = 1 / len(registry.get(Dataset, plan.request.task.data.dataset).classes)
    accuracies = {
        (r["method"], r["sparsity"], r["seed"]): r["value"]
        for r in rows
        if r["score"] == "accuracy" and r["variant"] == "" and not math.isnan(r["value"])
    }
    for row in rows:
        own = accuracies.get((row["method"], row["sparsity"], row["seed"]), math.nan)
        bar = chance + 0.5 * (accuracies.get(("dense", 0.0, row["seed"]), math.nan) - chance)
        if row["group"] == "interpretability" and row["status"] == "ok" and not own >= bar:
            row["status"] = "gated"
            why = f"accuracy {own:.3f} is below the gate, {bar:.3f}: not comparable with dense"
            if math.isnan(own) or math.isnan(bar):
                why = "without its accuracy, or that of dense, it cannot be compared with dense"
            row["reason"] = "; ".join(filter(None, (row["reason"], why)))


def _controls(
    rows: list[dict[str, Any]], entry: Entry, store: ResultReader, failures: dict[str, str]
) -> list[dict[str, Any]]:
    """The headline scores of the networks beside a dense one, as variants of its own."""
    found = []
    own = {r["score"]: r for r in rows if r["variant"] == ""}
    for name, measure in entry.controls:
        if measure.key in failures or not store.has(measure):
            why = {"status": "failed" if measure.key in failures else "missing", "step": measure.key}
            empty = {"value": math.nan, "se": math.nan, **_UNPAIRED, "n": 0, "forwards": 0}
            reason = failures.get(measure.key, "not run")
            same = [row for row in own.values() if row["metric"] == measure.metric]
            found += [{**row, **empty, **why, "reason": reason, "variant": name} for row in same]
            continue
        result = SCORES.read(store, measure)
        for value in result["values"]:
            if value["variant"] == "":
                facts = {"variant": name, "step": measure.key, "forwards": result["forwards"]}
                found.append(own[value["score"]] | _known(value) | _UNPAIRED | facts)
    return found


def _known(value: dict[str, Any]) -> dict[str, Any]:
    """What a measure tells of a score, as it stands in a row."""
    found = {k: value[k] for k in ("score", "variant", "value", "se", "n", "reason")}
    for name in ("value", "se"):
        if found[name] is None:
            found[name] = math.nan
    found["status"] = "failed" if math.isnan(found["value"]) else "ok"
    return found


_UNPAIRED = {"diff_se": math.nan, "mean_diff_se": math.nan}


def _add_paired_errors(rows: list[dict[str, Any]], plan: Plan, store: ResultReader) -> None:
    """Fill in the standard errors, over images, of the differences to the dense parents.

    All networks are drawn alike (``kinds.Value``), so the draws of a network minus those of its parent are a
    paired bootstrap: ``diff_se`` is their deviation. Different seeds see the same images, too:
    ``mean_diff_se``, the same on all rows of a method and sparsity, is that of the mean over seeds.
    """
    import numpy as np

    steps = {m.key: m for e in plan.entries for m in e.scored()}
    held: dict[str, dict[str, Any]] = {}

    def draws(row: dict[str, Any]) -> Any:
        if row["step"] not in held:
            held[row["step"]] = draws_of(store, steps[row["step"]])
        return held[row["step"]].get(row["score"])

    headline = [r for r in rows if r["variant"] == "" and not math.isnan(r["value"])]
    dense = {(r["score"], r["seed"]): r for r in headline if r["method"] == "dense"}
    cells: dict[tuple[str, float, str], list[tuple[dict[str, Any], Any]]] = {}
    for row in headline:
        parent = dense.get((row["score"], row["seed"]))
        if row["method"] == "dense" or parent is None:
            continue
        own, other = draws(row), draws(parent)
        if own is not None and other is not None and own.shape == other.shape and len(own) > 1:
            row["diff_se"] = float(np.std(own - other, ddof=1))
            cells.setdefault((row["method"], row["sparsity"], row["score"]), []).append((row, own - other))
    for cell in cells.values():
        if len({len(difference) for _, difference in cell}) > 1:
            continue
        shared = float(np.std(np.mean([difference for _, difference in cell], axis=0), ddof=1))
        for row, _ in cell:
            row["mean_diff_se"] = shared


def draws_of(store: ResultReader, measure: Measure) -> dict[str, Any]:
    """The draws of a measure's scores, to single precision as they are kept; none where it has none."""
    return dict(DRAWS.read(store, measure)) if DRAWS.name in store.files(measure) else {}


def _facts(score: Score) -> dict[str, str]:
    direction = "higher" if score.higher_is_better else "lower"
    return {"score": score.name, "unit": score.unit, "direction": direction, "group": score.group}


def _at_chance(plan: Plan, rows: list[dict[str, Any]]) -> list[str]:
    classes = len(registry.get(Dataset, plan.request.task.data.dataset).classes)
    for row in rows:
        if row["score"] == "accuracy" and row["status"] == "ok" and row["n"] > 0:
            bar = 1 / classes + 2 * math.sqrt((1 / classes) * (1 - 1 / classes) / row["n"])
            if row["value"] <= bar:
                return [f"accuracy {row['value']:.3f} is not above chance ({bar:.3f})"]
    return []


def write(table: pd.DataFrame, facts: RunFacts, folder: Path) -> list[Path]:
    """Write ``scores.csv`` (canonical), ``run.json``, ``pictures.json`` and ``units.csv`` where there are
    any, and ``scores.parquet`` where pyarrow is installed.
    """
    make_folder(folder)
    made: dict[str, bytes | Callable[[IO[bytes]], None]] = {
        "scores.csv": partial(_write_csv, table),
        "run.json": (json.dumps(facts.to_json(), indent=1) + "\n").encode(),
    }
    if facts.pictures:
        made[PICTURES] = (json.dumps(facts.pictures, indent=1) + "\n").encode()
    if facts.units:
        made[units.FILE] = units.as_csv(facts.units)
    parquet = to_parquet(table)
    if parquet is not None:
        made["scores.parquet"] = parquet
    for name in BESIDE:
        (folder / name).unlink(missing_ok=True)  # those of an earlier run are of other networks
    publish_all({folder / name: content for name, content in made.items()})
    return [folder / name for name in made]


def as_csv(table: pd.DataFrame) -> bytes:
    """The table as its canonical CSV."""
    buffer = io.BytesIO()
    _write_csv(table, buffer)
    return buffer.getvalue()


def _write_csv(table: pd.DataFrame, file: IO[bytes]) -> None:
    table.to_csv(file, index=False, lineterminator="\n", encoding="utf-8")


def to_parquet(table: pd.DataFrame) -> bytes | None:
    """The table as Parquet, or None where the extra ``parquet`` is not installed."""
    buffer = io.BytesIO()
    try:
        table.to_parquet(buffer, engine="pyarrow", index=False)
    except ImportError:
        return None
    return buffer.getvalue()


def read(folder: Path) -> tuple[pd.DataFrame, RunFacts]:
    """The table and its facts from a folder that a run wrote. Raises BadInput for what is not one."""
    import pandas as pd

    csv, run = folder / "scores.csv", folder / "run.json"
    for path in (csv, run):
        if not path.is_file():
            raise BadInput(f"{folder}: has no {path.name}; give a folder that lthbench run --report wrote.")
    try:
        content = textfiles.values(textfiles.read(run))
        schema = content["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadInput(f"{run}: cannot be read as facts of a run.") from error
    if schema != SCHEMA:
        raise BadInput(
            f"{run}: has schema {schema}, this version reads schema {SCHEMA}. Run the command that stands in "
            "it again: what its store holds is not trained again."
        )
    facts = run_facts.from_json(content, str(run))
    if (folder / PICTURES).is_file():
        facts = dataclasses.replace(facts, pictures=_pictures(folder / PICTURES))
    if (folder / units.FILE).is_file():
        facts = dataclasses.replace(facts, units=_units(folder / units.FILE))
    with textfiles.opened(csv) as content:
        table = _parsed(csv, content)
    if not isinstance(table.index, pd.RangeIndex):
        raise BadInput(f"{csv}: not a table of scores: rows have more fields than the header.")
    twice = [c for c in COLUMNS if f"{c}.1" in table.columns]
    if twice:
        raise BadInput(f"{csv}: not a table of scores: has column {twice[0]} twice.")
    missing = [c for c in COLUMNS if c not in table.columns]
    if missing:
        raise BadInput(f"{csv}: not a table of scores: missing {', '.join(missing)}.")
    for column in _NAMES:
        odd = next((name for name in table[column].unique() if not one_line(name)), None)
        if odd is not None:
            raise BadInput(f"{csv}: {column} has a name with control characters: {odd[:100]!a}.")
    return table, facts


def _parsed(csv: Path, content: IO[bytes]) -> pd.DataFrame:
    """The rows of a table from its file, of which it reads a part at a time. Raises BadInput."""
    import pandas as pd

    start = content.tell()
    separator = textfiles.separator(content.readline(_HEADER).decode(errors="replace"), list(COLUMNS)) or ","
    content.seek(start)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # numbers that are too large for their column
            return pd.read_csv(
                content,
                sep=separator,
                dtype=dict(COLUMNS),
                keep_default_na=False,
                na_values={column: [""] for column in ("value", "se", "diff_se", "mean_diff_se")},
            )
    except (ValueError, TypeError, OverflowError, RuntimeWarning) as error:
        raise BadInput(f"{csv}: not a table of scores{because(error)}.") from error


def _units(path: Path) -> tuple[units.Unit, ...]:
    """The units that a run gathered beside its table. Raises BadInput."""
    try:
        return units.from_csv(path.read_bytes(), str(path))
    except Damaged as error:
        raise BadInput(str(error)) from error


def _pictures(path: Path) -> tuple[dict[str, Any], ...]:
    """The pictures that a run drew beside its table. Raises BadInput."""
    try:
        found = textfiles.values(textfiles.read(path))
        if not all({"kind", "title", "text", "image"} <= set(p) for p in found):
            raise ValueError("a picture lacks a part")
        odd = next((p[n] for p in found for n in ("kind", "title") if not one_line(str(p[n]))), None)
        if odd is not None:
            raise ValueError(f"a name with control characters: {odd[:100]!a}")
        return tuple(dict(p) for p in found)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"{path}: cannot be read as pictures of a run.") from error
