"""The rows of the table of scores, from what a store holds: see ``table``, which puts them into columns.

A table has hundreds of thousands of rows, most of whose columns are those of a network, a measure or a score:
a row refers to these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench.errors import Damaged
from lthbench.formatting import reason_line
from lthbench.kinds import Dataset, Metric, Score
from lthbench.store import ResultReader
from lthbench.store.artifacts import DRAWS, SCORES

if TYPE_CHECKING:
    from lthbench.planning.plan import Entry, Plan
    from lthbench.spec import Measure

#: The metric that tells how many of the test images each class has, in the variants of one of its scores.
_BY_CLASS, _OF_CLASS = "class-accuracy", "balanced_accuracy"


@dataclass(eq=False, slots=True)
class Source:
    """What rows of one measure share: the network of the grid, the metric, and how many passes were read."""

    entry: Entry
    metric: str
    measure: Measure
    forwards: int = 0


@dataclass(eq=False, slots=True)
class Row:
    """A row of the table; its other columns are those of its source and its score."""

    source: Source
    score: Score
    variant: str
    value: float
    se: float
    n: int
    status: str
    reason: str
    diff_se: float = math.nan
    mean_diff_se: float = math.nan

    @property
    def place(self) -> tuple[str, float, int]:
        """The network: its method, sparsity and seed."""
        entry = self.source.entry
        return entry.method, entry.sparsity, entry.seed


def of(plan: Plan, store: ResultReader, failures: dict[str, str]) -> list[Row]:
    """The rows of a plan's networks; what failed has a row that says why."""
    import numpy as np

    chance = accuracy_of_chance(plan, store, failures)
    rows = [row for entry in plan.entries for row in of_entry(entry, store, failures, chance)]
    _gate(rows, chance)
    with np.errstate(invalid="ignore", over="ignore"):  # draws may be infinite
        _add_paired_errors(rows, store)
    return rows


def accuracy_of_chance(plan: Plan, store: ResultReader, failures: dict[str, str]) -> float:
    """The accuracy of whoever always says the same: the share of the largest class in the test images.

    All networks see the same images; the first whose accuracy by class is known tells how many each class
    has. Where none does, as with more classes than are told apart, all count as equally large.
    """
    for measure in (m for entry in plan.entries for m in entry.measures if m.metric == _BY_CLASS):
        result = _result(store, measure, failures)
        told = result["values"] if result is not None else ()
        images = {v["variant"]: v["n"] for v in told if v["score"] == _OF_CLASS}
        every = images.pop("", 0)
        if images and every > 0:
            return float(max(images.values()) / every)
    return 1 / len(registry.get(Dataset, plan.request.task.data.dataset).classes)


def of_entry(entry: Entry, store: ResultReader, failures: dict[str, str], chance: float) -> list[Row]:
    """The rows of one network, without what others say of them; ``chance`` is the accuracy of chance."""
    rows: list[Row] = []
    notes: list[str] = []
    for measure in entry.measures:
        metric = registry.get(Metric, measure.metric)
        source = Source(entry, metric.name, measure)
        result = _result(store, measure, failures)
        if result is None:
            rows += (_empty(source, score, "", failures) for score in metric.scores)
            continue
        notes += result["degenerate"]
        source.forwards = result["forwards"]
        scores = {score.name: score for score in metric.scores}
        rows += [_told(source, scores[value["score"]], value["variant"], value) for value in result["values"]]
    rows += _controls(rows, entry, store, failures)
    notes += _at_chance(rows, chance)
    if notes and entry.method != "dense":
        why = "; ".join(dict.fromkeys(notes))
        for row in rows:
            if row.status == "ok":
                row.status, row.reason = "degenerate", "; ".join(filter(None, (why, row.reason)))
    return rows


def _result(store: ResultReader, measure: Measure, failures: dict[str, str]) -> Mapping[str, Any] | None:
    """What a measure found; None where it failed, or is not there. Raises Damaged."""
    if measure.key in failures:
        return None
    try:
        return SCORES.read(store, measure)
    except Damaged:  # or not there, or elsewhere
        return SCORES.read(store, measure) if store.has(measure) else None


def _told(source: Source, score: Score, variant: str, value: dict[str, Any]) -> Row:
    """The row of what a measure tells of a score."""
    found, se = value["value"], value["se"]
    found = math.nan if found is None else found
    status = "failed" if math.isnan(found) else "ok"
    reason = value["reason"] and reason_line(value["reason"])  # earlier versions stored it as it came
    return Row(source, score, variant, found, math.nan if se is None else se, value["n"], status, reason)


def _empty(source: Source, score: Score, variant: str, failures: dict[str, str]) -> Row:
    """The row of a score that was not measured."""
    key = source.measure.key
    status = "failed" if key in failures else "missing"
    return Row(source, score, variant, math.nan, math.nan, 0, status, failures.get(key, "not run"))


