"""What a table shows: its scores, and the mean of each over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from lthbench import formatting
from lthbench.results import latency
from lthbench.verdict.observed import plain_rows

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.results.latency import Latency
    from lthbench.results.run_facts import RunFacts
    from lthbench.verdict.calibration import Calibration

#: Value, status and reason of each seed, by method, sparsity and score.
_Found = dict[tuple[str, float, str], list[tuple[float, str, str]]]


#: Scores that say where a network is, and of which neither more nor less is better.
NEITHER = ("bin_confidence", "corrupted_bin_confidence")


@dataclass(frozen=True)
class Shown:
    """A score as it is shown."""

    name: str
    title: str
    unit: str
    higher_is_better: bool
    group: str
    verdict: bool

    @property
    def header(self) -> str:
        """Title, unit, and which way is better."""
        return f"{self.title}{', ' + self.unit_shown if self.unit_shown else ''} {self.arrow}".rstrip()

    @property
    def axis(self) -> str:
        """Title and unit, beside an axis."""
        return f"{self.title} ({self.unit_shown})" if self.unit_shown else self.title

    @property
    def arrow(self) -> str:
        """Up where higher is better; none where neither is."""
        if self.name in NEITHER:
            return ""
        return "↑" if self.higher_is_better else "↓"

    @property
    def better(self) -> str:
        """The arrow in words."""
        if self.name in NEITHER:
            return "neither more nor less is better"
        return "higher is better" if self.higher_is_better else "lower is better"

    @property
    def unit_shown(self) -> str:
        """The unit, unless the title says it."""
        return "" if self.unit == "ratio" else formatting.unit(self.unit)


@dataclass(frozen=True)
class Cell:
    """One score of a method at a sparsity: mean and sample standard deviation over seeds."""

    mean: float
    spread: float
    seeds: int
    status: str
    reason: str
    text: str


def of_table(
    table: pd.DataFrame, facts: RunFacts
) -> tuple[tuple[Shown, ...], dict[tuple[str, float, str], Cell]]:
    """The scores that a table has, and their cells by (method, sparsity, score).

    What forward passes take stands beside them, in milliseconds, where networks were timed, and how many
    times as fast as dense they are.
    """
    by_cell = _by_cell(table) | _timed(facts)
    there = {score for _, _, score in by_cell}
    timed = {t.score: Shown(t.score, t.title, "ms", False, "efficiency", False) for t in facts.latencies}
    faster = {
        t.speedup_score: Shown(t.speedup_score, t.speedup_title, "ratio", True, "efficiency", False)
        for t in facts.latencies
        if t.speedup is not None
    }
    scores = (
        *(
            Shown(s.name, s.title, s.unit, s.higher_is_better, s.group, s.verdict)
            for s in facts.scores
            if s.name in there
        ),
        *timed.values(),
        *faster.values(),
    )
    units = {s.name: s.unit for s in scores}
    found = {key: _cell(rows, units.get(key[2], "")) for key, rows in by_cell.items()}
    return scores, found | _faster(facts)


def of_trainings(calibration: Calibration | None, scores: Iterable[Shown]) -> dict[str, Cell]:
    """What the dense trainings of a calibration have, by score: what pruned networks are compared with."""
    found = {}
    for shown in scores:
        dense = None if calibration is None else calibration.scores.get(shown.name)
        if dense is not None:
            found[shown.name] = of_values(dense.values, shown.unit)
    return found


def of_values(values: Iterable[float], unit: str = "") -> Cell:
    """The cell of values that are all good, one for each seed."""
    return _cell([(value, "ok", "") for value in values], unit)


def seeds_of(found: Mapping[tuple[str, float, str], Cell]) -> str:
    """How many seeds networks have: "3 seeds", or "3 to 6 seeds" where they were added to some."""
    counts: dict[tuple[str, float], int] = {}
    for (method, sparsity, _), cell in found.items():
        counts[method, sparsity] = max(counts.get((method, sparsity), 0), cell.seeds)
    known = [count for count in counts.values() if count] or [0]
    fewest, most = min(known), max(known)
    return f"{fewest} to {most} seeds" if fewest < most else formatting.counted(most, "seed", "seeds")


def _timed(facts: RunFacts) -> _Found:
    """What forward passes of networks take, in milliseconds."""
    found: _Found = {}
    for t in facts.latencies:
        found.setdefault((t.method, t.sparsity, t.score), []).append((1000.0 * t.seconds, "ok", ""))
    return found


def _faster(facts: RunFacts) -> dict[tuple[str, float, str], Cell]:
    """How many times as fast as dense networks are, with intervals over turns in place of seeds' spread."""
    rows: dict[tuple[str, float, str], list[Latency]] = {}
    for t in facts.latencies:
        rows.setdefault((t.method, t.sparsity, t.speedup_score), []).append(t)
    found = {}
    for key, own in rows.items():
        if speedup := latency.speedup_of(own):
            values = [t.speedup for t in own if t.speedup is not None]
            found[key] = replace(of_values(values, "ratio"), text=latency.speedup_text(*speedup))
    return found


def _by_cell(table: pd.DataFrame) -> _Found:
    """Value, status and reason of each seed, by method, sparsity and score."""
    found: _Found = {}
    names = ["method", "sparsity", "score", "value", "status", "reason"]
    for method, sparsity, score, *facts in plain_rows(table.loc[table["variant"] == "", names]):
        found.setdefault((str(method), float(sparsity), str(score)), []).append(tuple(facts))
    return found


def _cell(rows: list[tuple[float, str, str]], unit: str) -> Cell:
    values = [value for value, _, _ in rows if not math.isnan(value)]
    statuses = {status for _, status, _ in rows}
    status = next((s for s in ("failed", "missing", "degenerate", "gated") if s in statuses), "ok")
    reason = "; ".join(dict.fromkeys(reason for _, _, reason in rows if reason))
    mean = fmean(values) if values else math.nan
    spread = stdev(values) if len(values) > 1 else math.nan
    text = formatting.measured(mean, spread, unit)
    if 0 < len(values) < len(rows):
        text += f" ({len(values)} of {len(rows)} seeds)"
    return Cell(mean, spread, len(values), status, reason, text)
