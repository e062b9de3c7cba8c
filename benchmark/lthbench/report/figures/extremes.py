"""Extreme sparsities: how far each score of each method matches, as a table and as a radar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lthbench import formatting
from lthbench.report import leaderboard
from lthbench.report.figures.drawing import DENSE, INK, Figure, Kind, canvas_with, samples, svg
from lthbench.report.figures.radar import TOGETHER, around, line, polar, wrapped
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Verdict

#: Beyond so many columns their names are slanted.
UPRIGHT = 8


def extremes(summary: Summary) -> list[Figure]:
    """The table, and a radar for each few methods."""
    results = [v for v in summary.headline if v.matches and v.sparsities != (0.0,)]
    if not results:
        return []
    scores = list(dict.fromkeys(m.score for v in results for m in v.matches))
    drawn = [_table(summary, results, scores)]
    if len(scores) >= 3:
        parts = range(0, len(results), TOGETHER)
        drawn += [_radar(summary, results[start : start + TOGETHER], scores) for start in parts]
    return drawn


def _cells(result: Verdict, scores: Sequence[str]) -> list[float | None]:
    return [result.extremes.get(score) for score in scores]


def _shown(value: float | None) -> str:
    return "–" if value is None else formatting.share(value)


def _table(summary: Summary, results: Sequence[Verdict], scores: Sequence[str]) -> Figure:
    heads = ["smallest", *(leaderboard.head(summary, s) for s in scores)]
    lines = [[v.paper_pass, *_cells(v, scores)] for v in results]
    names = [wrapped(h, 8) for h in heads]
    body = 0.24 * len(lines)
    many = len(heads) > UPRIGHT
    high = (
        0.22 + 0.04 * max(map(len, heads))
        if many
        else 0.2 + 0.13 * max(name.count("\n") + 1 for name in names)
    ) + body
    canvas, axes = canvas_with((7.4, high), (0.13, 0.02, 0.78 if many else 0.86, body / high))
    levels = summary.sparsities
    for row, cells in enumerate(lines):
        for column, value in enumerate(cells):
            reached = sum(s <= value for s in levels) / len(levels) if value is not None else 0.0
            # The more is reached, the darker: it is read in grey as well.
            axes.axvspan(
                column - 0.5,
                column + 0.5,
                1 - (row + 1) / len(lines),
                1 - row / len(lines),
                color=DENSE,
                alpha=0.45 * reached,
                lw=0,
            )
            axes.text(column, row, _shown(value), ha="center", va="center", color=INK, fontsize=8)
    axes.set_xlim(-0.5, len(heads) - 0.5)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    axes.set_yticks(range(len(lines)), [v.method for v in results])
    if many:
        axes.set_xticks(range(len(heads)), heads, rotation=40, ha="left", rotation_mode="anchor")
    else:
        axes.set_xticks(range(len(heads)), names)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    axes.tick_params(colors=INK, labelsize=7.5, length=0, pad=4)
    said, rows = _told(results, lines, ["smallest", *scores], heads)
    return Figure(
        "extreme sparsities",
        f"in %: the largest at which a score matches, by the rule {summary.rule}; – for none",
        svg(canvas, "extreme table"),
        said,
        canvas,
        head=("method", "score", "extreme sparsity"),
        rows=rows,
        wide=True,
    )


def _told(
    results: Sequence[Verdict],
    lines: Sequence[Sequence[float | None]],
    scores: Sequence[str],
    titles: Sequence[str],
) -> tuple[str, tuple[tuple[Any, ...], ...]]:
    """The extremes of methods, a line of cells for each, in words and as rows."""
    of_method = [(v.method, cells) for v, cells in zip(results, lines, strict=True)]
    rows = tuple(
        (method, score, "" if cell is None else cell)
        for method, cells in of_method
        for score, cell in zip(scores, cells, strict=True)
    )
    said = (
        f"{method}: {', '.join(f'{t} {_shown(cell)}' for t, cell in zip(titles, cells, strict=True))}"
        for method, cells in of_method
    )
    return f"Extreme sparsities in per cent. {'; '.join(said)}.", rows


def _radar(summary: Summary, results: Sequence[Verdict], scores: Sequence[str]) -> Figure:
    levels = summary.sparsities
    canvas, axes = polar([wrapped(summary.title_of(s)) for s in scores], len(levels))
    # Even steps for the sparsities that were measured: the middle is none, the rim the highest.
    axes.set_yticks(range(1, len(levels) + 1), [formatting.share(s) for s in levels], fontsize=6.5, color=INK)
    lines = [_cells(result, scores) for result in results]
    for result, cells in zip(results, lines, strict=True):
        line(axes, summary, result.method, [_steps(levels, c) for c in cells])
    axes.plot(around(len(scores)), [len(levels)] * (len(scores) + 1), color=DENSE, lw=0.8)
    names = formatting.listed([v.method for v in results])
    said, rows = _told(results, lines, scores, [summary.title_of(s) for s in scores])
    return Figure(
        f"extreme sparsities, {names}",
        "middle: none; rings: the sparsities measured",
        svg(canvas, f"extreme {names}"),
        said,
        canvas,
        legend=samples(summary, [v.method for v in results])[1:],
        head=("method", "score", "extreme sparsity"),
        rows=rows,
    )


def _steps(levels: Sequence[float], value: float | None) -> float:
    return 0.0 if value is None or math.isnan(value) else float(sum(s <= value for s in levels))


KIND = Kind(
    "extremes",
    15,
    "Extreme sparsities",
    "Extremes",
    "The table of the paper: for each score the largest sparsity at which it matches. Beyond a gap it may "
    "match again, so that this can exceed the leaderboard, which stops at the first sparsity that does not "
    "match.",
    extremes,
    keyed=True,
)
