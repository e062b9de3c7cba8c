"""Each score over sparsity: every method's mean, the seeds' range, dense, its margin, and its retraining."""

from __future__ import annotations

import math
from typing import Any

from lthbench import formatting
from lthbench.report.cells import Shown
from lthbench.report.compared import Compared
from lthbench.report.figures.drawing import (
    BANDS,
    DENSE,
    DENSE_LINE,
    GREY,
    GREY_POINT,
    REGION_TWO,
    SPARSITY,
    Figure,
    Kind,
    canvas_with,
    face,
    keys,
    marked,
    over_sparsity,
    place,
    style,
    svg,
    ticked,
)
from lthbench.report.summary import Summary, trainings_named

#: An axis that would be so many times as long as what most of it shows is cut, and what lies beyond is named.
CUT = 2.0
#: So many methods of one point are named beside it, and more are counted.
NAMED = 3

#: A sparsity and the mean there.
Points = list[tuple[float, float]]
#: Method, sparsity and value of points.
Beyond = list[tuple[str, float, float]]


def curves(summary: Summary, *, all_scores: bool = True) -> list[Figure]:
    """One figure for each score that was measured; without ``all_scores``, for those of the verdict only."""
    measured = {score for method, _, score in summary.by_seed if method != "dense"}
    there = [s for s in summary.scores if s.name in measured]
    compared = Compared(summary)
    return [_curve(summary, compared, score) for score in there if all_scores or score.verdict]


def region_two(summary: Summary) -> dict[str, float]:
    """For each method the last sparsity before region II (-1 for none): up to where its line is solid.

    In region II accuracy is more than a point below dense, by the paper's rule; where accuracy is not known
    nothing is in it.
    """
    found = {}
    for result in summary.verdicts.get("paper", ()):
        accuracy = [m for m in result.matches if m.score == "accuracy"]
        holding = max((m.sparsity for m in accuracy if m.matches), default=-1.0)
        # Of a degenerate network, which never matches, accuracy may be as good as it likes.
        lost = [
            m.sparsity
            for m in accuracy
            if m.sparsity > holding and m.finding in ("worse", "degenerate") and m.shortfall > m.allowed
        ]
        below = (s for s in result.sparsities if not lost or s < min(lost))
        found[result.method] = max(below, default=-1.0)
    return found


def halves(points: list[Any], levels: list[float], last: float) -> tuple[list[Any], list[Any]]:
    """Points up to the end of region I, and from there on: those that are drawn solid and dashed."""
    inside = sum(level <= last for level in levels)
    return points[:inside], points[max(inside - 1, 0) :] if inside < len(points) else []


def retraining(summary: Summary, score: str) -> tuple[float, float] | None:
    """The middle nine tenths of the calibration's trainings of the dense network; None without them."""
    import numpy as np

    found = summary.calibration.scores.get(score) if summary.calibration is not None else None
    if found is None:
        return None
    low, high = np.quantile(found.values, (0.05, 0.95))
    return float(low), float(high)


def reference(axes: Any, summary: Summary, compared: Compared, score: Shown) -> tuple[list[str], list[float]]:
    """Draw dense, its margin and the range of its retraining: in words, and as ends for the axis.

    Dense is what the verdict compares with: on a calibrated task the trainings, and not those of the table.
    """
    scale, dense, found = scale_of(score), compared.dense(score.name), compared.reference(score.name)
    if math.isnan(dense):
        return [], []
    ends, said = [dense], compared.dense_text(score.name, score.unit)
    if found is not None and found.worst is not None:
        axes.axhspan(dense * scale, found.worst * scale, color=DENSE, alpha=0.18, lw=0)
        said += f", margin at {formatting.number(found.worst, score.unit)}"
        ends.append(found.worst)
    band = retraining(summary, score.name)
    if band is not None:
        axes.axhspan(*(b * scale for b in band), facecolor="none", edgecolor=DENSE, lw=0.9, ls=(0, (1, 1.6)))
        low, high = (formatting.number(b, score.unit) for b in band)
        said += f", nine of ten retrainings from {low} to {high}"
        ends += band
    axes.axhline(dense * scale, **DENSE_LINE)
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


