"""How alike the images are that excite the unit of a class, beside the accuracy on that class."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lthbench.report.figures import units_of
from lthbench.report.figures.drawing import DENSE, INK, MARKERS, Figure, Kind, canvas_of_panels, plain, svg
from lthbench.report.summary import Summary
from lthbench.results.units import Unit

#: From so many classes on, points are small.
MANY = 50


def classes(summary: Summary) -> list[Figure]:
    """One figure for each method whose softmax units have a score: a point for each class."""
    units = {
        cell: softmax
        for cell, networks in units_of.of_metric(summary, "mis-layers").items()
        if any(softmax := [[u for u in one if _known(u)] for one in networks])
    }
    return [_figure(summary, m, units) for m in summary.methods if units_of.levels(units, m)]


def _known(unit: Unit) -> bool:
    return unit.layer == "softmax" and not (math.isnan(unit.value) or math.isnan(unit.accuracy))


def _figure(summary: Summary, method: str, units: units_of.Units) -> Figure:
    from matplotlib.lines import Line2D

    shown = units_of.levels(units, method)
    name_of = units_of.class_names(summary)
    canvas, axes = canvas_of_panels((3.7, 3.0))
    rows: list[tuple[Any, ...]] = []
    legend, words = [], []
    for place, key in enumerate([("dense", 0.0), *((method, level) for level in shown)]):
        if key not in units:
            continue
        colour = DENSE if key[0] == "dense" else units_of.looks(place - 1, len(shown))["color"]
        points = _means(units[key])
        x = [100.0 * accuracy for _, accuracy in points.values()]
        y = [score for score, _ in points.values()]
        looks: dict[str, Any] = {"color": colour, "marker": MARKERS[place], "ls": "", "alpha": 0.8}
        axes.plot(x, y, ms=5 if len(points) <= MANY else 2.5, mew=0, **looks)
        rho = _rank_correlation(x, y)
        said = "" if math.isnan(rho) else f" (rank correlation {rho:.2f})".replace("-", "\u2212")
        label = f"{units_of.label(*key)}{said}"
        legend.append(Line2D([], [], ms=5, label=label, **looks))
        words.append(f"{label}, mean {np.mean(y):.2f}")
        rows += [(*key, u.seed, name_of(u.unit), u.accuracy, u.value) for one in units[key] for u in one]
    axes.axhline(0.5, color=INK, lw=0.7, ls=":")
    plain(axes, "both")
    canvas.legend(handles=legend, loc="outside lower center", fontsize=7.5, frameon=False, labelcolor=INK)
    axes.set_xlabel("accuracy of the class (%)", fontsize=8, color=INK)
    axes.set_ylabel("MIS-like score of its unit", fontsize=8, color=INK)
    return Figure(
        f"MIS of softmax units: {method}",
        f"a point for each class, {units_of.seeds(units[method, shown[-1]])}",
        svg(canvas, f"softmax mis {method}"),
        f"Machine interpretability of the softmax units of {method} beside the accuracy of their classes: "
        f"{'; '.join(words)}.",
        canvas,
        ("accuracy of the class (%)", "MIS-like score of its unit"),
        tuple(legend),
        ("method", "sparsity", "seed", "class", "accuracy", "MIS"),
        tuple(rows),
    )


def _means(networks: list[list[Unit]]) -> dict[int, tuple[float, float]]:
    """Score and accuracy of each class, means over seeds."""
    found: dict[int, list[tuple[float, float]]] = {}
    for unit in (unit for network in networks for unit in network):
        found.setdefault(unit.unit, []).append((unit.value, unit.accuracy))
    return {unit: tuple(np.mean(pairs, axis=0).tolist()) for unit, pairs in sorted(found.items())}


def _rank_correlation(x: list[float], y: list[float]) -> float:
    """Spearman's, over classes; NaN for fewer than three, or where all are alike."""
    from scipy.stats import spearmanr

    if len(x) < 3 or len(set(x)) == 1 or len(set(y)) == 1:
        return math.nan
    return float(spearmanr(x, y).statistic)


KIND = Kind(
    "softmax-mis",
    51,
    "The unit of each class beside the accuracy on it",
    "MIS of classes",
    "For each class the accuracy on its test images, and how alike the images are that excite its softmax "
    "unit most: means over seeds. 0.5 is chance (dotted). The rank correlation is Spearman's, over classes.",
    classes,
    detail=True,
)
