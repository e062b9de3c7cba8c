"""Reliability diagrams: how often the network is right where it says how sure it is."""

from __future__ import annotations

from lthbench import formatting
from lthbench.report.figures.drawing import (
    DENSE_LINE,
    FAINT,
    INK,
    Figure,
    Kind,
    canvas_with,
    plain,
    style,
    svg,
)
from lthbench.report.summary import Summary
from lthbench.verdict.observed import plain_rows

#: Sparsities in one diagram at most.
SHOWN = 3
#: What the scores of bins begin with, and what that says of the images.
WHERE = {"": "", "corrupted_": ", corrupted images"}


#: Confidence, accuracy and images of bins, by method and sparsity.
Points = dict[tuple[str, float], list[tuple[float, float, int]]]


def diagrams(summary: Summary) -> list[Figure]:
    """One for each method: accuracy over confidence, in bins, at a few sparsities and for the dense parent.

    Then the same on corrupted images. Bins are means over seeds, weighted by images; bins with fewer than ten
    images are left out.
    """
    drawn = []
    for where in WHERE:
        points = _points(summary, where)
        there = [m for m in summary.methods if any(k[0] == m for k in points)]
        drawn += [_diagram(summary, m, points, where) for m in there]
    return drawn


def _points(summary: Summary, where: str = "") -> Points:
    """The bins of each network."""
    table = summary.table
    names = [f"{where}bin_accuracy", f"{where}bin_confidence"]
    rows = table[table["score"].isin(names) & (table["n"] > 0)]
    sums: dict[tuple[str, float, str], dict[str, list[float]]] = {}
    columns = ["method", "sparsity", "variant", "score", "value", "n"]
    for method, sparsity, edges, score, value, n in plain_rows(rows[columns]):
        total = sums.setdefault((method, float(sparsity), edges), {}).setdefault(score, [0.0, 0.0])
        total[0] += value * n
        total[1] += n
    found: Points = {}
    for (method, sparsity, _), both in sorted(sums.items()):
        images = int(min(n for _, n in both.values()))
        if len(both) == 2 and images >= 10:
            accuracy, confidence = (both[name][0] / both[name][1] for name in names)
            found.setdefault((method, sparsity), []).append((confidence, accuracy, images))
    return found


def _diagram(summary: Summary, method: str, points: Points, where: str) -> Figure:
    canvas, axes = canvas_with((3.7, 2.9), (0.125, 0.17, 0.855, 0.8))
    axes.plot([0, 100], [0, 100], color=FAINT, lw=1.2)
    colour, shape = style(summary, method)
    there = [s for s in summary.sparsities if (method, s) in points]
    step = max(1, -(-len(there) // SHOWN))
    words, rows, legend = [], [], []
    chosen = [("dense", 0.0), *((method, s) for s in there[step - 1 :: step])]
    for place, key in enumerate(k for k in chosen if k in points):
        x, y = ([100 * p[i] for p in points[key]] for i in (0, 1))
        if key[0] == "dense":
            drawn = axes.plot(x, y, **DENSE_LINE, marker=".", ms=5)
        else:
            faded = 1.0 - 0.6 * (1.0 - place / max(len(chosen) - 1, 1))
            drawn = axes.plot(x, y, color=colour, alpha=faded, lw=1.6, marker=shape, ms=4.5)
        said = "dense" if key[0] == "dense" else formatting.sparsity(key[1])
        drawn[0].set_label(said if key[0] == "dense" else f"{method} at {said}")
        legend += drawn
        rows += [(*key, *point) for point in points[key]]
        words.append(f"{said}: " + ", ".join(f"{b:.0f} at {a:.0f}" for a, b in zip(x, y, strict=True)))
    axes.set_xlabel("confidence, %", color=INK, fontsize=8.5)
    plain(axes)
    levels = ", ".join(formatting.sparsity(s) for m, s in chosen if m != "dense")
    return Figure(
        f"{method}{WHERE[where]}",
        f"accuracy in %; stronger lines are sparser: {levels}",
        svg(canvas, f"reliability {where}{method}"),
        f"Accuracy in per cent over confidence in per cent of {method}{WHERE[where]}. {'; '.join(words)}.",
        canvas,
        ("confidence (%)", "accuracy (%)"),
        tuple(legend),
        ("method", "sparsity", "confidence", "accuracy", "images"),
        tuple(rows),
    )


KIND = Kind(
    "reliability",
    20,
    "Does it know how sure to be?",
    "Reliability",
    "Reliability diagrams: test images in 15 bins of confidence, and how many of each the network gets "
    "right. On the thin diagonal confidence means what it says; below it the network is too sure. Dashed: "
    "dense. Bins with fewer than ten images are left out.",
    diagrams,
    detail=True,
)
