"""Tickets beside a small dense network and RigL at one sparsity: every score, in units of its margin."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lthbench import formatting
from lthbench.report.figures.drawing import (
    COLOURS,
    DENSE,
    DENSE_LINE,
    FAINT,
    INK,
    MARKERS,
    Figure,
    Kind,
    canvas_with,
    plain,
    sample,
    style,
    svg,
)
from lthbench.report.forest import HIGH, LOW
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Match, Verdict

#: A colour and a marker.
Look = tuple[str, str]
#: What tickets are compared with, beside the method that goes furthest.
BESIDE = ("small", "rigl")


def beside(summary: Summary) -> list[Figure]:
    """One figure, at a sparsity at which all in it were measured, the nearest to the middle of the table's.

    None where neither of the two was run, or nothing else where they were.
    """
    results = {v.method.partition(":")[0]: v for v in reversed(summary.headline) if v.matches}
    others = [results[name] for name in BESIDE if name in results]
    common = set(summary.sparsities).intersection(*(v.sparsities for v in others))
    tickets = [v for v in summary.headline if v.matches and v not in others and common & {*v.sparsities}]
    if not others or not tickets:
        return []
    first = max(tickets, key=lambda v: v.joint or 0.0)
    middle, levels = len(summary.sparsities) // 2, common & {*first.sparsities}
    level = min(sorted(levels), key=lambda s: abs(summary.sparsities.index(s) - middle))
    return [_figure(summary, [first, *others], level)]


def _figure(summary: Summary, results: Sequence[Verdict], level: float) -> Figure:
    scores = list(dict.fromkeys(m.score for v in results for m in v.at(level)))
    looks = _told_apart([style(summary, v.method) for v in results])
    high = 0.8 + 0.3 * len(scores)
    canvas, axes = canvas_with((4.6, high), (0.4, 0.6 / high, 0.58, 1 - 0.7 / high))
    axes.axvspan(LOW, 1, color=FAINT, alpha=0.35, lw=0)
    axes.axvline(0, **DENSE_LINE)
    axes.axvline(1, color=DENSE, lw=1.0)
    rows: list[tuple[Any, ...]] = []
    words = []
    for place, result in enumerate(results):
        said = []
        for match in result.at(level):
            units = in_margins(match)
            where = scores.index(match.score) + 0.22 * (place - (len(results) - 1) / 2)
            _mark(axes, looks[place], units, where)
            rows.append((result.method, level, match.score, *units, match.finding))
            if not math.isnan(units[0]):
                said.append(f"{summary.title_of(match.score)} {units[0]:.2f}")
        words.append(f"{result.method}: {', '.join(said)}")
    axes.set_xlim(LOW, HIGH)
    axes.set_ylim(len(scores) - 0.5, -0.5)
    axes.set_yticks(range(len(scores)), [summary.title_of(s) for s in scores])
    plain(axes, "")
    axes.tick_params(labelsize=8)
    legend = [
        sample(summary, "dense"),
        *(_sample(v.method, look) for v, look in zip(results, looks, strict=True)),
    ]
    canvas.legend(
        handles=legend, loc="lower center", ncols=len(legend), fontsize=8, frameon=False, labelcolor=INK
    )
    names = formatting.listed([v.method for v in results])
    return Figure(
        f"{names} at {formatting.sparsity(level)}",
        "better ← 0: dense, 1: the margin → worse; bars: 95 % bounds",
        svg(canvas, "beside"),
        f"How much worse than dense, in margins, at {formatting.sparsity(level)}. {'; '.join(words)}.",
        canvas,
        ("worse than dense (margins)", ""),
        tuple(legend),
        ("method", "sparsity", "score", "mean", "lower", "upper", "finding"),
        tuple(rows),
    )


def in_margins(match: Match) -> tuple[float, float, float]:
    """The shortfall and its lower and upper bound, in units of the margin; NaN where not known."""
    if not (match.allowed > 0.0 and math.isfinite(match.allowed)):
        return math.nan, math.nan, math.nan
    return tuple(value / match.allowed for value in (match.shortfall, match.lower, match.bound))  # type: ignore[return-value]


def _told_apart(looks: Sequence[Look]) -> list[Look]:
    """Colours and markers of methods, others for those that an earlier method here has: there are many."""
    found: list[Look] = []
    for colour, shape in looks:
        free = [c for c in (colour, *COLOURS) if c not in {c for c, _ in found}]
        marks = [m for m in (shape, *MARKERS) if m not in {m for _, m in found}]
        found.append((free[0], marks[0]))
    return found


def _sample(method: str, look: Look) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=look[0], marker=look[1], ms=5, lw=1.3, label=method)


def _mark(axes: Any, look: Look, units: tuple[float, float, float], where: float) -> None:
    mean, lower, upper = (min(max(u, LOW), HIGH) for u in units)
    if math.isnan(units[0]):
        return
    ends = [e for e, u in ((lower, units[1]), (upper, units[2])) if not math.isnan(u)]
    if len(ends) == 2:
        axes.plot(ends, [where, where], color=look[0], lw=1.3)
    axes.plot([mean], [where], color=look[0], marker=look[1], ms=5, lw=0, clip_on=False)


KIND = Kind(
    "beside",
    17,
    "Side by side at one sparsity",
    "Side by side",
    "The method that goes furthest, of those measured at the same sparsity, beside a small dense network "
    "with as many weights, or RigL, or both, as they were run. Across: how much worse than dense, in units "
    "of the margin, cut at both ends.",
    beside,
)
