"""How well single units match a concept: the distribution of their IoU, and the best of them by rank."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthbench.report.figures import units_of
from lthbench.report.figures.drawing import INK, Figure, Kind, canvas_of_panels, plain, svg
from lthbench.report.summary import Summary
from lthbench.results.units import Unit

#: So many units are drawn by rank, as in the papers.
RANKS = 70
#: The threshold from which a unit counts as interpretable.
THRESHOLD = 0.05


def distributions(summary: Summary) -> list[Figure]:
    """One figure for each method whose units were dissected."""
    units = units_of.of_metric(summary, "dissection")
    methods = [m for m in summary.methods if units_of.levels(units, m)]
    return [_figure(method, units) for method in methods]


def _values(networks: list[list[Unit]]) -> list[NDArray[np.float64]]:
    """The IoU of the units of each seed, from the largest on."""
    return [np.sort([unit.value for unit in one])[::-1] for one in networks]


def _ranked(networks: list[list[Unit]]) -> NDArray[np.float64]:
    """The mean over seeds of the largest IoU, of the next, and so on."""
    found = _values(networks)
    shortest = min(RANKS, *map(len, found))
    mean: NDArray[np.float64] = np.mean([one[:shortest] for one in found], axis=0)
    return mean


def _figure(method: str, units: units_of.Units) -> Figure:
    canvas, (left, right) = canvas_of_panels((7.2, 2.8), 1, 2)
    shown = units_of.levels(units, method)
    rows: list[tuple[Any, ...]] = []
    words = []
    for (name, level), looks in units_of.networks(units, method):
        networks = units[name, level]
        pooled = np.sort(np.concatenate(_values(networks)))
        above = 100.0 * (1.0 - np.arange(len(pooled)) / len(pooled))
        left.step(pooled, above, where="pre", **looks)
        ranked = _ranked(networks)
        right.plot(np.arange(1, len(ranked) + 1), ranked, **looks)
        rows += [(name, level, rank, float(iou), len(networks)) for rank, iou in enumerate(ranked, 1)]
        share = float((pooled > THRESHOLD).mean())
        label = units_of.label(name, level)
        words.append(f"{label}: {100 * share:.0f} % of units above {THRESHOLD:g}, the best {ranked[0]:.3f}")
    left.axvline(THRESHOLD, color=INK, lw=0.7, ls=":")
    left.set_title("share of units (%) with an IoU of at least x", fontsize=8, color=INK, pad=3)
    right.set_title(f"IoU of the {RANKS} best units, by rank", fontsize=8, color=INK, pad=3)
    for axes, name in ((left, "intersection over union"), (right, "rank of the unit")):
        plain(axes)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(name, fontsize=8, color=INK)
    samples = units_of.legend(shown)
    units_of.add_legend(canvas, samples)
    return Figure(
        f"IoU of single units: {method}",
        units_of.note(units, method),
        svg(canvas, f"unit iou {method}"),
        f"Intersection over union of single units with their best concept, {method}: {'; '.join(words)}.",
        canvas,
        ("rank of the unit", "share of units (%)"),
        samples,
        ("method", "sparsity", "rank", "IoU", "seeds"),
        tuple(rows),
        wide=True,
    )


KIND = Kind(
    "unit-iou",
    47,
    "How well single units match a concept",
    "Unit IoU",
    "Network dissection: each unit's largest intersection over union with a concept. Left, all units of all "
    "seeds; the dotted line is the threshold of an interpretable unit. Right, the best units by rank, means "
    "over seeds.",
    distributions,
    detail=True,
)
