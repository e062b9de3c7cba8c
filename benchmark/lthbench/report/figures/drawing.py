"""What all figures share: colours and markers, records, axes, and SVG in the colours of the page."""

from __future__ import annotations

import functools
import hashlib
import io
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from lthbench import formatting
from lthbench.report.summary import Summary

_Given = ParamSpec("_Given")
_Drawn = TypeVar("_Drawn")

#: Okabe & Ito's colours, which colour-blind people can tell apart, and others as far from them.
COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8a6d3b", "#0fa3b1"),
    *("#7b61c4", "#b33a6b", "#6b8e00"),
)
#: A marker for each colour, so that methods are told apart in grey.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", "p", "h")

#: Up to so many methods ranges over seeds are bands; those of more would hide each other, and are bars.
BANDS = 4

# Stand-ins that become the page's own colours, so that a figure fits light and dark.
INK, FAINT, DENSE = "#010203", "#040506", "#070809"
#: One hue for sparsities, from pale to dark, which grey keeps. On a dark page they go from dark to pale.
SHADES = ("#86b8de", "#5f9bcd", "#417fb8", "#2a629f", "#184781", "#0a2a57")
_PAGE_COLOURS = {
    **{INK: "currentColor", FAINT: "var(--line)", DENSE: "var(--dense)"},
    **{shade: f"var(--s{number})" for number, shade in enumerate(SHADES, 1)},
}
#: How dense is drawn, and what lies in region II.
DASHES, REGION_TWO = (0, (5, 3)), (0, (2, 1.2))
#: The line of dense.
DENSE_LINE: dict[str, Any] = {"color": DENSE, "lw": 1.4, "ls": DASHES}
#: How methods are drawn that do not stand out among many.
GREY: dict[str, Any] = {"color": DENSE, "lw": 0.7, "alpha": 0.45}
#: How they are drawn where they have one point, of which a line would show nothing.
GREY_POINT = GREY | {"marker": "o", "ms": 2.5}
#: Names of sparsities are at least so far apart, as a share of the axis.
APART = 0.13
#: The horizontal axis of what is drawn over sparsity.
SPARSITY = "sparsity (% of prunable weights removed)"


@dataclass(frozen=True)
class Figure:
    """A drawing, its words, and its numbers.

    ``text`` says what it shows, for those who cannot see it. ``canvas`` is Matplotlib's. ``axes`` are the
    names of the horizontal and of the vertical axis, with units; ``legend`` has Matplotlib's samples;
    ``rows`` are the numbers drawn, in the columns ``head``. ``wide``: too wide for one column of a paper.
    """

    title: str
    note: str
    svg: str
    text: str
    canvas: Any = field(default=None, repr=False, compare=False)
    axes: tuple[str, str] = ("", "")
    legend: tuple[Any, ...] = field(default=(), repr=False, compare=False)
    head: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    wide: bool = False


@dataclass(frozen=True)
class Kind:
    """A kind of figure: ``name`` begins its files, ``place`` orders the page, ``heading`` and ``note`` head
    its section there; ``short`` names it in the list of contents.

    ``draw`` gives the figures of a summary; none where the table does not hold what they show. ``keyed``:
    methods are told by their colours and markers alone, so that the page shows what these are. ``detail``:
    pages of large tables leave it out.
    """

    name: str
    place: int
    heading: str
    short: str
    note: str
    draw: Callable[[Summary], list[Figure]]
    keyed: bool = False
    detail: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "draw", literally(self.draw))


def literally(draw: Callable[_Given, _Drawn]) -> Callable[_Given, _Drawn]:
    """The same, with texts as they are: a name with dollars in it is a name, and no formula."""

    @functools.wraps(draw)
    def drawn(*given: _Given.args, **more: _Given.kwargs) -> _Drawn:
        import matplotlib as mpl

        with mpl.rc_context({"text.parse_math": False}):
            return draw(*given, **more)

    return drawn


def rank(summary: Summary, method: str) -> int:
    """The place of a method's colour: those that stand out come first."""
    first = summary.foremost
    if method in first:
        return first.index(method)
    return len(first) + [m for m in summary.methods if m not in first].index(method)


