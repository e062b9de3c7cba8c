"""What a report's pictures are drawn from: where networks look, for a few fixed images, dense beside pruned.

Arrays alone: ``report.pictures`` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lthbench import formatting, registry
from lthbench.data import loading
from lthbench.errors import Damaged
from lthbench.functional.saliency_maps import unpacked
from lthbench.kinds import CROPS, Dataset, Maps
from lthbench.results import unit_pictures
from lthbench.spec import Explain, Measure
from lthbench.store.artifacts import MAPS

if TYPE_CHECKING:
    from lthbench.planning.plan import Entry, Plan
    from lthbench.store import ResultReader

#: Images that are shown, of different classes; sparsities at most, and of a gallery of concepts.
IMAGES, SPARSITIES, GALLERY = 4, 6, 4


@dataclass(frozen=True)
class SaliencyPicture:
    """One image uint8 ``[H, W, channels]``, and the maps of networks for it: place ``index`` of each.

    ``rows`` are the maps of pruned networks by method, one for each of the sparsities ``levels`` (None where
    there is none).
    """

    title: str
    text: str
    image: NDArray[np.uint8]
    index: int
    dense: Maps
    rows: dict[str, tuple[Maps | None, ...]]
    levels: tuple[float, ...]


@dataclass(frozen=True)
class ConceptPicture:
    """Crops of images uint8 ``[channels, H, W]``, by number: of each concept, ``side`` pixels wide.

    ``concepts`` has for each concept a row for each of the ``networks``, the first of them dense: image, top
    and left of each crop.
    """

    title: str
    text: str
    pixels: Mapping[int, NDArray[np.uint8]]
    side: int
    networks: tuple[str, ...]
    concepts: tuple[tuple[list[list[int]], ...], ...]


def gather(
    plan: Plan, store: ResultReader, places: tuple[Path, ...]
) -> tuple[SaliencyPicture | ConceptPicture | unit_pictures.UnitPicture, ...]:
    """All that can be drawn of a plan's networks."""
    of_units = unit_pictures.gather(plan, store, places)
    return (*saliency(plan, store, places), *of_units, *concepts(plan, store, places))


def saliency(plan: Plan, store: ResultReader, places: tuple[Path, ...]) -> list[SaliencyPicture]:
    """A grid of maps, methods by sparsities, for each of a few images.

    They are of the first seed and for the label; a plan without saliency maps, or whose maps are not stored,
    has none.
    """
    seed = plan.request.seeds[0]
    entries = [e for e in plan.entries if e.seed == seed]
    steps = {e.network.key: step for e in entries if (step := _step(e)) is not None and store.has(step)}
    dense = next(e for e in entries if e.method == "dense")
    if dense.network.key not in steps:
        return []
    inputs = steps[dense.network.key].inputs
    images = loading.shown(inputs, places)
    classes = registry.get(Dataset, inputs.data.name).classes
    chosen = sorted(np.unique(images.labels, return_index=True)[1].tolist())[:IMAGES]
    try:
        maps = {key: _maps(store, step, chosen) for key, step in steps.items()}
    except Damaged:
        return []
    levels = formatting.a_few(sorted({e.sparsity for e in entries if e is not dense}), SPARSITIES)
    found = []
    for place, index in enumerate(chosen):
        rows = {
            method: tuple(
                maps.get(e.network.key) for e in entries if e.method == method and e.sparsity in levels
            )
            for method in plan.request.methods
        }
        name = classes[int(images.labels[index])]
        first = maps[dense.network.key]
        image = np.moveaxis(np.asarray(images.pixels[index : index + 1])[0], 0, -1)
        found.append(
            SaliencyPicture(
                f"an image of class {name}",
                f"Gradients, integrated gradients and Grad-CAM for class {name}: the dense network, and "
                f"{formatting.listed(list(plan.request.methods)) or 'no other'} at "
                f"{formatting.listed([formatting.sparsity(s) for s in levels]) or 'no sparsity'}, "
                f"seed {seed}.",
                image,
                place,
                first,
                rows,
                tuple(levels),
            )
        )
    return found


def concepts(plan: Plan, store: ResultReader, places: tuple[Path, ...]) -> list[ConceptPicture]:
    """Top crops of concepts over sparsities, a gallery for each method, of the first seed.

    Of each metric that keeps a file of them beside its scores (``kinds.CROPS``).
    """
    seed, found = plan.request.seeds[0], []
    for method in plan.request.methods:
        told: dict[str, list[tuple[float, Measure, dict[str, Any]]]] = {}
        for entry in plan.entries:
            if (entry.method, entry.seed) == (method, seed):
                for measure in entry.measures:
                    crops = _crops_of(store, measure)
                    if crops:
                        told.setdefault(measure.metric, []).append((entry.sparsity, measure, crops))
        found += [_gallery(method, seed, of_metric, places) for of_metric in told.values()]
    return found


def _crops_of(store: ResultReader, measure: Measure) -> dict[str, Any]:
    """The crops that a measure keeps beside its scores; none where there are none, or damaged ones."""
    looks = dict(measure.looks or ())
    if "pictured" not in looks or not store.has(measure) or CROPS not in store.files(measure):
        return {}
    try:
        found: dict[str, Any] = json.loads(store.read(measure, CROPS))
    except Damaged:
        return {}
    return found


def _gallery(
    method: str, seed: int, told: Sequence[tuple[float, Measure, dict[str, Any]]], places: tuple[Path, ...]
) -> ConceptPicture:
    """The concepts of the dense network, and of a method's networks those that are matched with them."""
    (_, measure, first), *_ = told = sorted(told, key=lambda one: one[0])
    # All are matched with the same concepts of the same dense network.
    same = formatting.a_few([one for one in told if _dense(one[2]) == _dense(first)], GALLERY)
    levels = [formatting.sparsity(level) for level, _, _ in same]
    inputs = dict(measure.looks or ())["pictured"]
    images = loading.shown(inputs, places)
    rows = tuple(
        (dense, *(crops["concepts"][place]["own"] for _, _, crops in same))
        for place, dense in enumerate(_dense(first))
    )
    # The images of these crops alone: all would fill memory where they are large.
    shown = sorted({image for row in rows for crops in row for image, _, _ in crops})
    pixels = np.asarray(images.pixels[np.array(shown, dtype=np.int64)])
    return ConceptPicture(
        method,
        f"Crops that have most of {len(rows)} concepts: of the dense network in the first row of each, and "
        f"below of the concepts of {method} at {formatting.listed(levels)} that are matched with them, "
        f"seed {seed}.",
        dict(zip(shown, pixels, strict=True)),
        first["side"],
        ("dense", *levels),
        rows,
    )


def _dense(crops: dict[str, Any]) -> list[list[list[int]]]:
    """The crops of the dense network, by concept."""
    return [concept["dense"] for concept in crops["concepts"]]


def _step(entry: Entry) -> Explain | None:
    """The maps that some metric reads of a network."""
    for measure in entry.measures:
        for _, inputs in measure.maps or ():
            return measure.explained(entry.network, inputs)
    return None


def _maps(store: ResultReader, step: Explain, chosen: Sequence[int]) -> Maps:
    """The maps of the chosen images."""
    whole = unpacked(MAPS.read(store, step), "labels")
    return Maps(*(field[list(chosen)] for field in whole))
