"""Lines per seed: each score of the verdict over sparsity, a panel for each method."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lthbench import formatting
from lthbench.report.cells import Shown
from lthbench.report.compared import Compared
from lthbench.report.figures.curves import halves, reference, reference_samples, region_two, scale_of
from lthbench.report.figures.drawing import (
    INK,
    REGION_TWO,
    SPARSITY,
    Figure,
    Kind,
    canvas_of_panels,
    counted,
    place,
    plain,
    samples,
    style,
    svg,
)
from lthbench.report.summary import Summary

#: Panels in a row.
ACROSS = 4


def lines(summary: Summary) -> list[Figure]:
    """One figure for each score that the verdict asks for; none of one seed or one sparsity."""
    if len(summary.facts.seeds) < 2 or len(summary.sparsities) < 2:
        return []
    compared = Compared(summary)
    return [_figure(summary, compared, score) for score in summary.scores if score.verdict]


def _figure(summary: Summary, compared: Compared, score: Shown) -> Figure:
    across = min(ACROSS, len(summary.methods))
    down = -(-len(summary.methods) // across)
    size = 1.1 + 1.45 * across, 0.35 + 1.15 * down
    canvas, panels = canvas_of_panels(size, down, across, sharex=True, sharey=True, squeeze=False)
    regions, rows, words = region_two(summary), [], []
    for panel, method in zip(panels.flat, summary.methods, strict=False):
        reference(panel, summary, compared, score)
        found = _of_method(summary, compared, score, method)
        _lines(panel, summary, method, found.values(), scale_of(score), regions.get(method, 1.0))
        for seed, points in found.items():
            rows += [(method, level, seed, value) for level, value in points]
        last = [points[-1][1] for points in found.values()]
        if last:
            ends = " to ".join(formatting.number(v, score.unit) for v in (min(last), max(last)))
            words.append(f"{method} at its highest sparsity: {ends}")
        panel.set_title(method, fontsize=8, color=INK, pad=2)
        plain(panel, "")
        counted(panel)
        panel.tick_params(labelsize=7)
    ends_ = (summary.sparsities[0], summary.sparsities[-1])
    panels[0][0].set_xticks([place(s) for s in ends_], [formatting.share(s) for s in ends_])
    for empty in list(panels.flat)[len(summary.methods) :]:
        empty.set_axis_off()
    return Figure(
        score.title,
        f"{score.better}{', ' + score.unit_shown if score.unit_shown else ''}",
        svg(canvas, f"seeds {score.name}"),
        f"{score.header} over sparsity, a line for each seed. {'; '.join(words)}.",
        canvas,
        (SPARSITY, score.axis),
        (*samples(summary, ()), *reference_samples(summary)),
        ("method", "sparsity", "seed", "value"),
        tuple(rows),
        wide=True,
    )


def _of_method(
    summary: Summary, compared: Compared, score: Shown, method: str
) -> dict[int, list[tuple[float, float]]]:
    """Sparsity and value, by seed."""
    found: dict[int, list[tuple[float, float]]] = {}
    for level in summary.sparsities:
        for seed, value in compared.by_seed(method, level, score.name).items():
            found.setdefault(seed, []).append((level, value))
    return found


def _lines(
    axes: Any,
    summary: Summary,
    method: str,
    seeds: Iterable[list[tuple[float, float]]],
    scale: float,
    last: float,
) -> None:
    """All seeds of a method: one path for the solid parts, one for the dashed; a dot for one of one point."""
    colour, _ = style(summary, method)
    parts: tuple[list[Any], list[Any]] = ([], [])
    alone: list[tuple[float, float]] = []
    for points in seeds:
        drawn = [(place(level), value * scale) for level, value in points]
        alone += drawn if len(drawn) == 1 else []
        for part, half in zip(parts, halves(drawn, [s for s, _ in points], last), strict=True):
            part += [*half, (math.nan, math.nan)] if len(half) > 1 else []
    for part, dashes in zip(parts, ("-", REGION_TWO), strict=True):
        if part:
            axes.plot(*zip(*part, strict=True), color=colour, lw=0.9, ls=dashes)
    if alone:
        axes.plot(*zip(*alone, strict=True), color=colour, lw=0, marker="o", ms=2.5)


KIND = Kind(
    "seeds",
    12,
    "Seed by seed",
    "Seeds",
    "A line for each seed, a panel for each method, on one scale; otherwise as above.",
    lines,
    detail=True,
)
