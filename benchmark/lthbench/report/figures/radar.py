"""All scores of the verdict in one drawing: on fixed axes, and stretched as the paper's charts are.

On fixed axes a spoke is how good a network is relative to its dense parent, from 0 to 2 with dense at 1: a
small difference looks small. The paper's charts (Chen et al. 2022, figures 1 and 11) stretch each spoke from
the worst to the best network shown, so that a difference of any size fills it.
"""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from textwrap import fill
from typing import Any

from lthbench import formatting
from lthbench.report import heads
from lthbench.report.cells import Shown
from lthbench.report.figures.drawing import DENSE_LINE, FAINT, INK, Figure, Kind, samples, style, svg
from lthbench.report.summary import Summary

#: Sparsities that are drawn at most.
SHOWN = 3
#: Where a spoke of a fixed axis ends: twice as good as dense.
END = 2.0
#: Letters in a line of a spoke's name.
WRAP = 10
#: Methods in a drawing at most: more hide each other.
TOGETHER = 4


def radars(summary: Summary) -> list[Figure]:
    """For a few sparsities at which three networks or more were measured, both drawings."""
    scores = [s for s in summary.scores if s.verdict]
    if len(scores) < 3:
        return []
    levels = summary.sparsities
    step = max(1, -(-len(levels) // SHOWN))
    return [f for level in levels[step - 1 :: step] for f in _pairs(summary, scores, level)]


def _pairs(summary: Summary, scores: list[Shown], level: float) -> list[Figure]:
    """Both drawings for each few methods; what a spoke is stretched to is the same for all of them."""
    every = [m for m in summary.methods if summary.cell(m, level, scores[0].name) is not None]
    if len(every) < 2:  # dense and one more: the one or the other is at each end
        return []
    methods = [m for m in every if m in summary.drawn_alone]
    fixed = {m: [_relative(summary, m, level, s) for s in scores] for m in methods}
    raw = {m: [_oriented(summary, m, level, s) for s in scores] for m in every}
    raw["dense"] = [_oriented(summary, "dense", 0.0, s) for s in scores]
    stretched = _stretched(raw)
    parts = -(-len(methods) // TOGETHER)
    found = []
    for part in range(parts):
        some = methods[part * TOGETHER : (part + 1) * TOGETHER]
        where = formatting.sparsity(level) + (f", {formatting.listed(some)}" if parts > 1 else "")
        shown = {m: stretched[m] for m in (*some, "dense")}
        own = {m: fixed[m] for m in some}
        note = "relative to dense: 1 on the ring, 2 at the rim"
        known = {(m, s.name) for m in some for s, v in zip(scores, raw[m], strict=True) if not math.isnan(v)}
        found.append(_draw(summary, scores, own, where, "fixed axes", note, known))
        note = "each spoke from the worst to the best of all methods"
        found.append(_draw(summary, scores, shown, where, "stretched", note))
    return found


def _oriented(summary: Summary, method: str, level: float, score: Shown) -> float:
    """The mean, turned so that higher is better."""
    mean = summary.mean(method, level, score.name)
    return mean if score.higher_is_better else -mean


def _relative(summary: Summary, method: str, level: float, score: Shown) -> float:
    """How good relative to dense, cut off at the ends of the axis; NaN where a ratio says nothing.

    A score may be negative: below 0 it is at the centre where dense is above 0.
    """
    sign = 1.0 if score.higher_is_better else -1.0
    own, dense = (sign * _oriented(summary, *who, score) for who in ((method, level), ("dense", 0.0)))
    if math.isnan(own) or math.isnan(dense):
        return math.nan
    if own < 0.0 or dense < 0.0:
        return 0.0 if score.higher_is_better and dense > 0.0 else math.nan
    above, below = (own, dense) if score.higher_is_better else (dense, own)
    return min(above / below, END) if below > 0.0 else END if above > 0.0 else 1.0


def _stretched(raw: dict[str, list[float]]) -> dict[str, list[float]]:
    columns = list(zip(*raw.values(), strict=True))
    ends = []
    for column in columns:
        known = [v for v in column if not math.isnan(v)]
        ends.append((min(known), max(known)) if known else (0.0, 0.0))

    def share(value: float, low: float, high: float) -> float:
        if math.isnan(value):
            return math.nan
        return (value - low) / (high - low) if high > low else 1.0

    return {m: [share(v, *pair) for v, pair in zip(values, ends, strict=True)] for m, values in raw.items()}


def wrapped(title: str, letters: int = WRAP) -> str:
    """A name in short lines, for a spoke or a column."""
    return fill(heads.plain(title), letters, break_on_hyphens=False, break_long_words=False)


def _draw(
    summary: Summary,
    scores: list[Shown],
    values: dict[str, list[float]],
    where: str,
    form: str,
    note: str,
    measured: Container[tuple[str, str]] = (),
) -> Figure:
    """One drawing. ``measured``: the methods and scores that lack a point only where a ratio says nothing."""
    top = END if form == "fixed axes" else 1.0
    canvas, axes = polar([wrapped(s.title) for s in scores], top)
    angles = around(len(scores))
    if form == "fixed axes":
        axes.plot(angles, [1.0] * len(angles), **DENSE_LINE)
    words: list[str] = []
    rows: list[tuple[Any, ...]] = []
    for method, spokes in values.items():
        pairs = list(zip(scores, spokes, strict=True))
        lacking = ("no ratio to dense" if (method, s.name) in measured else "not measured" for s in scores)
        said = (
            f"{s.title} {why if math.isnan(v) else f'{v:.2f}'}"
            for (s, v), why in zip(pairs, lacking, strict=True)
        )
        words.append(f"{method}: {', '.join(said)}")
        rows += [(method, s.title, "" if math.isnan(v) else v, note) for s, v in pairs]
        line(axes, summary, method, spokes)
    title = f"{where}, {form}"
    return Figure(
        title,
        note,
        svg(canvas, f"radar {title}"),
        f"{title}, {note}. {'; '.join(words)}.",
        canvas,
        legend=samples(summary, [m for m in values if m != "dense"]),
        head=("method", "score", "value", "scale"),
        rows=tuple(rows),
    )


def around(spokes: int) -> list[float]:
    """The angles of so many spokes, the first again at the end."""
    return [2 * math.pi * i / spokes for i in range(spokes)] + [0.0]


def polar(names: Sequence[str], top: float) -> tuple[Any, Any]:
    """A canvas and its round axes with a named spoke each, clockwise from the top."""
    from matplotlib.figure import Figure as Canvas
    from matplotlib.projections.polar import PolarAxes

    canvas = Canvas(figsize=(3.9, 3.1))
    axes = canvas.add_axes((0.21, 0.11, 0.58, 0.76), projection="polar")
    assert isinstance(axes, PolarAxes)
    angles = around(len(names))[:-1]
    axes.set_ylim(0.0, top * 1.02)
    axes.set_theta_offset(math.pi / 2)
    axes.set_theta_direction(-1)
    axes.set_xticks(angles, names)
    for label, angle in zip(axes.get_xticklabels(), angles, strict=True):
        # Clockwise from the top: labels grow away from the drawing, so that neighbours stay apart.
        aside = math.sin(angle)
        label.set_horizontalalignment("center" if abs(aside) < 0.2 else "left" if aside > 0 else "right")
    axes.set_yticks([top / 2, top], ["", ""])
    axes.tick_params(colors=INK, labelsize=8.5, pad=2)
    axes.grid(color=FAINT, lw=0.7)
    axes.spines["polar"].set_visible(False)
    return canvas, axes


def line(axes: Any, summary: Summary, method: str, spokes: Sequence[float]) -> None:
    """A method's closed line; it has a gap where a spoke is not known."""
    closed = around(len(spokes)), [*spokes, spokes[0]]
    if method == "dense":
        axes.plot(*closed, **DENSE_LINE)
    else:
        colour, marker = style(summary, method)
        axes.plot(*closed, color=colour, lw=1.6, marker=marker, ms=4)


KIND = Kind(
    "radar",
    60,
    "All scores in one drawing",
    "Radar",
    "Outer is better; dashed: dense. On fixed axes each spoke is the score relative to dense, so that a "
    "small difference looks small. The stretched form is the one in the paper: each spoke runs from the "
    "worst to the best network, which makes any difference look large. Scores that were not measured have "
    "no point. Of more than twelve methods: the foremost.",
    radars,
    keyed=True,
    detail=True,
)