def style(summary: Summary, method: str) -> tuple[str, str]:
    """The colour and marker of a method: the same in all figures of a report."""
    place = rank(summary, method)
    # When colours come again, each has the next marker.
    return COLOURS[place % len(COLOURS)], MARKERS[(place + place // len(COLOURS)) % len(MARKERS)]


def face(summary: Summary, method: str) -> str:
    """What a method's marker is filled with: hollow ones belong to those whose colour comes again."""
    place = rank(summary, method)
    return "none" if place >= len(COLOURS) else COLOURS[place]


def sample(summary: Summary, method: str) -> Any:
    """A method's line and marker, for a legend of Matplotlib's; "dense" is the dense line."""
    from matplotlib.lines import Line2D

    if method == "dense":
        return Line2D([], [], **DENSE_LINE, label="dense")
    colour, shape = style(summary, method)
    return Line2D([], [], color=colour, marker=shape, mfc=face(summary, method), ms=4.5, lw=1.6, label=method)


def samples(summary: Summary, methods: Any = None) -> tuple[Any, ...]:
    """The samples of dense and of methods, by default of all."""
    there = summary.methods if methods is None else methods
    return tuple(sample(summary, m) for m in ("dense", *there))


def keys(summary: Summary) -> tuple[Any, ...]:
    """The samples of dense and of the methods that stand out, and one for all others, which are grey."""
    from matplotlib.lines import Line2D

    others = len(summary.methods) - len(summary.foremost)
    if not others:
        return samples(summary)
    label = formatting.counted(others, "other method", "other methods")
    return (*samples(summary, summary.foremost), Line2D([], [], **GREY, label=label))


def canvas_with(size: tuple[float, float], box: tuple[float, float, float, float]) -> tuple[Any, Any]:
    """A canvas, its size in inches, and axes on it: left, bottom, width and height as shares of it."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=size)
    return canvas, canvas.add_axes(box)


def canvas_of_panels(size: tuple[float, float], *grid: int, **shared: Any) -> tuple[Any, Any]:
    """A canvas, its size in inches, and its panels: ``grid`` are how many below and beside each other."""
    from matplotlib.figure import Figure as Canvas

    canvas = Canvas(figsize=size, layout="constrained")
    return canvas, canvas.subplots(*grid, **shared)


def plain(axes: Any, grid: str = "y") -> None:
    """Axes without a frame, in the page's colours."""
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    if grid:
        axes.grid(axis=grid, color=FAINT, lw=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=8.5, length=0, pad=4)


def place(sparsity: float) -> float:
    """Where a sparsity stands: even steps for even shares removed, as the rounds of the grid."""
    return -math.log(1.0 - sparsity)


def over_sparsity(axes: Any, summary: Summary) -> None:
    """A horizontal axis of sparsities in per cent."""
    sparsities = summary.sparsities
    shown = ticked(summary)
    if shown:
        axes.set_xticks([place(s) for s in shown], [formatting.share(s) for s in shown])
        margin = 0.06 * max(place(sparsities[-1]) - place(sparsities[0]), 0.5)
        axes.set_xlim(place(sparsities[0]) - margin, place(sparsities[-1]) + margin)
    plain(axes)
    counted(axes)
    axes.locator_params(axis="y", nbins=5)


def counted(axes: Any) -> None:
    """Numbers of a vertical axis that are whole: large ones have k, M, G or T, and none a factor apart."""
    from matplotlib.ticker import ScalarFormatter

    class Whole(ScalarFormatter):
        def format_ticks(self, values: Any) -> list[str]:
            largest = max(map(abs, values), default=0.0)
            if largest < 10_000:
                return super().format_ticks(values)
            power = min(int(math.log10(largest) / 3 + 1e-9), 4)
            shown = (f"{v / 1000**power:.6g}{' kMGT'[power] if v else ''}" for v in values)
            return [self.fix_minus(text) for text in shown]

    shown = Whole(useOffset=False)
    shown.set_scientific(False)
    axes.yaxis.set_major_formatter(shown)


def ticked(summary: Summary) -> list[float]:
    """The sparsities that an axis names: of two whose names would meet, that of more methods."""
    sparsities = summary.sparsities
    if not sparsities:
        return []
    methods = Counter(level for _, level in summary.networks)
    apart = APART * (place(sparsities[-1]) - place(sparsities[0]))
    shown: list[float] = []
    for level in sorted(sparsities[:: _every(len(sparsities))], key=lambda s: -methods[s]):
        if all(abs(place(level) - place(other)) >= apart for other in shown):
            shown.append(level)
    return sorted(shown)


def _every(points: int) -> int:
    """Of many points, each of which is marked, named on the axis and put into words: about eight in all."""
    return max(1, math.ceil(points / 8))


def marked(points: int) -> slice:
    """Of many points those that have a marker and are put into words, the last among them."""
    return slice((points - 1) % _every(points), None, _every(points))


def marker(summary: Summary, method: str) -> str:
    """A method's sample of line and marker, for the legend."""
    colour, shape = style(summary, method)
    canvas, axes = canvas_with((0.45, 0.2), (0.0, 0.0, 1.0, 1.0))
    axes.plot([0, 1, 2], [0, 0, 0], color=colour, lw=1.8)
    axes.plot([1], [0], color=colour, marker=shape, mfc=face(summary, method), ms=6)
    axes.set_axis_off()
    drawn = svg(canvas, f"legend {method}")
    return drawn.replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)


def svg(canvas: Any, name: str) -> str:
    """A drawing as SVG for the page, its ids told apart by ``name``."""
    import matplotlib as mpl

    buffer = io.StringIO()
    # Text stays text, in the page's font; the salt makes the same figure the same bytes.
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": name, "font.family": "sans-serif", "text.parse_math": False}
    ):
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
    text = re.sub(r'(\bid="|href="#|url\(#)([^")]+)', lambda m: m[1] + names.get(m[2], slug + m[2]), text)
    for stand_in, colour in _PAGE_COLOURS.items():
        text = text.replace(stand_in, colour)
    return text


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
    text = marks.sub(lambda found: f"{found[1]}{found[3]}>{found[2].replace(found[3], '')}</g>", text)
    for pattern, instead in _SHARED:
        text = re.sub(pattern, instead, text)
    # Groups of one or of nothing go, from the inside out.
    lone = re.compile(r"<g>(<(?:path|text) [^>]*(?:/>|>[^<]*</text>))?</g>")
    while (shorter := lone.sub(r"\1", text)) != text:
        text = shorter
    return text


#: What every drawing repeats: the page's style sheet says it once, or it shows nothing.
_SHARED = (
    (r"<defs><style.*?</style></defs>", ""),
    (r' xmlns(:xlink)?="[^"]*"| version="1.1"', ""),
    (r'<path [^>]*style="fill:none"/>', ""),
    (r"(;stroke-dashoffset:0|;stroke-linecap:square|font-family:inherit;)", ""),
    (rf';fill:{INK}"', '"'),
    (rf'( clip-path="[^"]*")? style="fill:none;stroke:{FAINT};stroke-width:0.7"', ' class="grid"'),
    (r' (z )?"', r'\1"'),
    (r'style="font-size:8.5px;text-anchor:(\w)\w+"', r'class="t\1"'),
    (r"xlink:href", "href"),
)
