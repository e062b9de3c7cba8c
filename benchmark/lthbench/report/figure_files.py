"""Figures as files: SVG, PNG and PDF that stand by themselves, in the colours of a light page."""

from __future__ import annotations

import io
from typing import Any

from lthbench.report.figures import DENSE, FAINT, INK, Figure, curves
from lthbench.report.radar import radars
from lthbench.report.reliability_diagrams import diagrams
from lthbench.report.summary import Summary
from lthbench.report.templates import slug

FORMATS = ("svg", "png", "pdf")
#: The stand-ins of a page's colours become these.
_COLOURS = {INK: "#3a4252", FAINT: "#dcdfe4", DENSE: "#4d5663"}
#: The ways in which Matplotlib's artists hold a colour.
_PARTS = ("color", "edgecolor", "facecolor", "markeredgecolor", "markerfacecolor")


def files(summary: Summary, formats: tuple[str, ...]) -> dict[str, bytes]:
    """Every figure of a report in each format, by file name."""
    found = {}
    parts = {"curve": curves(summary), "reliability": diagrams(summary), "radar": radars(summary)}
    for kind, figures in parts.items():
        for figure in figures:
            _colour(figure.canvas)
            for form in formats:
                found[f"{kind}-{slug(figure.title)}.{form}"] = _saved(figure, form)
    return found


def _saved(figure: Figure, form: str) -> bytes:
    import matplotlib as mpl

    buffer = io.BytesIO()
    # No date, and a salt for ids: the same figure is the same bytes.
    nothing = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None},
        "png": {"Software": None},
    }
    with mpl.rc_context({"svg.hashsalt": figure.title, "font.family": "sans-serif"}):
        figure.canvas.savefig(
            buffer, format=form, dpi=200, bbox_inches="tight", facecolor="white", metadata=nothing[form]
        )
    return buffer.getvalue()


def _colour(canvas: Any) -> None:
    from matplotlib.colors import to_hex

    for artist in canvas.findobj():
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
