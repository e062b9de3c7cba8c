"""Interpretable units by category of concept, over sparsity (network dissection)."""

from __future__ import annotations

import re

from lthbench import formatting
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
    style,
    svg,
)
from lthbench.report.summary import Summary
from lthbench.verdict.observed import plain_rows

SCORE = "interpretable_units"
#: Variants that are no category: other thresholds, and controls.
_OTHER = re.compile(r"|IoU .*|shuffled masks|untrained network|chance|at most")

#: What is counted in each seed, by method, sparsity and category.
Counts = dict[tuple[str, float, str], list[float]]


def categories(summary: Summary) -> list[Figure]:
    """One figure for each category of which any unit detects a concept: mean number of units over seeds."""
    return by_category(summary, "interpretable units", "units", _counts(summary))


def _counts(summary: Summary) -> Counts:
    """The counts of all seeds, by method, sparsity and category."""
    rows = summary.table[(summary.table["score"] == SCORE) & summary.table["value"].notna()]
    found: Counts = {}
    for method, sparsity, variant, value in plain_rows(rows[["method", "sparsity", "variant", "value"]]):
        if not _OTHER.fullmatch(variant):
            found.setdefault((method, float(sparsity), variant), []).append(value)
    return found


def by_category(summary: Summary, note: str, column: str, counts: Counts) -> list[Figure]:
    """A figure for each category of which anything is counted: means over seeds, by method over sparsity.

    ``note`` says what is counted, ``column`` is its name in the numbers.
    """
    found = dict.fromkeys(category for (_, _, category), values in counts.items() if any(values))
    return [_figure(summary, c, note, column, counts) for c in found if summary.sparsities]


def _figure(summary: Summary, category: str, note: str, column: str, counts: Counts) -> Figure:
    from matplotlib.ticker import MaxNLocator

    canvas, axes = canvas_with((3.7, 2.45), (0.105, 0.15, 0.875, 0.81))
    found = {n: values for n in summary.networks if (values := counts.get((*n, category)))}
    means = {network: sum(values) / len(values) for network, values in found.items()}
    words = []
    if (dense := means.get(("dense", 0.0))) is not None:
        axes.axhline(dense, **DENSE_LINE)
        words.append(f"dense {dense:.1f}")
    for method in summary.methods:
        points = [(level, mean) for (name, level), mean in means.items() if name == method]
        if points:
            colour, shape = style(summary, method)
            x, y = zip(*((place(s), m) for s, m in points), strict=True)
            marks = {"color": colour, "lw": 1.8, "marker": shape, "ms": 5, "markevery": marked(len(points))}
            grey = GREY if len(points) > 1 else GREY_POINT
            axes.plot(x, y, **(marks if method in summary.foremost else grey))
            words.append(f"{method} " + ", ".join(f"{m:.1f} at {formatting.sparsity(s)}" for s, m in points))
    over_sparsity(axes, summary)
    axes.set_ylim(0, 1.08 * max([*means.values(), 0.5]))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    return Figure(
        category,
        note,
        svg(canvas, f"{note} {category}"),
        f"{note[:1].upper()}{note[1:]} of the category {category} over sparsity: {'; '.join(words)}.",
        canvas,
        (SPARSITY, note),
        keys(summary),
        ("method", "sparsity", "category", column, "seeds"),
        tuple((*network, category, mean, len(found[network])) for network, mean in means.items()),
    )


KIND = Kind(
    "units",
    45,
    "What kind of concepts its units detect",
    "Units",
    "Units whose best concept has an intersection over union above 0.05 with their map, by the category of "
    "that concept: means over seeds. Dashed: dense.",
    categories,
    keyed=True,
)