def scale_of(score: Shown) -> float:
    """What a value is drawn as: fractions in per cent."""
    return 100.0 if score.unit in formatting.PERCENT else 1.0


def _curve(summary: Summary, compared: Compared, score: Shown) -> Figure:
    canvas, axes = canvas_with((3.7, 2.45), (0.125, 0.15, 0.855, 0.81))
    words, ends = reference(axes, summary, compared, score)
    regions, drawn, rows, alone = region_two(summary), [], [], []
    for method in summary.methods:
        found = [(s, compared.mean(method, s, score.name)) for s in summary.sparsities]
        points = [(s, mean) for s, mean in found if not math.isnan(mean)]
        if points:
            _line(axes, summary, compared, score, method, points, regions.get(method, 1.0))
            rows += [(method, s, *_ends(compared, score, method, s)) for s, _ in points]
            drawn += [(method, s, mean * scale_of(score)) for s, mean in points]
            told = [s for s, _ in points[marked(len(points))]]
            said = (
                f"{compared.text(method, s, score.name, score.unit)} at {formatting.sparsity(s)}"
                for s in told
            )
            words.append(f"{method} " + ", ".join(said))
            alone += [(points[0][0], method)] if len(points) == 1 and method not in summary.foremost else []
    over_sparsity(axes, summary)
    beyond = _cut(axes, summary, drawn, ends)
    words += [f"beyond the axis: {_named(beyond)}"] if beyond else []
    _name_points(axes, summary, alone)
    return Figure(
        score.title,
        f"{score.better}{', ' + score.unit_shown if score.unit_shown else ''}{_beyond(beyond)}",
        svg(canvas, score.name),
        f"{score.header} over sparsity: {'; '.join(words)}.",
        canvas,
        (SPARSITY, score.axis),
        (*keys(summary), *reference_samples(summary)),
        ("method", "sparsity", "mean", "lowest seed", "highest seed", "seeds"),
        (*_dense_rows(summary, compared, score), *rows),
    )


def _dense_rows(summary: Summary, compared: Compared, score: Shown) -> list[tuple[Any, ...]]:
    """The dense networks of the table, and the trainings that the others are compared with."""
    found, rows = compared.reference(score.name), [("dense", 0.0, *_ends(compared, score, "dense", 0.0))]
    known = summary.calibration.scores.get(score.name) if summary.calibration is not None else None
    if found is not None and found.trainings and known is not None:
        ends = found.dense, min(known.values), max(known.values), len(known.values)
        rows.append((trainings_named(summary), 0.0, *ends))
    return rows


def _ends(compared: Compared, score: Shown, method: str, level: float) -> tuple[Any, ...]:
    """Mean, lowest and highest seed, and how many there are."""
    values = list(compared.by_seed(method, level, score.name).values())
    mean = compared.mean(method, level, score.name)
    if not values or math.isnan(mean):
        return "", "", "", 0
    return mean, min(values), max(values), len(values)


def _line(
    axes: Any,
    summary: Summary,
    compared: Compared,
    score: Shown,
    method: str,
    points: Points,
    last: float,
) -> None:
    """One method: its mean, dashed where accuracy is lost, and from its lowest to its highest seed."""
    scale = scale_of(score)
    colour, _ = style(summary, method)
    levels = [s for s, _ in points]
    x, mean = [place(s) for s in levels], [value * scale for _, value in points]
    if method not in summary.foremost:
        axes.plot(x, mean, **(GREY if len(x) > 1 else GREY_POINT), zorder=1)
        return
    pairs = [_ends(compared, score, method, s)[1:3] for s in levels]
    low, high = ([(p[i] if p[i] != "" else math.nan) * scale for p in pairs] for i in (0, 1))
    shown = marked(len(points))
    if len(points) > 1 and len(summary.methods) <= BANDS:
        # A polygon of its own: fill_between takes five times as long.
        axes.fill([*x, *reversed(x)], [*low, *reversed(high)], color=colour, alpha=0.13, lw=0)
    else:
        bars = zip(x[shown], low[shown], high[shown], strict=True)
        ends = [(at, end) for at, a, b in bars for end in (a, b, math.nan)]
        axes.plot(*zip(*ends, strict=True), color=colour, lw=0.8, alpha=0.7)
    means(axes, summary, method, list(zip(x, mean, strict=True)), levels, last)


