"""Each score over sparsity: every method's mean, the seeds' range, dense, its margin, and its retraining."""

from __future__ import annotations

import math
from typing import Any

from lthbench import formatting
from lthbench.report.cells import Cell, Shown
from lthbench.report.figures.drawing import (
    BANDS,
    DASHES,
    DENSE,
    GREY,
    GREY_POINT,
    REGION_TWO,
    SPARSITY,
    Figure,
    Kind,
    face,
    keys,
    marked,
    over_sparsity,
    place,
    style,
    svg,
)
from lthbench.report.summary import Summary
from lthbench.verdict.scale import Scale

#: An axis that would be so many times as long as what most of it shows is cut, and what lies beyond is named.
CUT = 2.0

Points = list[tuple[float, Cell]]


def curves(summary: Summary, *, all_scores: bool = True) -> list[Figure]:
    """One figure for each score that was measured; without ``all_scores``, for those of the verdict only."""
    measured = {score for method, _, score in summary.by_seed if method != "dense"}
    there = [s for s in summary.scores if s.name in measured]
    return [_curve(summary, score) for score in there if all_scores or score.verdict]


def region_two(summary: Summary) -> dict[str, float]:
    """For each method the largest sparsity of region I (-1 for none): accuracy within a point of dense."""
    if not any(s.name == "accuracy" for s in summary.scores):
        return {}
    return {v.method: -1.0 if v.region is None else v.region for v in summary.headline if not v.undecided}


def halves(points: list[Any], levels: list[float], last: float) -> tuple[list[Any], list[Any]]:
    """Points up to the end of region I, and from there on: those that are drawn solid and dashed."""
    inside = sum(level <= last for level in levels)
    return points[:inside], points[max(inside - 1, 0) :] if inside < len(points) else []


def worst_allowed(summary: Summary, score: str, dense: float) -> float | None:
    """The value that is worse than dense by just the margin; None for a score without one."""
    for result in summary.headline:
        for match in result.matches:
            if match.score == score and math.isfinite(match.allowed):
                higher = next(s.higher_is_better for s in summary.scores if s.name == score)
                scale = Scale(higher, match.relative)
                return scale.value(scale.place(dense) + scale.margin(match.allowed))
    return None


def retraining(summary: Summary, score: str) -> tuple[float, float] | None:
    """The middle nine tenths of the calibration's trainings of the dense network; None without them."""
    import numpy as np

    found = summary.calibration.scores.get(score) if summary.calibration is not None else None
    if found is None:
        return None
    low, high = np.quantile(found.values, (0.05, 0.95))
    return float(low), float(high)


def reference(axes: Any, summary: Summary, score: Shown, scale: float) -> tuple[list[str], list[float]]:
    """Draw dense, its margin and the range of its retraining: in words, and as ends for the axis."""
    cell = summary.cell("dense", 0.0, score.name)
    if cell is None or math.isnan(cell.mean):
        return [], []
    ends, said = [cell.mean], f"dense {cell.text}"
    worst = worst_allowed(summary, score.name, cell.mean)
    if worst is not None:
        axes.axhspan(cell.mean * scale, worst * scale, color=DENSE, alpha=0.18, lw=0)
        said += f", margin at {formatting.number(worst, score.unit)}"
        ends.append(worst)
    band = retraining(summary, score.name)
    if band is not None:
        axes.axhspan(*(b * scale for b in band), facecolor="none", edgecolor=DENSE, lw=0.9, ls=(0, (1, 1.6)))
        low, high = (formatting.number(b, score.unit) for b in band)
        said += f", nine of ten retrainings from {low} to {high}"
        ends += band
    axes.axhline(cell.mean * scale, color=DENSE, lw=1.4, ls=DASHES)
    return [said], [e * scale for e in ends]


def reference_samples(summary: Summary) -> tuple[Any, ...]:
    """Samples of the margin and of the retraining, for legends."""
    from matplotlib.patches import Patch

    found = [Patch(facecolor=DENSE, alpha=0.18, label="margin")]
    if summary.calibration is not None:
        found.append(
            Patch(facecolor="none", edgecolor=DENSE, ls=(0, (1, 1.6)), lw=0.9, label="90 % of retrainings")
        )
    return tuple(found)


