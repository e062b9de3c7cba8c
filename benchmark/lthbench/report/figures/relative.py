"""Scores without a scale of their own, relative to the dense parent of each seed, over sparsity."""

from __future__ import annotations

from statistics import geometric_mean
from typing import Any

from lthbench import formatting
from lthbench.report.cells import Shown
from lthbench.report.figures.curves import means, region_two
from lthbench.report.figures.drawing import (
    DENSE_LINE,
    GREY,
    GREY_POINT,
    SPARSITY,
    Figure,
    Kind,
    canvas_with,
    keys,
    marked,
    over_sparsity,
    place,
    svg,
)
from lthbench.report.summary import Summary

#: The unit of scores whose size says little by itself: NLL and the trace of the Hessian.
UNIT = "nats"


def relative(summary: Summary) -> list[Figure]:
    """A figure for each such score that the verdict asks for."""
    there = [s for s in summary.scores if s.verdict and s.unit == UNIT]
    found = ((s, {m: points for m in summary.methods if (points := ratios(summary, s, m))}) for s in there)
    return [_figure(summary, score, by_method) for score, by_method in found if by_method]


def ratios(summary: Summary, score: Shown, method: str) -> list[tuple[float, list[float]]]:
    """Sparsities, and for each seed the score over that of the dense parent, where both are above zero."""
    dense = summary.by_seed.get(("dense", 0.0, score.name), {})
    found = []
    for level in summary.sparsities:
        pruned = summary.by_seed.get((method, level, score.name), {})
        both = [(value, dense[seed]) for seed, value in pruned.items() if seed in dense]
        values = [value / parent for value, parent in both if value > 0.0 and parent > 0.0]
        if values:
            found.append((level, values))
    return found


def _figure(summary: Summary, score: Shown, by_method: dict[str, list[tuple[float, list[float]]]]) -> Figure:
    canvas, axes = canvas_with((3.7, 2.45), (0.125, 0.15, 0.855, 0.81))
    axes.axhline(1.0, **DENSE_LINE)
    regions, rows, words = region_two(summary), [("dense", 0.0, 1.0, 1.0, 1.0, len(summary.facts.seeds))], []
    for method, points in by_method.items():
        ratio = [(level, geometric_mean(values)) for level, values in points]
        _line(axes, summary, method, ratio, regions.get(method, 1.0))
        rows += [
            (method, level, mean, min(values), max(values), len(values))
            for (level, mean), (_, values) in zip(ratio, points, strict=True)
        ]
        said = (f"{mean:.3g} at {formatting.sparsity(level)}" for level, mean in ratio[marked(len(ratio))])
        words.append(f"{method} " + ", ".join(said))
    over_sparsity(axes, summary)
    _logarithmic(axes)
    title = f"{score.title} relative to dense"
    return Figure(
        title,
        f"{score.better}; dense = 1, geometric mean over seeds",
        svg(canvas, f"relative {score.name}"),
        f"{title} over sparsity: {'; '.join(words)}.",
        canvas,
        (SPARSITY, f"{score.title} / dense"),
        keys(summary),
        ("method", "sparsity", "mean ratio", "lowest seed", "highest seed", "seeds"),
        tuple(rows),
    )


def _logarithmic(axes: Any) -> None:
    """A logarithmic vertical axis with about six round ratios on it."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    round_ones = [m * 10.0**e for e in range(-6, 7) for m in (1.0, 1.2, 1.5, *range(2, 10))]
    inside = [ratio for ratio in round_ones if low <= ratio <= high]
    if len(inside) > 8:
        inside = [r for r in inside if f"{r:e}"[0] in "125" and f"{r:e}"[2] == "0"]
    shown = inside[:: max(1, -(-len(inside) // 6))]
    axes.set_yticks(shown, [f"{ratio:g}" for ratio in shown])
    axes.set_yticks([], minor=True)


def _line(axes: Any, summary: Summary, method: str, found: list[tuple[float, float]], last: float) -> None:
    """One method, dashed where accuracy is lost; those that do not stand out are grey."""
    points = [(place(level), mean) for level, mean in found]
    if method not in summary.foremost:
        axes.plot(*zip(*points, strict=True), **(GREY if len(points) > 1 else GREY_POINT), zorder=1)
    else:
        means(axes, summary, method, points, [level for level, _ in found], last)


KIND = Kind(
    "relative",
    11,
    "Relative to dense",
    "Relative",
    "Scores without a scale of their own, each network's over that of its dense parent, as Chen et al. 2022 "
    "show them; on a logarithmic axis. Dashed in region II.",
    relative,
    detail=True,
)
