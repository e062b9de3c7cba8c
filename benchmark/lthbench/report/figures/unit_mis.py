"""How alike the images are that excite single units, layer by layer (MIS-like)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lthbench import formatting
from lthbench.report.figures import units_of
from lthbench.report.figures.drawing import DENSE, INK, Figure, Kind, canvas_of_panels, plain, svg
from lthbench.report.summary import Summary
from lthbench.results.units import Unit


def layers(summary: Summary) -> list[Figure]:
    """One figure for each method: the score of all units of each layer, dense and over sparsity."""
    units = units_of.of_metric(summary, "mis-layers")
    return [_figure(method, units) for method in summary.methods if units_of.levels(units, method)]


def _by_layer(networks: list[list[Unit]]) -> dict[str, list[float]]:
    """The scores of the units of all seeds that have one, by layer."""
    found: dict[str, list[float]] = {}
    for unit in (unit for network in networks for unit in network):
        values = found.setdefault(unit.layer, [])
        if not math.isnan(unit.value):
            values.append(unit.value)
    return found


def _figure(method: str, units: units_of.Units) -> Figure:
    shown = units_of.levels(units, method)
    drawn = units_of.networks(units, method)
    names = list(dict.fromkeys(layer for key, _ in drawn for layer in _by_layer(units[key])))
    canvas, axes = canvas_of_panels((max(3.7, 1.6 + 0.6 * len(names)), 2.7))
    rows: list[tuple[Any, ...]] = []
    words: list[str] = []
    for place, (key, looks) in enumerate(drawn):
        colour = looks["color"]
        offset = 0.8 * ((place + 0.5) / len(drawn) - 0.5)
        means, by_layer = [], _by_layer(units[key])
        for x, name in enumerate(names):
            values = by_layer.get(name)
            if not values:
                continue
            low, first, middle, third, high = np.quantile(values, (0.1, 0.25, 0.5, 0.75, 0.9))
            axes.plot([x + offset] * 2, [low, high], color=colour, lw=1.0, solid_capstyle="butt")
            axes.plot([x + offset] * 2, [first, third], color=colour, lw=4.0, solid_capstyle="butt")
            axes.plot([x + offset], [middle], color="white", marker="o", ms=3.2, mew=0.8, mec=colour)
            mean = float(np.mean(values))
            means.append(f"{name} {mean:.2f}")
            rows.append((*key, name, len(values), mean, low, first, middle, third, high))
        words.append(f"{units_of.label(*key)}: {', '.join(means)}")
    axes.axhline(0.5, color=INK, lw=0.7, ls=":")
    axes.set_xticks(range(len(names)), map(units_of.short, names))
    plain(axes)
    samples = _legend(shown)
    units_of.add_legend(canvas, samples)
    return Figure(
        f"MIS by layer: {method}",
        units_of.note(units, method),
        svg(canvas, f"unit mis {method}"),
        f"Machine interpretability by layer, {method}, means: {'; '.join(words)}.",
        canvas,
        ("layer", "MIS-like score of a unit"),
        samples,
        ("method", "sparsity", "layer", "units", "mean", "10 %", "25 %", "median", "75 %", "90 %"),
        tuple(rows),
        wide=len(names) > 4,
    )


def _legend(shown: Sequence[float]) -> tuple[Any, ...]:
    from matplotlib.patches import Patch

    samples = [
        Patch(color=units_of.looks(place, len(shown))["color"], label=formatting.sparsity(level))
        for place, level in enumerate(shown)
    ]
    return (Patch(color=DENSE, label="dense"), *samples)


KIND = Kind(
    "unit-mis",
    50,
    "How alike the images are that excite a unit, by layer",
    "MIS by layer",
    "For each layer and network the units of all seeds: the median (dot), the middle half (bar), from the "
    "tenth to the ninetieth per cent (line). 0.5 is chance (dotted). From left to right: dense, sparser.",
    layers,
    detail=True,
)
