"""What a report's pictures are drawn from: where networks look, for a few fixed images, dense beside pruned.

Arrays alone: ``report.pictures`` draws them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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
from lthbench.spec import Explain
from lthbench.store.artifacts import MAPS

if TYPE_CHECKING:
    from lthbench.planning.plan import Entry, Plan
    from lthbench.store import ResultReader

#: Images that are shown, of different classes; sparsities at most.
IMAGES, SPARSITIES = 4, 6


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
    """Crops of images uint8 ``[images, channels, H, W]``: of each concept, ``side`` pixels wide.

    ``concepts`` has image, top and left of each crop: those of the ``dense`` network's, and of its ``own``.
    """

    title: str
    text: str
    pixels: NDArray[np.uint8]
    side: int
    concepts: tuple[dict[str, list[list[int]]], ...]


def gather(
    plan: Plan, store: ResultReader, places: tuple[Path, ...]
) -> tuple[SaliencyPicture | ConceptPicture, ...]:
    """All that can be drawn of a plan's networks."""
    return (*saliency(plan, store, places), *concepts(plan, store, places))


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
    images = loading.subset(loading.load(inputs.data.name, inputs.split, places), inputs.images)
    classes = registry.get(Dataset, inputs.data.name).classes
    chosen = sorted(np.unique(images.labels, return_index=True)[1].tolist())[:IMAGES]
    try:
        maps = {key: _maps(store, step, chosen) for key, step in steps.items()}
    except Damaged:
        return []
    levels = sorted({e.sparsity for e in entries if e is not dense})
    stride = -(-len(levels) // SPARSITIES)
    levels = levels[::-1][:: max(stride, 1)][::-1]
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
    """Top crops of concepts, dense beside pruned: each method at its middle sparsity, the first seed.

    Of each metric that keeps a file of them beside its scores (``kinds.CROPS``).
    """
    seed, found = plan.request.seeds[0], []
    for method in plan.request.methods:
        entries = [e for e in plan.entries if (e.method, e.seed) == (method, seed)]
        for entry in entries[len(entries) // 2 :][:1]:
            for measure in entry.measures:
                looks = dict(measure.looks or ())
                if "pictured" not in looks or not store.has(measure) or CROPS not in store.files(measure):
                    continue
                try:
                    told: dict[str, Any] = json.loads(store.read(measure, CROPS))
                except Damaged:
                    continue
                inputs = looks["pictured"]
                images = loading.subset(loading.load(inputs.data.name, inputs.split, places), inputs.images)
                level = formatting.sparsity(entry.sparsity)
                found.append(
                    ConceptPicture(
                        f"{method} at {level}",
                        f"Crops that have most of {len(told['concepts'])} concepts of the dense "
                        f"network, a row each, and of those of {method} at {level} that are matched with "
                        f"them, seed {seed}.",
                        np.asarray(images.pixels[:]),
                        told["side"],
                        tuple(told["concepts"]),
                    )
                )
    return found


def _step(entry: Entry) -> Explain | None:
    """The maps that some metric reads of a network."""
    for measure in entry.measures:
        for _, inputs in measure.maps or ():
            return Explain(entry.network, inputs, entry.dense)
    return None


def _maps(store: ResultReader, step: Explain, chosen: Sequence[int]) -> Maps:
    """The maps of the chosen images."""
    whole = unpacked(MAPS.read(store, step), "labels")
    return Maps(*(field[list(chosen)] for field in whole))
