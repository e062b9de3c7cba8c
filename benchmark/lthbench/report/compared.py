"""Scores as the verdict compares them: what is dense, where the margin ends, and the means, for drawings."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import stdev

from lthbench import formatting
from lthbench.report.summary import Summary
from lthbench.verdict.calibration import RATIO
from lthbench.verdict.observed import corrupted
from lthbench.verdict.rules import Match
from lthbench.verdict.scale import Scale


@dataclass(frozen=True)
class Reference:
    """What the networks of a table are compared with on one score.

    ``dense`` is its mean on the scale of the comparison, ``worst`` the value that is worse by just the
    margin (None without one). ``relative``: differences are shares of it. ``trainings``: it is that of the
    calibration's trainings, and not of the parents.
    """

    dense: float
    worst: float | None
    relative: bool
    trainings: bool


class Compared:
    """The scores of a table by the rule that heads its report."""

    def __init__(self, summary: Summary):
        self._summary = summary
        self._judged: dict[str, dict[tuple[str, float], Match]] = {}
        for (method, sparsity, score), match in summary.matches.items():
            self._judged.setdefault(score, {})[method, sparsity] = match
        self._references = {score: self._reference(score, found) for score, found in self._judged.items()}
        self._ratios: dict[tuple[str, float], dict[int, float]] | None = None

    def reference(self, score: str) -> Reference | None:
        """What a score is compared with; None for one beside the verdict, or without numbers."""
        return self._references.get(score)

    def _reference(self, score: str, found: dict[tuple[str, float], Match]) -> Reference | None:
        """That of most networks: one of which a score is missing is compared with its parents."""
        kinds = Counter(_kind(m) for m in found.values() if math.isfinite(m.dense))
        if not kinds:
            return None
        (dense, allowed, relative, trainings), _ = kinds.most_common(1)[0]
        scale, worst = self._scale(score, relative), None
        if math.isfinite(allowed):
            worst = scale.value(scale.place(dense) + scale.margin(allowed))
        return Reference(dense, worst, relative, trainings)

    def mean(self, method: str, sparsity: float, score: str) -> float:
        """The mean over seeds that the verdict compares, geometric where differences are shares.

        NaN where there is none; of a score beside the verdict it is the plain mean.
        """
        reference = self.reference(score)
        if reference is not None and self._alike(method, sparsity, score, reference):
            if method == "dense":
                values = self.by_seed(method, sparsity, score).values()
                return self._scale(score, reference.relative).middle(values) if values else math.nan
            return self._judged[score][method, sparsity].mean
        return self._summary.mean(method, sparsity, score)

    def by_seed(self, method: str, sparsity: float, score: str) -> dict[int, float]:
        """The value of each seed: mCE beside all trainings, where the verdict compares it with them."""
        own = self._summary.by_seed.get((method, sparsity, score), {})
        reference = self.reference(score)
        if score != RATIO or reference is None or not reference.trainings:
            return own
        if self._ratios is None:
            self._ratios = _ratios(self._summary)
        alike = self._alike(method, sparsity, score, reference)
        return self._ratios.get((method, sparsity), own) if alike else own

    def spread(self, method: str, sparsity: float, score: str) -> float:
        """The standard deviation over seeds of what is drawn; NaN of one seed."""
        cell = self._summary.cell(method, sparsity, score)
        values = self.by_seed(method, sparsity, score)
        if score != RATIO or values is self._summary.by_seed.get((method, sparsity, score)):
            return math.nan if cell is None else cell.spread
        return stdev(values.values()) if len(values) > 1 else math.nan

    def _alike(self, method: str, sparsity: float, score: str, reference: Reference) -> bool:
        """Whether a network is compared with what most are, on the same scale; dense ones stand beside it."""
        match = self._judged[score].get((method, sparsity))
        if match is None or not math.isfinite(match.mean):
            return method == "dense"
        dense = match.dense, match.relative, match.reference == "trainings"
        return dense == (reference.dense, reference.relative, reference.trainings)

    def _scale(self, score: str, relative: bool) -> Scale:
        shown = self._summary.by_name.get(score)
        return Scale(shown is None or shown.higher_is_better, relative)

    def text(self, method: str, sparsity: float, score: str, unit: str) -> str:
        """The mean with its deviation over seeds: that of the tables where it is the same."""
        cell = self._summary.cell(method, sparsity, score)
        if cell is None:
            return "–"
        shown = formatting.measured(
            self.mean(method, sparsity, score), self.spread(method, sparsity, score), unit
        )
        return cell.text if cell.text.startswith(shown) else shown

    def dense_text(self, score: str, unit: str) -> str:
        """What the dashed line is: the dense networks of the table, or the trainings; "" without them."""
        reference, own = self.reference(score), self._summary.cell("dense", 0.0, score)
        trainings = self._summary.trainings.get(score)
        if reference is None:
            return "" if own is None or math.isnan(own.mean) else f"dense {own.text}"
        if not reference.trainings or trainings is None:
            return f"dense {formatting.measured(reference.dense, own.spread if own else math.nan, unit)}"
        return (
            f"dense {formatting.measured(reference.dense, trainings.spread, unit)} "
            f"({formatting.counted(trainings.seeds, 'training', 'trainings')})"
        )

    def dense(self, score: str) -> float:
        """Where the dashed line is; NaN where there is none."""
        reference = self.reference(score)
        return self._summary.mean("dense", 0.0, score) if reference is None else reference.dense


def drawn_as(summary: Summary) -> str:
    """What curves show otherwise than the tables do, as the verdict has it; "" for nothing."""
    matches = list(summary.matches.values())
    said = ""
    known = {m.score for m in matches if m.reference == "trainings"}
    if known and summary.calibration is not None:
        others = tuple(dict.fromkeys(m.score for m in matches if m.score not in known))
        own = f"; for {summary.titles(others)} the dense networks of this table" if others else ""
        said = f" Dense is what the verdict compares with: {len(summary.calibration.seeds)} trainings{own}."
    if any(m.relative for m in matches):
        said += " Means of scores whose margin is a share are geometric, as the verdict compares them; "
        said += "those in the tables are arithmetic."
    return said.strip()


def _kind(match: Match) -> tuple[float, float, bool, bool]:
    return match.dense, match.allowed, match.relative, match.reference == "trainings"


def _ratios(summary: Summary) -> dict[tuple[str, float], dict[int, float]]:
    """The mCE of each network beside all dense trainings, by method and sparsity; those that have one."""
    if summary.calibration is None:
        return {}
    found: dict[tuple[str, float], dict[int, float]] = {}
    for (method, sparsity, seed), errors in corrupted(summary.table).items():
        ratio = summary.calibration.ratio(errors)
        if not math.isnan(ratio):
            found.setdefault((method, sparsity), {})[seed] = ratio
    return found
