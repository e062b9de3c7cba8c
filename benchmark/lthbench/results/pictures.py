"""Pictures for a report: where networks look, for a few fixed images, dense beside pruned."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from lthbench import formatting, registry
from lthbench.data import loading
from lthbench.errors import Damaged
from lthbench.functional.saliency_maps import FILE, unpacked
from lthbench.kinds import Dataset, Maps
from lthbench.spec import Explain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lthbench.planning.plan import Entry, Plan
    from lthbench.store import Store

#: Images that are shown, of different classes; sparsities at most; a map's side in pixels.
IMAGES, SPARSITIES, CELL = 4, 6, 56
KINDS = {"ig": "integrated gradients", "gradcam": "Grad-CAM"}
#: The file beside the scores of ``concept-match`` that says which crops stand for concepts.
CROPS = "crops.json"
#: Legible on white and on black.
INK = "#808080"


def saliency(plan: Plan, store: Store, places: tuple[Path, ...]) -> list[dict[str, str]]:
    """A grid of maps, methods by sparsities, for each of a few images (``report.pictures``).

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
            method: [maps.get(e.network.key) for e in entries if e.method == method and e.sparsity in levels]
            for method in plan.request.methods
        }
        name = classes[int(images.labels[index])]
        first = maps[dense.network.key]
        image = np.moveaxis(np.asarray(images.pixels[index : index + 1])[0], 0, -1)
        found.append(
            {
                "kind": "saliency",
                "title": f"an image of class {name}",
                "text": f"Integrated gradients and Grad-CAM for class {name}: the dense network, and "
                f"{formatting.listed(list(plan.request.methods)) or 'no other'} at "
                f"{formatting.listed([formatting.sparsity(s) for s in levels]) or 'no sparsity'}, "
                f"seed {seed}.",
                "image": _drawn(image, first, rows, levels, place),
            }
        )
    return found


