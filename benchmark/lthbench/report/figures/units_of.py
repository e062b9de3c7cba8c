"""The units beside a table, by network; and how lines of several sparsities are told apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lthbench import formatting, registry
from lthbench.kinds import Dataset
from lthbench.report.figures.drawing import DASHES, DENSE, INK, SHADES, style
from lthbench.report.summary import Summary
from lthbench.results.units import Unit

#: Of many sparsities so many are drawn at most, the last among them.
LEVELS = 6
#: Letters of a name beside an axis, at most.
LONGEST = 40
#: Dashes for those who see no colours.
_LINES: tuple[Any, ...] = ((0, (1, 1)), (0, (6, 1.5)), (0, (2, 1)), (0, (5, 1, 1, 1)), (0, (4, 1)), "-")
#: How dense is drawn beside them.
DENSE_LOOKS: dict[str, Any] = {"color": DENSE, "ls": DASHES, "lw": 1.6}

Units = dict[tuple[str, float], list[list[Unit]]]


def of_metric(summary: Summary, *metrics: str) -> Units:
    """The units of each seed by method and sparsity, of the first of some metrics that there is."""
    for metric in metrics:
        found: dict[tuple[str, float, int], list[Unit]] = {}
        for unit in summary.facts.units:
            if unit.metric == metric:
                found.setdefault((unit.method, unit.sparsity, unit.seed), []).append(unit)
        if found:
            result: Units = {}
            for (method, level, _), units in found.items():
                result.setdefault((method, level), []).append(units)
            return result
    return {}


def levels(units: Units, method: str) -> Sequence[float]:
    """The sparsities of a method that are drawn: all, or ``LEVELS`` evenly among them."""
    return formatting.a_few(sorted(level for name, level in units if name == method), LEVELS)


def middle(units: Units, method: str) -> float | None:
    """The middle sparsity of a method, which stands for it where only one is shown."""
    there = levels(units, method)
    return there[len(there) // 2] if there else None


def beside_dense(summary: Summary, units: Units) -> dict[str, float]:
    """The middle sparsity of each method that has units; none where dense has none."""
    if ("dense", 0.0) not in units:
        return {}
    return {m: level for m in summary.methods if (level := middle(units, m)) is not None}


def looks(place: int, count: int) -> dict[str, Any]:
    """Colour and dashes of one of several sparsities, the darkest for the largest."""
    last = len(SHADES) - 1
    shade = last if count == 1 else round(place * last / (count - 1))
    return {"color": SHADES[shade], "ls": _LINES[shade], "lw": 1.6}


def networks(units: Units, method: str) -> list[tuple[tuple[str, float], dict[str, Any]]]:
    """The networks that are drawn of a method, and how: dense first where it has units."""
    shown = levels(units, method)
    dense = [(("dense", 0.0), DENSE_LOOKS)] if ("dense", 0.0) in units else []
    return dense + [((method, level), looks(place, len(shown))) for place, level in enumerate(shown)]


def legend(shown: Sequence[float]) -> tuple[Any, ...]:
    """Samples of dense and of sparsities."""
    from matplotlib.lines import Line2D

    dense = Line2D([], [], **DENSE_LOOKS, label="dense")
    lines = [
        Line2D([], [], label=formatting.sparsity(level), **looks(place, len(shown)))
        for place, level in enumerate(shown)
    ]
    return (dense, *lines)


def class_names(summary: Summary) -> Callable[[int], str]:
    """What says the name of a class by its number, from 1: "class 1" where the data set is not known here."""
    try:
        data = registry.known(Dataset, str(summary.facts.task["data"]["dataset"]))
    except (KeyError, TypeError):
        data = None
    names = data.classes if data else ()
    return lambda number: names[number - 1] if 0 < number <= len(names) else f"class {number}"


def add_legend(canvas: Any, samples: Sequence[Any]) -> None:
    """Samples below a figure, for its page: files have one of their own."""
    place = {"loc": "outside lower center", "ncols": min(len(samples), 4)}
    canvas.legend(handles=list(samples), fontsize=7.5, frameon=False, labelcolor=INK, **place)


def bars(
    summary: Summary, method: str, level: float
) -> tuple[dict[str, Any], dict[str, Any], tuple[Any, Any]]:
    """How bars of dense and of a method are drawn, which differ in grey as well, and samples of both."""
    from matplotlib.patches import Patch

    dense: dict[str, Any] = {"facecolor": "none", "edgecolor": DENSE, "linewidth": 1.2}
    pruned: dict[str, Any] = {"color": style(summary, method)[0]}
    named = f"{method} at {formatting.sparsity(level)}"
    return dense, pruned, (Patch(label="dense", **dense), Patch(label=named, **pruned))


def readable(formula: str) -> str:
    """A formula without the parentheses around the whole."""
    whole = formula.startswith("(") and formula.endswith(")")
    return formula[1:-1] if whole else formula


def short(name: str) -> str:
    """A name as it is drawn beside an axis: of ``LONGEST`` letters at most, with its beginning and end."""
    half = (LONGEST - 3) // 2
    return name if len(name) <= LONGEST else f"{name[:half]}...{name[-half:]}"


def label(method: str, level: float) -> str:
    """What a network is called in a figure of one method."""
    return "dense" if method == "dense" else formatting.sparsity(level)


def note(units: Units, method: str) -> str:
    """What is drawn of a method: how many networks, and over how many seeds."""
    shown = levels(units, method)
    many = formatting.counted(len(shown), "sparsity", "sparsities")
    return f"dense and {many}, {seeds(units[method, shown[-1]])}"


def seeds(networks: Sequence[Sequence[Unit]]) -> str:
    """Over how many seeds something is."""
    return formatting.counted(len(networks), "seed", "seeds")
