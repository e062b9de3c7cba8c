"""Figures as files: SVG, PNG and PDF that stand by themselves, in the colours of a light page."""

from __future__ import annotations

import io
from typing import Any

from lthbench import formatting
from lthbench.report.figures import DENSE, FAINT, INK, Figure, curves, style
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
            _label(summary, kind, figure)
            _colour(figure.canvas)
            for form in formats:
                found[f"{kind}-{slug(figure.title)}.{form}"] = _saved(figure, form)
    return found


def _label(summary: Summary, kind: str, figure: Figure) -> None:
    """What a figure needs outside its page: title, axis names with units, and a legend."""
    from matplotlib.lines import Line2D

    facts = summary.facts
    seeds = formatting.counted(len(facts.seeds), "seed", "seeds")
    axes = figure.canvas.axes[0]
    for each in figure.canvas.texts:
        each.set_fontsize(8)
    figure.canvas.suptitle(
        f"{figure.title}\n{facts.task_title}, budget {facts.budget_name}, {seeds}",
        fontsize=8.5,
        y=1.06,
        color=INK,
    )
    if kind != "curve":
        if kind == "reliability":
            axes.set_xlabel("confidence (%)", fontsize=8.5, color=INK)
            axes.set_ylabel("accuracy (%)", fontsize=8.5, color=INK)
        return
    unit = f" ({figure.unit})" if figure.unit else ""
    axes.set_xlabel("sparsity (% of prunable weights removed)", fontsize=8.5, color=INK)
    axes.set_ylabel(f"{figure.title}{unit}", fontsize=8.5, color=INK)
    handles = [Line2D([], [], color=DENSE, ls=(0, (5, 3)), lw=1.4, label="dense")]
    for method in summary.methods:
        colour, shape = style(summary, method)
        handles.append(Line2D([], [], color=colour, marker=shape, ms=4.5, lw=1.6, label=method))
    axes.legend(
        handles=handles, fontsize=7, frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.28)
    )


def _saved(figure: Figure, form: str) -> bytes:
    import matplotlib as mpl

    buffer = io.BytesIO()
    # No date, and a salt for ids: the same figure is the same bytes.
    nothing = {
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None},
        "png": {"Software": None},
    }
    with mpl.rc_context({"svg.hashsalt": figure.title, "font.family": "sans-serif", "pdf.fonttype": 42}):
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