def _controls(rows: list[Row], entry: Entry, store: ResultReader, failures: dict[str, str]) -> list[Row]:
    """The headline scores of the networks beside a dense one, as variants of its own."""
    found = []
    own = {row.score.name: row for row in rows if row.variant == ""}
    for name, measure in entry.controls:
        source = Source(entry, measure.metric, measure)
        result = _result(store, measure, failures)
        if result is None:
            same = [row.score for row in own.values() if row.source.metric == measure.metric]
            found += [_empty(source, score, name, failures) for score in same]
            continue
        source.forwards = result["forwards"]
        for value in result["values"]:
            if value["variant"] == "":
                row = own[value["score"]]
                source.metric = row.source.metric
                found.append(_told(source, row.score, name, value))
    return found


def _at_chance(rows: Iterable[Row], chance: float) -> list[str]:
    for row in rows:
        if row.score.name == "accuracy" and row.status == "ok" and row.n > 0:
            bar = chance + 2 * math.sqrt(chance * (1 - chance) / row.n)
            if row.value <= bar:
                return [f"accuracy {row.value:.3f} is not above chance (up to {bar:.3f})"]
    return []


def _gate(rows: list[Row], chance: float) -> None:
    """Mark the interpretability scores of networks that have lost much of what there is to interpret.

    Such scores can be best where a network has collapsed: maps get sparser, linear explanations closer. The
    gate is half of what the dense parent of the seed has above ``chance``; without accuracies none gets
    through. Where one of the two is not measured yet, the score is missing until it is.
    """
    measured = [row for row in rows if row.variant == "" and row.score.name == "accuracy"]
    accuracies = {row.place: row.value for row in measured if not math.isnan(row.value)}
    awaited = {row.place for row in measured if row.status == "missing"}
    for row in rows:
        if row.score.group != "interpretability" or row.status != "ok":
            continue
        parent = ("dense", 0.0, row.source.entry.seed)
        if awaited & {row.place, parent}:
            row.status, row.reason = "missing", "its accuracy, or that of dense, is not measured yet"
            continue
        own = accuracies.get(row.place, math.nan)
        bar = chance + 0.5 * (accuracies.get(parent, math.nan) - chance)
        if not own >= bar:
            row.status = "gated"
            why = f"accuracy {own:.3f} is below the gate, {bar:.3f}: not comparable with dense"
            if math.isnan(own) or math.isnan(bar):
                why = "without its accuracy, or that of dense, it cannot be compared with dense"
            row.reason = "; ".join(filter(None, (row.reason, why)))


def _add_paired_errors(rows: list[Row], store: ResultReader) -> None:
    """Fill in the standard errors, over images, of the differences to the dense parents.

    All networks are drawn alike (``kinds.Value``), so the draws of a network minus those of its parent are a
    paired bootstrap: ``diff_se`` is their deviation. Different seeds see the same images, too:
    ``mean_diff_se``, the same on all rows of a method and sparsity, is that of the mean over seeds.
    """
    import numpy as np

    held: dict[str, dict[str, Any]] = {}

    def draws(row: Row) -> Any:
        measure = row.source.measure
        if measure.key not in held:
            held[measure.key] = draws_of(store, measure)
        return held[measure.key].get(row.score.name)

    headline = [row for row in rows if row.variant == "" and not math.isnan(row.value)]
    dense = {(r.score.name, r.source.entry.seed): r for r in headline if r.source.entry.method == "dense"}
    cells: dict[tuple[str, float, str], list[tuple[Row, Any]]] = {}
    for row in headline:
        entry, score = row.source.entry, row.score.name
        parent = dense.get((score, entry.seed))
        if entry.method == "dense" or parent is None:
            continue
        own, other = draws(row), draws(parent)
        if own is not None and other is not None and own.shape == other.shape and len(own) > 1:
            cells.setdefault((entry.method, entry.sparsity, score), []).append((row, own - other))
    for cell in cells.values():
        for length in {len(difference) for _, difference in cell}:
            alike = [(row, difference) for row, difference in cell if len(difference) == length]
            differences = np.stack([difference for _, difference in alike])
            for (row, _), error in zip(alike, np.std(differences, axis=1, ddof=1).tolist(), strict=True):
                row.diff_se = error
        if len(alike) == len(cell):
            shared = float(np.std(np.mean(differences, axis=0), ddof=1))
            for row, _ in cell:
                row.mean_diff_se = shared


def draws_of(store: ResultReader, measure: Measure) -> dict[str, Any]:
    """The draws of a measure's scores, to single precision as they are kept; none where it has none."""
    return dict(DRAWS.read(store, measure)) if DRAWS.name in store.files(measure) else {}
