"""Removal curves: what a network says as the pixels that it looks at most, or least, are taken away."""

from __future__ import annotations

from lthbench import formatting
from lthbench.report.figures.drawing import DENSE, FAINT, INK, Figure, Kind, canvas_with, plain, style, svg
from lthbench.report.summary import Summary
from lthbench.verdict.observed import plain_rows

#: The maps whose order is followed, by the beginning of the curves' names.
KINDS = {"gradient": "gradients", "ig": "integrated gradients", "gradcam": "Grad-CAM"}
DOTTED = (0, (1, 1.4))
#: For each figure: its score, its two curves and how they are drawn and called, and what it says of itself.
FIGURES = (
    (
        "road_accuracy",
        {"MoRF": ("-", "most relevant first"), "LeRF": (DOTTED, "least relevant first")},
        "pixels removed, %",
        "accuracy in %; grey: dense",
    ),
    (
        "label_probability",
        {"deletion": ("-", "deletion"), "insertion": (DOTTED, "insertion")},
        "pixels black, or shown, %",
        "probability of the label in %; grey: dense",
    ),
)

Curves = dict[tuple[str, float, str], list[tuple[float, float]]]


def diagrams(summary: Summary) -> list[Figure]:
    """For each method and kind of map: ROAD, then deletion and insertion, at one sparsity beside dense.

    It is the one at which most methods were measured, the nearest to the middle of those. Means over seeds.
    """
    if not summary.sparsities:
        return []
    middle = _middle(summary)
    drawn = []
    for place, (score, *_) in enumerate(FIGURES):
        curves = _curves(summary, score)
        there = {(method, sparsity, order.partition(" ")[0]) for method, sparsity, order in curves}
        drawn += [
            _diagram(summary, method, middle, kind, curves, place)
            for kind in KINDS
            for method in summary.drawn_alone
            if {("dense", 0.0, kind), (method, middle, kind)} <= there
        ]
    return drawn


def _middle(summary: Summary) -> float:
    levels = summary.sparsities
    measured = {s: sum(level == s for _, level in summary.networks) for s in levels}
    return max(levels, key=lambda s: (measured[s], -abs(levels.index(s) - len(levels) // 2)))


def _curves(summary: Summary, score: str) -> Curves:
    """Share removed and the score, both in per cent, by method, sparsity and order."""
    table = summary.table
    rows = table[(table["score"] == score) & table["variant"].str.endswith("%")]
    sums: dict[tuple[str, float, str, float], list[float]] = {}
    for method, sparsity, variant, value in plain_rows(rows[["method", "sparsity", "variant", "value"]]):
        order, _, share = variant.removesuffix(" %").rpartition(" ")
        try:
            sums.setdefault((method, float(sparsity), order, float(share)), []).append(value)
        except ValueError:  # a table written by others may name its variants in other ways
            continue
    found: Curves = {}
    for (method, sparsity, order, share), values in sorted(sums.items()):
        point = share, 100 * sum(values) / len(values)
        found.setdefault((method, sparsity, order), []).append(point)
    return found


def _diagram(summary: Summary, method: str, sparsity: float, kind: str, curves: Curves, place: int) -> Figure:
    canvas, axes = canvas_with((3.7, 2.6), (0.105, 0.185, 0.875, 0.785))
    colour, _ = style(summary, method)
    score, orders, along, note = FIGURES[place]
    measured = note.partition(" in %")[0]
    words, rows, legend = [], [], []
    for (name, level), line in {("dense", 0.0): DENSE, (method, sparsity): colour}.items():
        for order, (dashes, said) in orders.items():
            points = curves.get((name, level, f"{kind} {order}"), [])
            if points:
                x, y = zip(*points, strict=True)
                label = name if name == "dense" else f"{name} at {formatting.sparsity(level)}"
                wide = 1.8 if name == method else 1.4
                legend += axes.plot(x, y, color=line, lw=wide, ls=dashes, label=f"{label}, {said}")
                rows += [(name, level, measured, said, *point) for point in points]
                words.append(f"{name}, {said}, from {y[0]:.0f} to {y[-1]:.0f}")
    chance = curves.get((method, sparsity, "random"), [])
    if chance:
        legend += axes.plot(*zip(*chance, strict=True), color=FAINT, lw=1.2, label="random order")
        rows += [(method, sparsity, measured, "random order", *point) for point in chance]
        words.append(f"{method}, random order, from {chance[0][1]:.0f} to {chance[-1][1]:.0f}")
    axes.set_xlabel(along, color=INK, fontsize=8.5)
    axes.set_xlim(left=0)
    axes.margins(x=0)
    axes.set_ylim(bottom=0)
    plain(axes)
    shown = formatting.sparsity(sparsity)
    return Figure(
        f"{method} at {shown}, {KINDS[kind]}",
        note,
        svg(canvas, f"{score} {kind} {method}"),
        f"{note.partition(';')[0].capitalize()} over {along}, {KINDS[kind]}, {method} at {shown}: "
        f"{'; '.join(words)}.",
        canvas,
        (along.replace(", %", " (%)"), note.partition(";")[0].replace(" in %", " (%)")),
        tuple(legend),
        ("method", "sparsity", "score", "order", "pixels, %", "score, %"),
        tuple(rows),
    )


KIND = Kind(
    "removal",
    40,
    "Do the pixels it looks at matter?",
    "Removing pixels",
    "Accuracy as pixels are removed and filled in from their neighbours (ROAD). Solid: those that the map "
    "ranks highest first; dotted: lowest first. The wider apart the two, the more faithful the map. Grey: "
    "dense; faint: in a random order. Then the probability of the label as pixels turn black (deletion, "
    "solid) or appear on a blurred image (insertion, dotted), most relevant first. Of more than twelve "
    "methods: the foremost.",
    diagrams,
)
