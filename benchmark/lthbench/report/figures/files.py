"""Figures as files for papers: SVG, PNG and PDF in one and two columns, and their numbers as CSV."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from textwrap import wrap
from typing import Any

from lthbench.report import cells, figures, picture_panels
from lthbench.report.figures.drawing import DENSE, FAINT, INK, Figure, literally
from lthbench.report.summary import Summary
from lthbench.textfiles import csv_bytes

FORMATS = ("svg", "png", "pdf")
#: Widths in inches, by the end of the file's name: one column of a page with two, and both.
WIDTHS = {"": 3.35, "-wide": 6.9}
#: Letters in a line of a title, for each inch of width.
LETTERS = 17.0
#: How high one panel is at most, in inches.
HIGHEST = 3.0
#: How high a picture is, which keeps its shape.
TALLEST = 8.5
#: The stand-ins of a page's colours become these.
_COLOURS = {INK: "#3a4252", FAINT: "#dcdfe4", DENSE: "#4d5663"}
#: The ways in which Matplotlib's artists hold a colour.
_PARTS = ("color", "edgecolor", "facecolor", "markeredgecolor", "markerfacecolor")


@literally
def files(
    summary: Summary, formats: tuple[str, ...], tell: Callable[[str], None] = lambda _: None
) -> dict[str, bytes]:
    """Every figure of a report in each format and size, and its numbers as CSV, by file name.

    ``tell`` is called with what is done next.
    """
    found: dict[str, bytes] = {}
    taken: set[str] = set()
    for kind in figures.kinds():
        tell(f"figures: {kind.heading}")
        drawn = kind.draw(summary)
        for done, figure in enumerate(drawn, 1):
            tell(f"figures: {kind.heading}, {done} of {len(drawn)}")
            stem = _stem(kind.name, figure.title, taken)
            found[f"{stem}.csv"] = as_csv(figure.head, figure.rows)
            _label(figure)
            _colour(figure.canvas)
            ratio = figure.canvas.bbox_inches.height / figure.canvas.bbox_inches.width
            for end, width in WIDTHS.items():
                if end or not figure.wide:
                    _fit(summary, figure, width, ratio)
                    found |= {f"{stem}{end}.{form}": _saved(figure, form) for form in formats}
    for heading, _, pictures in picture_panels.grouped(summary.facts.pictures):
        tell(f"figures: {heading}")
        for picture in pictures:
            stem = _stem(picture.kind, picture.title, taken)
            if picture.numbers:
                found[f"{stem}.csv"] = as_csv(picture.numbers[0], picture.numbers[1:])
            figure = _framed(picture, heading)
            _fit(summary, figure, WIDTHS["-wide"], picture.height / picture.width)
            found |= {f"{stem}-wide.{form}": _saved(figure, form) for form in formats}
    return found


def _framed(picture: picture_panels.Picture, heading: str) -> Figure:
    """A picture that came with a table, as a figure that has a title."""
    from matplotlib.figure import Figure as Canvas
    from PIL import Image

    canvas = Canvas()
    axes = canvas.subplots()
    with Image.open(io.BytesIO(picture.content)) as opened:
        axes.imshow(opened.convert("RGBA"), interpolation="none")  # in PDF and SVG as it is
    axes.set_axis_off()
    return Figure(f"{heading}: {picture.title}", "", "", picture.text, canvas, wide=True)


def _stem(kind: str, title: str, taken: set[str]) -> str:
    """A name that no other figure has; it is one of those ``taken`` from then on."""
    plain = "-".join(filter(None, (kind, *re.sub(r"[^a-z0-9.]+", " ", title.lower()).split())))[:70].strip(
        "-."
    )
    stem, count = plain, 1
    while stem in taken:
        count += 1
        stem = f"{plain}-{count}"
    taken.add(stem)
    return stem


def as_csv(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """Rows of numbers as CSV, numbers to twelve figures."""
    return csv_bytes(head, ([f"{v:.12g}" if isinstance(v, float) else v for v in row] for row in rows))


def _label(figure: Figure) -> None:
    """What a figure needs outside its page: names of its axes, with units."""
    from matplotlib.gridspec import GridSpec

    canvas = figure.canvas
    for axes in canvas.axes:
        if axes.get_subplotspec() is None:  # placed by hand for the page
            axes.set_subplotspec(GridSpec(1, 1, figure=canvas)[0])
    # Of several panels those in the middle of the edges are named.
    last = max(_row(axes) for axes in canvas.axes)
    bottom = [axes for axes in canvas.axes if _row(axes) == last and axes.axison]
    left = [axes for axes in canvas.axes if axes.get_subplotspec().is_first_col()]
    bottom[len(bottom) // 2].set_xlabel(figure.axes[0], fontsize=8, color=INK)
    left[len(left) // 2].set_ylabel(figure.axes[1], fontsize=8, color=INK)


def _row(axes: Any) -> int:
    return int(axes.get_subplotspec().rowspan.start)


def _fit(summary: Summary, figure: Figure, width: float, ratio: float) -> None:
    """Give a figure just this width: title, drawing and legend below each other."""
    canvas, facts = figure.canvas, summary.facts
    for legend in list(canvas.legends):
        legend.remove()
    about: tuple[str, ...] = (
        figure.title,
        figure.note,
        f"{facts.task_title}, budget {facts.budget_name}, {cells.seeds_of(summary.cells)}",
    )
    whole = (text.replace(" %", "\u00a0%") for text in about)
    lines = [line for text in whole for line in wrap(text, int(LETTERS * width))]
    canvas.suptitle("\n".join(lines), fontsize=8, color=_COLOURS[INK])
    rows = 0
    if figure.legend:
        longest = max(len(str(sample.get_label())) for sample in figure.legend)
        columns = max(1, int(width / (0.35 + 0.055 * longest)))
        rows = -(-len(figure.legend) // columns)
        place = {"loc": "outside lower center", "ncols": columns}
        _colour(canvas.legend(handles=list(figure.legend), fontsize=7, frameon=False, **place))
    canvas.set_layout_engine("constrained")
    highest = HIGHEST if len(canvas.axes) == 1 and not figure.wide else 1.5 * HIGHEST
    if not figure.svg:  # a picture that came with a table keeps its shape
        highest = TALLEST
    canvas.set_size_inches(width, min(ratio * width, highest) + 0.25 + 0.14 * len(lines) + 0.15 * rows)


def _saved(figure: Figure, form: str) -> bytes:
    import matplotlib as mpl

    buffer = io.BytesIO()
    # No date, and a salt for ids: the same figure is the same bytes. Fonts are embedded, in SVG as outlines.
    nothing = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None},
        "png": {"Software": None},
    }
    with mpl.rc_context(
        {
            "svg.hashsalt": figure.title,
            "pdf.fonttype": 42,
            "font.family": "sans-serif",
            "text.parse_math": False,
        }
    ):
        figure.canvas.savefig(buffer, format=form, dpi=300, facecolor="white", metadata=nothing[form])
    return buffer.getvalue()


def _colour(drawing: Any) -> None:
    from matplotlib.colors import to_hex

    for artist in drawing.findobj():
        for part in _PARTS:
            read, write = (getattr(artist, f"{verb}_{part}", None) for verb in ("get", "set"))
            if read is None or write is None:
                continue
            try:
                known = _COLOURS.get(to_hex(read()))
            except ValueError:  # several colours, or none
                continue
            if known:
                write(known)
