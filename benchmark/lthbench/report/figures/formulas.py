"""Units with the formula of concepts that explains them, dense beside pruned (compositional explanations)."""

from __future__ import annotations

from textwrap import shorten
from typing import Any

from lthbench import formatting
from lthbench.report.figures import units_of
from lthbench.report.figures.drawing import INK, Figure, Kind, canvas_of_panels, plain, svg
from lthbench.report.summary import Summary
from lthbench.results.units import Unit

#: So many units are shown: those that a formula explains best in the dense network.
SHOWN = 8
#: Letters of a formula that are drawn; the numbers have all.
LETTERS = 70


def formulas(summary: Summary) -> list[Figure]:
    """One figure for each method whose units were explained, of the first seed."""
    units = units_of.of_metric(summary, "composition-all", "composition")
    shown = units_of.beside_dense(summary, units)
    return [_figure(summary, method, level, units) for method, level in shown.items()]


def _figure(summary: Summary, method: str, level: float, units: units_of.Units) -> Figure:
    from matplotlib.ticker import MaxNLocator

    dense = units["dense", 0.0][0]
    best = sorted(dense, key=lambda unit: -unit.value)[:SHOWN]
    pruned = {(u.layer, u.unit): u for u in units[method, level][0]}
    canvas, axes = canvas_of_panels((7.2, 0.5 + 0.52 * len(best)))
    there = [unit for pair in best for unit in (pair, pruned.get((pair.layer, pair.unit))) if unit]
    widest = max([unit.value for unit in there] + [1e-6])
    plain_bar, own_bar, samples = units_of.bars(summary, method, level)
    for place, unit in enumerate(best):
        other = pruned.get((unit.layer, unit.unit))
        _bar(axes, -place + 0.2, unit, plain_bar, widest)
        if other is not None:
            _bar(axes, -place - 0.2, other, own_bar, widest)
    axes.set_xlim(0, 4.2 * widest)
    axes.set_yticks(
        [-place for place in range(len(best))],
        [f"{units_of.short(unit.layer)}, unit {unit.unit}" for unit in best],
    )
    plain(axes, "")
    axes.tick_params(labelsize=7)
    axes.set_xticks([tick for tick in MaxNLocator(3).tick_values(0.0, widest) if tick <= widest])
    axes.set_xlabel("intersection over union", fontsize=8, color=INK, loc="left")
    units_of.add_legend(canvas, samples)
    rows = tuple(
        (name, share, unit.layer, unit.unit, unit.concept, unit.value)
        for (name, share), networks in units.items()
        if name in ("dense", method)
        for unit in networks[0]
    )
    words = "; ".join(
        f"{u.layer}, unit {u.unit}: {units_of.readable(u.concept)} ({u.value:.3f})" for u in best[:3]
    )
    return Figure(
        f"formulas of units: {method} at {formatting.sparsity(level)}",
        f"the {len(best)} units that are explained best in dense, one seed",
        svg(canvas, f"formulas {method}"),
        f"Units and the formulas that explain them, dense above {method}. Of dense, {words}.",
        canvas,
        ("intersection over union", "unit"),
        samples,
        ("method", "sparsity", "layer", "unit", "formula", "IoU"),
        rows,
        wide=True,
    )


def _bar(axes: Any, place: float, unit: Unit, looks: dict[str, Any], widest: float) -> None:
    axes.barh(place, unit.value, height=0.34, **looks)
    words = " ".join(map(units_of.short, units_of.readable(unit.concept).split(" ")))
    said = shorten(words, LETTERS, placeholder=" ...")
    axes.text(unit.value + 0.03 * widest, place, said, va="center", fontsize=7, color=INK)


KIND = Kind(
    "formulas",
    48,
    "Units and the formulas that explain them",
    "Formulas",
    "Compositional explanations: for each unit the formula of at most three concepts whose pixels match its "
    "own best. Above, the dense network (hollow); below, the same unit of the pruned one at its middle "
    "sparsity, first seed. The CSV has all sparsities.",
    formulas,
    detail=True,
)