def means(axes: Any, summary: Summary, method: str, points: Points, levels: list[float], last: float) -> None:
    """Draw a method's means at these sparsities: solid up to the ``last`` of region I, then dashed."""
    colour, shape = style(summary, method)
    for part, dashes in zip(halves(points, levels, last), ("-", REGION_TWO), strict=True):
        if len(part) > 1:
            axes.plot(*zip(*part, strict=True), color=colour, lw=1.8, ls=dashes)
    x, y = zip(*points[marked(len(points))], strict=True)
    axes.plot(x, y, color=colour, lw=0, marker=shape, mfc=face(summary, method), ms=5)


def _name_points(axes: Any, summary: Summary, alone: list[tuple[float, str]]) -> None:
    """Name grey methods of one point beside it, and where the axis does not, its sparsity."""
    low, high = axes.get_xlim()
    for level in sorted({level for level, _ in alone}):
        names = [method for where, method in alone if where == level]
        text = ", ".join(names) if len(names) <= NAMED else f"{len(names)} methods"
        at = "" if level in ticked(summary) else f" at {formatting.sparsity(level)}"
        axes.text(
            place(level) - 0.012 * (high - low),
            0.98,
            text + at,
            transform=axes.get_xaxis_transform(),
            rotation=90,
            ha="right",
            va="top",
            fontsize=6.5,
            color=DENSE,
        )


def _cut(axes: Any, summary: Summary, drawn: Beyond, ends: list[float]) -> Beyond:
    """Cut the axis where a few points would flatten all others; which these are, the furthest first."""
    import numpy as np

    values = np.array([v for _, _, v in drawn])
    if len(values) < 8:
        return []
    low, high = np.quantile(values, (0.25, 0.75))
    reach = high - low
    kept = [v for v in values if low - reach <= v <= high + reach] + ends
    bottom, top = min(kept), max(kept)
    if not top > bottom or values.max() - values.min() < CUT * (top - bottom):
        return []
    pad = 0.08 * (top - bottom)
    axes.set_ylim(bottom - pad, top + pad)
    off = [(m, s, v) for m, s, v in drawn if not bottom - pad <= v <= top + pad]
    for method, level, value in off:
        edge = (top if value > top else bottom) + (0.5 if value > top else -0.5) * pad
        colour = style(summary, method)[0] if method in summary.foremost else DENSE
        axes.plot([place(level)], [edge], color=colour, marker="^" if value > top else "v", ms=6, lw=0)
    return sorted(off, key=lambda point: -max(bottom - point[2], point[2] - top))


def _named(points: Beyond) -> str:
    return ", ".join(f"{m} {v:.3g} at {formatting.sparsity(s)}" for m, s, v in points)


def _beyond(points: Beyond) -> str:
    """What lies beyond the axis in a few words: of several points the furthest."""
    if len(points) < 2:
        return f"; beyond the axis: {_named(points)}" if points else ""
    return f"; {len(points)} points beyond the axis, the furthest {_named(points[:1])}"


KIND = Kind(
    "curve",
    10,
    "Each score over sparsity",
    "Curves",
    "Lines are means over seeds, bars (or bands) reach from the lowest to the highest seed; dashed where "
    "accuracy is more than a point below dense (region II). The dashed line is dense as the verdict has it, "
    "shaded is as much worse as the margin allows, dotted what nine of ten retrainings of dense give.",
    curves,
)
