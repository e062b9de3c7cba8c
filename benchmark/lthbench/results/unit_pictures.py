"""What excites single units most, dense beside pruned: images of the bank of concepts, and where in them.

Arrays alone: ``report.pictures`` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lthbench import formatting
from lthbench.data import concepts
from lthbench.errors import Damaged
from lthbench.kinds import STRONGEST
from lthbench.results import unit_rows, units
from lthbench.spec import network_of

if TYPE_CHECKING:
    from lthbench.planning.plan import Entry, Plan
    from lthbench.spec import Measure
    from lthbench.store import ResultReader

#: Units that are shown, those that a formula explains best in the dense network; images of each; sparsities
#: and methods at most.
UNITS, IMAGES, SPARSITIES, METHODS = 4, 4, 2, 6

#: A unit: its layer, and its number from 1.
Place = tuple[str, int]


@dataclass(frozen=True)
class Excited:
    """A unit of one network: the formula that explains it, their intersection over union, and the
    ``images`` that excite it most, each with the cells of the unit's grid in which it is on.
    """

    formula: str
    iou: float
    images: tuple[tuple[int, NDArray[np.bool_]], ...]


@dataclass(frozen=True)
class UnitPicture:
    """Units with their formulas and strongest images, from ``pixels`` uint8 ``[images, channels, H, W]``.

    ``blocks`` has for each unit its name and a row for each of the ``networks``, the first of them dense.
    """

    title: str
    text: str
    pixels: NDArray[np.uint8]
    networks: tuple[str, ...]
    blocks: tuple[tuple[str, tuple[Excited | None, ...]], ...]


def gather(plan: Plan, store: ResultReader, places: tuple[Path, ...]) -> list[UnitPicture]:
    """A picture for each of the first methods whose units were explained by formulas, of the first seed."""
    seed = plan.request.seeds[0]
    entries = [entry for entry in plan.entries if entry.seed == seed]
    for metric in ("composition-all", "composition"):
        told = {(e.method, e.sparsity): (m, _told(store, m)) for e in entries if (m := _measure(e, metric))}
        measure, dense = told.pop(("dense", 0.0), (None, {}))
        told = {cell: of for cell, of in told.items() if of[1]}
        if dense and measure and told:
            pixels = _pixels(measure, places)
            return [_picture(m, seed, dense, rows, pixels) for m, rows in _by_method(plan, told)]
    return []


def _by_method(
    plan: Plan, told: Mapping[tuple[str, float], tuple[Measure, dict[Place, Excited]]]
) -> Iterable[tuple[str, Sequence[tuple[float, dict[Place, Excited]]]]]:
    """The networks of each method that are shown: of many sparsities a few, the last among them."""
    methods = dict.fromkeys(name for name, _ in told)
    for method in [m for m in plan.request.methods if m in methods][:METHODS]:
        there = sorted((level, of) for (name, level), (_, of) in told.items() if name == method)
        yield method, formatting.a_few(there, SPARSITIES)


def _measure(entry: Entry, metric: str) -> Measure | None:
    return next((measure for measure in entry.measures if measure.metric == metric), None)


def _told(store: ResultReader, measure: Measure) -> dict[Place, Excited]:
    """What a measure keeps of its units; nothing where it has no such files, or damaged ones."""
    if not (units.file_of(store, measure) and STRONGEST in store.files(measure)):
        return {}
    try:
        formulas = unit_rows.parsed(store.read(measure, units.file_of(store, measure)), measure.metric, "")
        kept = json.loads(store.read(measure, STRONGEST))["units"]
        images = {(unit["layer"], unit["unit"]): _images(unit) for unit in kept}
    except (Damaged, ValueError, KeyError, TypeError):
        return {}
    return {
        (unit.layer, unit.unit): Excited(unit.concept, unit.value, images[unit.layer, unit.unit])
        for unit in formulas
        if (unit.layer, unit.unit) in images
    }


def _images(unit: Mapping[str, Any]) -> tuple[tuple[int, NDArray[np.bool_]], ...]:
    high, wide = unit["grid"]

    def cells(bits: str) -> NDArray[np.bool_]:
        flat = np.unpackbits(np.frombuffer(bytes.fromhex(bits), dtype=np.uint8), count=high * wide)
        found: NDArray[np.bool_] = flat.reshape(high, wide).astype(bool)
        return found

    shown = list(zip(unit["images"], unit["on"], strict=True))[:IMAGES]
    return tuple((int(image), cells(on)) for image, on in shown)


def _pixels(measure: Measure, places: tuple[Path, ...]) -> NDArray[np.uint8]:
    """The images of the bank that a measure looked at."""
    network = network_of(measure)
    bank = concepts.load(dict(measure.looks or ())["concepts"], network.size, network.channels, places)
    return bank.pixels


def _picture(
    method: str,
    seed: int,
    dense: Mapping[Place, Excited],
    rows: Sequence[tuple[float, Mapping[Place, Excited]]],
    pixels: NDArray[np.uint8],
) -> UnitPicture:
    best = sorted(dense, key=lambda place: -dense[place].iou)[:UNITS]
    levels = [formatting.sparsity(level) for level, _ in rows]
    blocks = tuple(
        (f"{layer}, unit {unit}", (dense[layer, unit], *(of.get((layer, unit)) for _, of in rows)))
        for layer, unit in best
    )
    said = "; ".join(f"{name}: {networks[0].formula}" for name, networks in blocks if networks[0])
    return UnitPicture(
        method,
        f"The {len(best)} units that a formula explains best in the dense network, with the images that "
        f"excite them most: dense, and the same units of {method} at {formatting.listed(levels)}, seed "
        f"{seed}. Of dense, {said}.",
        pixels,
        ("dense", *levels),
        blocks,
    )
