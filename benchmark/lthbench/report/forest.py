"""The verdict as something that one sees: differences to dense in units of the margin, with their bounds.

A forest plot has a row for each score. Its axis is the same for all: 0 is dense, 1 is as much worse as the
margin allows, what is below 0 is better. A score matches where its upper bound is left of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report import findings
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Match, Verdict

#: What is drawn of the axis, in margins; what lies beyond is drawn at its end.
LOW, HIGH = -2.0, 3.0


@dataclass(frozen=True)
class Mark:
    """One difference: where its mean and bounds stand on the axis, and what was found.

    ``kind`` is a class for its colour, ``sign`` a sign for those who see none. ``mean``, ``low`` and ``high``
    are in margins, cut to the axis; None where there is nothing to draw. ``words`` say it all.
    """

    kind: str
    sign: str
    mean: float | None
    low: float | None
    high: float | None
    words: str


def mark(summary: Summary, match: Match) -> Mark:
    """The mark of one score of one network."""
    sign, words = findings.SIGNS[match.finding], findings.words(summary, match)
    if not (match.allowed > 0.0 and math.isfinite(match.shortfall)):
        return Mark(*sign, None, None, None, words)
    mean, low, high = (_cut(v / match.allowed) for v in (match.shortfall, match.lower, match.bound))
    return Mark(*sign, mean, low, high, words)


def _cut(place: float) -> float | None:
    """A place on the axis; what is endless is at its end."""
    return None if math.isnan(place) else round(min(max(place, LOW), HIGH), 3)


@dataclass(frozen=True)
class Forest:
    """Marks of several networks side by side: ``columns`` are sparsities, each row a score."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Mark, ...]], ...]


def of_method(summary: Summary, result: Verdict, levels: Sequence[float]) -> Forest:
    """Small multiples over sparsity for one method."""
    found = {(m.score, m.sparsity): m for m in result.matches}
    rows = []
    for score in result.scores:
        marks = tuple(mark(summary, found[score, level]) for level in levels)
        rows.append((findings.pointed(summary, score, summary.title_of(score)), marks))
    return Forest(tuple(s.removesuffix(" %") for s in formatting.sparsities(levels)), tuple(rows))