def _curve(summary: Summary, score: Shown) -> Figure:
    from matplotlib.figure import Figure as Canvas

    scale = 100.0 if score.unit in formatting.PERCENT else 1.0
    canvas = Canvas(figsize=(3.7, 2.45))
    axes = canvas.add_axes((0.125, 0.15, 0.855, 0.81))
    words, ends = reference(axes, summary, score, scale)
    regions, drawn, rows = region_two(summary), [], []
    for method in summary.methods:
        found = [(s, summary.cell(method, s, score.name)) for s in summary.sparsities]
        points = [(s, c) for s, c in found if c is not None and not math.isnan(c.mean)]
        if points:
            _line(axes, summary, score, method, points, scale, regions.get(method, 1.0))
            rows += _rows(summary, score, method, points)
            drawn += [(method, s, c.mean * scale) for s, c in points]
            said = (f"{c.text} at {formatting.sparsity(s)}" for s, c in points[marked(len(points))])
            words.append(f"{method} " + ", ".join(said))
    over_sparsity(axes, summary)
    beyond = _cut(axes, summary, drawn, ends)
    words += [f"beyond the axis: {beyond}"] if beyond else []
    return Figure(
        score.title,
        f"{score.better}{', ' + score.unit_shown if score.unit_shown else ''}"
        f"{'; beyond the axis: ' + beyond if beyond else ''}",
        svg(canvas, score.name),
        f"{score.header} over sparsity: {'; '.join(words)}.",
        canvas,
        (SPARSITY, f"{score.title}{f' ({score.unit_shown})' if score.unit_shown else ''}"),
        (*keys(summary), *reference_samples(summary)),
        ("method", "sparsity", "mean", "lowest seed", "highest seed", "seeds"),
        (("dense", 0.0, *_ends(summary, score, "dense", 0.0)), *rows),
    )


def _ends(summary: Summary, score: Shown, method: str, level: float) -> tuple[Any, ...]:
    """Mean, lowest and highest seed, and how many there are."""
    values = list(summary.by_seed.get((method, level, score.name), {}).values())
    if not values:
        return "", "", "", 0
    return math.fsum(values) / len(values), min(values), max(values), len(values)


def _rows(summary: Summary, score: Shown, method: str, points: Points) -> list[tuple[Any, ...]]:
    return [(method, s, *_ends(summary, score, method, s)) for s, _ in points]


def _line(
    axes: Any, summary: Summary, score: Shown, method: str, points: Points, scale: float, last: float
) -> None:
    """One method: its mean, dashed where accuracy is lost, and from its lowest to its highest seed."""
    colour, shape = style(summary, method)
    levels = [s for s, _ in points]
    x, mean = [place(s) for s in levels], [c.mean * scale for _, c in points]
    if method not in summary.foremost:
        axes.plot(x, mean, **(GREY if len(x) > 1 else GREY_POINT), zorder=1)
        return
    pairs = [_ends(summary, score, method, s)[1:3] for s in levels]
    low, high = ([(p[i] if p[i] != "" else math.nan) * scale for p in pairs] for i in (0, 1))
    shown = marked(len(points))
    if len(points) > 1 and len(summary.methods) <= BANDS:
        # A polygon of its own: fill_between takes five times as long.
        axes.fill([*x, *reversed(x)], [*low, *reversed(high)], color=colour, alpha=0.13, lw=0)
    else:
        bars = zip(x[shown], low[shown], high[shown], strict=True)
        ends = [(at, end) for at, a, b in bars for end in (a, b, math.nan)]
        axes.plot(*zip(*ends, strict=True), color=colour, lw=0.8, alpha=0.7)
    solid, dashed = halves(list(zip(x, mean, strict=True)), levels, last)
    for part, dashes in ((solid, "-"), (dashed, REGION_TWO)):
        if len(part) > 1:
            axes.plot(*zip(*part, strict=True), color=colour, lw=1.8, ls=dashes)
    axes.plot(x[shown], mean[shown], color=colour, lw=0, marker=shape, mfc=face(summary, method), ms=5)


def _cut(axes: Any, summary: Summary, drawn: list[tuple[str, float, float]], ends: list[float]) -> str:
    """Cut the axis where a few points would flatten all others; which they are, in words."""
    import numpy as np

    values = np.array([v for _, _, v in drawn])
    if len(values) < 8:
        return ""
    low, high = np.quantile(values, (0.25, 0.75))
    reach = high - low
    kept = [v for v in values if low - reach <= v <= high + reach] + ends
    bottom, top = min(kept), max(kept)
    if not top > bottom or values.max() - values.min() < CUT * (top - bottom):
        return ""
    pad = 0.08 * (top - bottom)
    axes.set_ylim(bottom - pad, top + pad)
    off = [(m, s, v) for m, s, v in drawn if not bottom - pad <= v <= top + pad]
    for method, level, value in off:
        edge = (top if value > top else bottom) + (0.5 if value > top else -0.5) * pad
        colour = style(summary, method)[0] if method in summary.foremost else DENSE
        axes.plot([place(level)], [edge], color=colour, marker="^" if value > top else "v", ms=6, lw=0)
    return ", ".join(f"{m} {v:.3g} at {formatting.sparsity(s)}" for m, s, v in off)


KIND = Kind(
    "curve",
    10,
    "Each score over sparsity",
    "Curves",
    "Lines are means over seeds, bars (or bands) reach from the lowest to the highest seed; dashed where "
    "accuracy is more than a point below dense (region II). The dashed line is dense, shaded is as much "
    "worse as the margin allows, dotted what nine of ten retrainings of dense give.",
    curves,
)