def concepts(plan: Plan, store: Store, places: tuple[Path, ...]) -> list[dict[str, str]]:
    """Top crops of concepts, dense beside pruned: each method at its middle sparsity, the first seed."""
    seed, found = plan.request.seeds[0], []
    for method in plan.request.methods:
        entries = [e for e in plan.entries if (e.method, e.seed) == (method, seed)]
        for entry in entries[len(entries) // 2 :][:1]:
            for measure in (m for m in entry.measures if m.metric == "concept-match" and store.has(m)):
                if CROPS not in store.files(measure):
                    continue
                try:
                    told = json.loads(store.read(measure, CROPS))
                except Damaged:
                    continue
                inputs = dict(measure.looks or ())["pictured"]
                images = loading.subset(loading.load(inputs.data.name, inputs.split, places), inputs.images)
                level = formatting.sparsity(entry.sparsity)
                found.append(
                    {
                        "kind": "concepts",
                        "title": f"{method} at {level}",
                        "text": f"Crops that have most of {len(told['concepts'])} concepts of the dense "
                        f"network, a row each, and of those of {method} at {level} that are matched with "
                        f"them, seed {seed}.",
                        "image": _crops(told, np.asarray(images.pixels[:])),
                    }
                )
    return found


def _crops(told: dict[str, Any], pixels: NDArray[np.uint8]) -> str:
    """Rows of crops: left those of the dense network, right those of the other."""
    from matplotlib.figure import Figure

    rows, side = told["concepts"], told["side"]
    each = max(len(row["dense"]) for row in rows)
    width, height = 2 * (0.3 + each * 0.62), 0.3 + len(rows) * 0.62
    canvas = Figure(figsize=(width, height), dpi=100)
    for block, (name, title) in enumerate((("dense", "dense"), ("own", "pruned"))):
        box = (
            (0.15 + block * (0.3 + each * 0.62)) / width,
            0.02,
            each * 0.62 / width,
            len(rows) * 0.62 / height,
        )
        axes = canvas.add_axes(box)
        cells = np.zeros((len(rows) * CELL, each * CELL, 4))
        near = np.arange(CELL - 2) * side // (CELL - 2)
        for line, row in enumerate(rows):
            for column, (k, y, x) in enumerate(row[name]):
                crop = np.moveaxis(pixels[k][:, y + near][:, :, x + near], 0, -1) / 255.0
                spot = np.s_[line * CELL : (line + 1) * CELL - 2, column * CELL : (column + 1) * CELL - 2]
                cells[(*spot, np.s_[:3])] = crop
                cells[(*spot, 3)] = 1.0
        axes.imshow(cells, interpolation="nearest", aspect="auto")
        axes.set_axis_off()
        axes.set_title(title, color=INK, fontsize=8.5, pad=3)
    return _as_url(canvas)


def _step(entry: Entry) -> Explain | None:
    """The maps that some metric reads of a network."""
    for measure in entry.measures:
        for _, inputs in measure.maps or ():
            return Explain(entry.network, inputs, entry.dense)
    return None


def _maps(store: Store, step: Explain, chosen: Sequence[int]) -> Maps:
    """The maps of the chosen images."""
    whole = unpacked(safetensors.numpy.load(store.read(step, FILE)), "labels")
    return Maps(*(field[list(chosen)] for field in whole))


def _drawn(
    image: NDArray[np.uint8],
    dense: Maps,
    rows: dict[str, list[Maps | None]],
    levels: Sequence[float],
    place: int,
) -> str:
    """The grids of one image as a WebP in a data URL."""
    from matplotlib.figure import Figure

    columns, lines = 1 + len(levels), max(1, len(rows))
    width, height = 1.0 + 2 * (0.95 + columns * 0.62), 0.55 + lines * 0.62
    canvas = Figure(figsize=(width, height), dpi=100)
    left = canvas.add_axes((0.06 / width, 1 - 0.92 / height, 0.62 / width, 0.62 / height))
    left.imshow(image.squeeze(), cmap="gray", interpolation="nearest")
    left.set_axis_off()
    for block, (kind, title) in enumerate(KINDS.items()):
        start = 1.0 + 0.8 + block * (0.95 + columns * 0.62)
        box = (start / width, 0.22 / height, columns * 0.62 / width, lines * 0.62 / height)
        axes = canvas.add_axes(box)
        cells = np.full((lines * CELL, columns * CELL, 4), 0.0)
        for line, row in enumerate(rows.values() or [[]]):
            for column, maps in enumerate([dense if line == 0 else None, *row]):
                if maps is not None:
                    box_ = np.s_[line * CELL : (line + 1) * CELL - 2, column * CELL : (column + 1) * CELL - 2]
                    cells[box_] = _heat(getattr(maps, kind)[place])
        axes.imshow(cells, interpolation="nearest", aspect="auto")
        names = ["dense", *(formatting.sparsity(s) for s in levels)]
        axes.set_xticks([CELL * (c + 0.5) for c in range(columns)], names)
        axes.set_yticks([CELL * (r + 0.5) for r in range(lines)], list(rows) or [""])
        axes.set_title(title, color=INK, fontsize=8.5, pad=3)
        axes.tick_params(colors=INK, labelsize=7.5, length=0, pad=2)
        for side in axes.spines.values():
            side.set_visible(False)
    return _as_url(canvas)


def _as_url(canvas: Figure) -> str:
    """A drawing as a WebP in a data URL."""
    from PIL import Image

    buffer = io.BytesIO()
    canvas.savefig(buffer, format="png", transparent=True)
    small = io.BytesIO()
    with Image.open(buffer) as drawn:
        drawn.save(small, format="WEBP", quality=80)
    return f"data:image/webp;base64,{base64.b64encode(small.getvalue()).decode()}"


def _heat(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """A map as colours ``[CELL - 2, CELL - 2, 4]``, over its 99.5th percentile; grey for zeros."""
    from matplotlib import colormaps

    size = CELL - 2
    place = np.arange(size) * values.shape[0] // size, np.arange(size) * values.shape[1] // size
    large = np.abs(values)[np.ix_(*place)]
    top = float(np.quantile(large, 0.995)) or float(large.max())
    if not top > 0.0:
        return np.full((size, size, 4), (0.5, 0.5, 0.5, 0.25))
    return np.asarray(colormaps["magma"](np.clip(large / top, 0, 1)), dtype=np.float64)
