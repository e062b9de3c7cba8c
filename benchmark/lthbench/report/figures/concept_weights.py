"""The concepts that speak for each class in a linear bottleneck, dense beside pruned."""

from __future__ import annotations

from lthbench import formatting
from lthbench.report.figures import units_of
from lthbench.report.figures.drawing import INK, Figure, Kind, canvas_of_panels, plain, svg
from lthbench.report.summary import Summary
from lthbench.results.units import Unit

#: Classes that are drawn, the first ones; concepts of each class; and the width of a figure in inches.
CLASSES, TOP, WIDTH = 10, 3, 9.0


def weights(summary: Summary) -> list[Figure]:
    """One figure for each method whose bottlenecks were read, of the first seed."""
    units = units_of.of_metric(summary, "bottleneck")
    shown = units_of.beside_dense(summary, units)
    return [_figure(summary, method, level, units) for method, level in shown.items()]


def _by_class(units: list[Unit]) -> dict[int, dict[str, float]]:
    """The weight of each concept, the largest first, by class."""
    found: dict[int, dict[str, float]] = {}
    for unit in sorted(units, key=lambda u: (u.unit, -u.value)):
        found.setdefault(unit.unit, {})[unit.concept] = unit.value
    return found


def _across(concepts: list[str], panels: int) -> int:
    """How many panels stand side by side, so that the bars have as much room as the longest name."""
    name = 0.062 * max(map(len, concepts), default=1)
    return max(1, min(5, panels, int(WIDTH / (1.8 * max(name, 0.7) + 0.2))))


def _figure(summary: Summary, method: str, level: float, units: units_of.Units) -> Figure:
    dense, pruned = (_by_class(units[key][0]) for key in (("dense", 0.0), (method, level)))
    classes = list(dense)[:CLASSES]
    across = _across(
        [units_of.short(concept) for number in classes for concept in dense[number]], len(classes)
    )
    down = -(-len(classes) // across)
    size = WIDTH, 0.6 + 1.1 * down
    canvas, panels = canvas_of_panels(size, down, across, sharex=True, squeeze=False)
    plain_bar, own_bar, samples = units_of.bars(summary, method, level)
    words, same, name_of = [], 0, units_of.class_names(summary)
    for panel, number in zip(panels.flat, classes, strict=False):
        other = pruned.get(number, {})
        tops = [list(of)[:TOP] for of in (dense[number], other)]
        concepts = list(dict.fromkeys(tops[0] + tops[1]))
        same += len(set(tops[0]) & set(tops[1]))
        for place, concept in enumerate(concepts):
            panel.barh(-place + 0.2, dense[number].get(concept, 0.0), height=0.36, **plain_bar)
            panel.barh(-place - 0.2, other.get(concept, 0.0), height=0.36, **own_bar)
        panel.set_yticks([-p for p in range(len(concepts))], map(units_of.short, concepts), fontsize=6.5)
        panel.set_title(name_of(number), fontsize=8, color=INK, pad=2)
        plain(panel, "x")
        panel.tick_params(labelsize=6.5)
        words.append(f"{name_of(number)}: dense {', '.join(tops[0])}; pruned {', '.join(tops[1]) or 'none'}")
    for empty in list(panels.flat)[len(classes) :]:
        empty.set_axis_off()
    for panel in list(panels.flat)[len(classes) - across : len(classes)]:  # the last of each column
        panel.tick_params(labelbottom=True)
    units_of.add_legend(canvas, samples)
    rows = tuple(
        (name, share, name_of(unit.unit), unit.concept, unit.value)
        for (name, share), networks in units.items()
        if name in ("dense", method)
        for unit in networks[0]
    )
    most = sum(min(TOP, len(dense[number])) for number in classes)
    return Figure(
        f"concept weights: {method} at {formatting.sparsity(level)}",
        f"{same} of {most} top concepts are shared with dense, one seed",
        svg(canvas, f"concept weights {method}"),
        f"Concepts with the largest weights for each class, dense and {method}. {'. '.join(words)}.",
        canvas,
        ("weight in the bottleneck, per standard deviation of the concept", "concept"),
        samples,
        ("method", "sparsity", "class", "concept", "weight"),
        rows,
        wide=True,
    )


KIND = Kind(
    "concept-weights",
    49,
    "Which concepts speak for a class",
    "Concept weights",
    f"A sparse linear reader of concepts (post-hoc concept bottleneck): of each class the {TOP} concepts "
    "with the largest weights, in the dense network (hollow) and in the pruned one at its middle sparsity, "
    "first seed. What is missing in one of them is not among its five largest.",
    weights,
    detail=True,
)
