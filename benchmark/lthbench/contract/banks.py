"""What a bank of concepts promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lthbench.contract.broken import Skipped, demand
from lthbench.data import loading
from lthbench.kinds import Annotated, Bank, Images

#: Where data is looked for; None: in the usual folders.
Places = tuple[Path, ...] | None
#: Images asked for, and their side in pixels.
COUNT, SIZE = 4, 32


def annotations_are_whole(bank: Bank, places: Places = None) -> None:
    """Gives as many images as asked for, each pixel of each layer 0 or one of the concepts it names."""
    found = _loaded(bank, places)
    count, layers = len(found.pixels), found.layers.shape[1] if found.layers.ndim == 4 else 0
    demand(0 < count <= COUNT, f"{count} images, asked for {COUNT}")
    wanted = (count, 3, SIZE, SIZE)
    demand(found.pixels.dtype == np.uint8, f"pixels are {found.pixels.dtype}, not uint8")
    demand(found.pixels.shape == wanted, f"pixels have shape {found.pixels.shape}, not {wanted}")
    labels = (count, layers, SIZE, SIZE)
    demand(found.layers.shape == labels, f"layers have shape {found.layers.shape}, not {labels}")
    whole = found.layers.dtype.kind in "iu"
    demand(whole, f"layers are {found.layers.dtype}, not whole numbers (int16)")
    low, high = int(found.layers.min()), int(found.layers.max())
    demand(low >= 0 and high <= len(found.names), f"labels {low}..{high} for {len(found.names)} concepts")
    same = len(found.names) == len(found.categories)
    demand(same, f"{len(found.names)} names, {len(found.categories)} categories")


def annotations_are_the_same_again(bank: Bank, places: Places = None) -> None:
    """Gives the same images and labels again."""
    first, second = _loaded(bank, places), _loaded(bank, places)
    same = np.array_equal(first.pixels, second.pixels) and np.array_equal(first.layers, second.layers)
    demand(same and first.names == second.names, "other images, labels or names the second time")


def _loaded(bank: Bank, places: Places) -> Annotated:
    where = loading.folders() if places is None else places
    source = None if bank.locate is None else bank.locate(where)
    if bank.locate is not None and source is None:
        demand("--data" in bank.obtain, "obtain does not say how to get it and name it with --data")
        raise Skipped(f"{bank.name} is not on this machine")
    draw = np.random.Generator(np.random.PCG64(0))
    pixels = draw.integers(0, 256, (COUNT, 3, SIZE, SIZE), dtype=np.uint8)
    return bank.load(source, Images(pixels, np.zeros(COUNT, dtype=np.int64)), COUNT, SIZE, 3)


CHECKS = (annotations_are_whole, annotations_are_the_same_again)
