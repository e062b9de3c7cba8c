"""Curves of each score over sparsity, as SVG that takes its text and line colours from the page."""

from __future__ import annotations

import hashlib
import io
import math
import re
from dataclasses import dataclass, field
from typing import Any

from lthbench import formatting
from lthbench.report.summary import Shown, Summary
from lthbench.verdict.scale import Scale

#: Okabe & Ito's colours, which colour-blind people can tell apart, and a marker for each as well.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#7f7f7f"),
    *("#7b61c4", "#b33a6b", "#6b8e00"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

#: Up to so many methods spreads are bands; those of more would hide each other, and are bars.
BANDS = 4

# Stand-ins that become the page's own colours, so that a figure fits light and dark.
INK, FAINT, DENSE = "#010203", "#040506", "#070809"
_PAGE_COLOURS = {INK: "currentColor", FAINT: "var(--line)", DENSE: "var(--dense)"}


@dataclass(frozen=True)
class Figure:
    """A drawing and its words: what it shows, for those who cannot see it. ``canvas`` is Matplotlib's."""

    title: str
    note: str
    svg: str
    text: str
    canvas: Any = field(default=None, repr=False, compare=False)
    unit: str = ""


def style(summary: Summary, method: str) -> tuple[str, str]:
    """The colour and marker of a method: the same in all figures of a report."""
    place = summary.methods.index(method)
    # When colours come again, each has the next marker.
    return COLOURS[place % len(COLOURS)], MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]


def curves(summary: Summary, *, all_scores: bool = True) -> list[Figure]:
    """One figure for each score: every method's mean and spread over sparsity, and the dense line.

    Without ``all_scores``, only for those that the verdict asks for.
    """
    return [_curve(summary, score) for score in summary.scores if all_scores or score.verdict]


def marker(summary: Summary, method: str) -> str:
    """A method's sample of line and marker, for the legend."""
    from matplotlib.figure import Figure as Canvas

    colour, shape = style(summary, method)
    canvas = Canvas(figsize=(0.45, 0.2))
    axes = canvas.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.plot([0, 1, 2], [0, 0, 0], color=colour, lw=1.8)
    axes.plot([1], [0], color=colour, marker=shape, ms=6)
    axes.set_axis_off()
    return svg(canvas, f"legend {method}", hidden=True)


def _curve(summary: Summary, score: Shown) -> Figure:
    from matplotlib.figure import Figure as Canvas

    scale = 100.0 if score.unit in formatting.PERCENT else 1.0
    canvas = Canvas(figsize=(3.7, 2.45))
    axes = canvas.add_axes((0.125, 0.15, 0.855, 0.81))
    words = []
    dense = summary.cell("dense", 0.0, score.name)
    if dense is not None and not math.isnan(dense.mean):
        worst = _worst(summary, score, dense.mean)
        if worst is not None:
            axes.axhspan(dense.mean * scale, worst * scale, color=DENSE, alpha=0.18, lw=0)
        axes.axhline(dense.mean * scale, color=DENSE, lw=1.4, ls=(0, (5, 3)))
        margin = "" if worst is None else f", margin at {formatting.number(worst, score.unit)}"
        words.append(f"dense {dense.text}{margin}")
    for method in summary.methods:
        found = [(s, summary.cell(method, s, score.name)) for s in summary.sparsities]
        points = [(s, c) for s, c in found if c is not None and not math.isnan(c.mean)]
        if not points:
            continue
        colour, shape = style(summary, method)
        x = [_place(s) for s, _ in points]
        mean = [c.mean * scale for _, c in points]
        spreads = [0.0 if math.isnan(c.spread) else c.spread * scale for _, c in points]
        low = [m - e for m, e in zip(mean, spreads, strict=True)]
        high = [m + e for m, e in zip(mean, spreads, strict=True)]
        # Of many sparsities some are marked and put into words, the last among them.
        every = math.ceil(len(points) / 8)
        marked = slice((len(points) - 1) % every, None, every)
        if len(points) > 1 and len(summary.methods) <= BANDS:
            # A polygon of its own: fill_between takes five times as long.
            axes.fill([*x, *reversed(x)], [*low, *reversed(high)], color=colour, alpha=0.13, lw=0)
        else:
            bars = zip(x[marked], low[marked], high[marked], strict=True)
            ends = [(place, end) for place, a, b in bars for end in (a, b, math.nan)]
            axes.plot(*zip(*ends, strict=True), color=colour, lw=1.2)
        axes.plot(x, mean, color=colour, lw=1.8, marker=shape, ms=5, markevery=marked)
        words.append(
            f"{method} " + ", ".join(f"{c.text} at {formatting.sparsity(s)}" for s, c in points[marked])
        )
    _axes(axes, summary)
    return Figure(
        score.title,
        f"{score.better}{', ' + score.unit_shown if score.unit_shown else ''}",
        svg(canvas, score.name),
        f"{score.header} over sparsity: {'; '.join(words)}.",
        canvas,
        score.unit_shown,
    )


def _worst(summary: Summary, score: Shown, dense: float) -> float | None:
    """The value that is worse than dense by just the margin; None for a score without one."""
    for result in summary.headline:
        for match in result.matches:
            if match.score == score.name and math.isfinite(match.allowed):
                scale = Scale(score.higher_is_better, match.relative)
                return scale.value(scale.place(dense) + scale.margin(match.allowed))
    return None


def _place(sparsity: float) -> float:
    """Where a sparsity stands: even steps for even shares removed, as the rounds of the grid."""
    return -math.log(1.0 - sparsity)


def _every(points: int) -> int:
    """Of many points, each of which is marked, named on the axis and put into words: about eight in all."""
    return max(1, math.ceil(points / 8))


def _axes(axes: object, summary: Summary) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    sparsities = summary.sparsities
    shown = sparsities[:: _every(len(sparsities))]
    if shown:
        axes.set_xticks([_place(s) for s in shown], [formatting.share(s) for s in shown])
        margin = 0.06 * max(_place(sparsities[-1]) - _place(sparsities[0]), 0.5)
        axes.set_xlim(_place(sparsities[0]) - margin, _place(sparsities[-1]) + margin)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.grid(axis="y", color=FAINT, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8.5, length=0, pad=4)
    axes.ticklabel_format(axis="y", useOffset=False)
    axes.locator_params(axis="y", nbins=5)


def svg(canvas: object, name: str, hidden: bool = False) -> str:
    """A drawing as SVG for the page, its ids told apart by ``name``."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    assert isinstance(canvas, Canvas)
    buffer = io.StringIO()
    # Text stays text, in the page's font; the salt makes the same figure the same bytes.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif"}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = _lean(text)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg [^>]*?)height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"font: ([^;\"]*?)px [^;\"]*", r"font-size: \1px; font-family: inherit", text)
    # Several figures share one page: their ids must not meet.
    slug = "f" + hashlib.sha256(name.encode()).hexdigest()[:7]
    names = {found: f"{slug}{n}" for n, found in enumerate(re.findall(r'\bid="([^"]+)"', text))}
    text = re.sub(
        r'(\bid="|xlink:href="#|url\(#)([^")]+)', lambda m: m[1] + names.get(m[2], slug + m[2]), text
    )
    for stand_in, colour in _PAGE_COLOURS.items():
        text = text.replace(stand_in, colour)
    return text.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1) if hidden else text


_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def _short(number: re.Match[str]) -> str:
    return f"{float(number[0]):.1f}".removesuffix(".0")


def _lean(text: str) -> str:
    """The same drawing in a third of the bytes: no unused ids, no more digits or fonts than can be seen."""
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"font-family: [^;\"]*", "font-family: inherit", text)
    text = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", text)
    text = re.sub(r"<[^>]+>", lambda tag: _NUMBER.sub(_short, tag[0]), text)
    text = re.sub(r"\s*\n\s*", " ", text)
    text = re.sub(r"> <", "><", text).replace("<g/>", "")
    text = re.sub(r'style="[^"]*"', lambda found: found[0].replace(": ", ":").replace("; ", ";"), text)
    # In a path without curves, numbers that follow a point are lines to the next.
    text = re.sub(r' d="[-ML z\d.]*"', lambda found: found[0].replace(" L ", " "), text)
    text = re.sub(r"<g>(<text [^>]*>[^<]*</text>)</g>", r"\1", text)
    # The markers of a line have one style: it moves to their group.
    marks = re.compile(r'(<g clip-path="[^"]*")>((?:<use [^>]*?( style="[^"]*")/>)(?:<use [^>]*?\3/>)*)</g>')
    return marks.sub(lambda found: f"{found[1]}{found[3]}>{found[2].replace(found[3], '')}</g>", text)
