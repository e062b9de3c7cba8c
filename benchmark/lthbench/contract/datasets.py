"""What a data set promises."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lthbench.contract.broken import Skipped, demand
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.global_state import kept
from lthbench.kinds import Dataset

#: About so many images of a split are compared with what it gives again.
LOOKED_AT = 200


def record_fits_its_images(dataset: Dataset, places: tuple[Path, ...] | None = None) -> None:
    """Has splits, and no class twice."""
    del places
    demand(len(set(dataset.classes)) == len(dataset.classes), "a class is named twice")
    demand(bool(dataset.splits), "has no splits")


def images_are_as_declared(dataset: Dataset, places: tuple[Path, ...] | None = None) -> None:
    """Where it is found, has the images and labels that it declares; where not, says how to get it."""
    places = loading.folders() if places is None else places
    if dataset.locate(places) is None:
        demand("--data" in dataset.obtain, "obtain does not say how to get it and name it with --data")
        raise Skipped(f"{dataset.name} is not on this machine")
    for split, count in dataset.splits.items():
        try:
            images = loading.load(dataset.name, split, places)
        except BadInput as error:  # a copy may hold the test images alone, and says so
            if split == "test" or "test images only" not in str(error):
                raise
            continue
        found = (len(images.labels), len(images.pixels))
        demand(found == (count, count), f"{split}: {found[1]} images and {found[0]} labels, declared {count}")
        demand(images.pixels.dtype == np.uint8, f"{split}: pixels are {images.pixels.dtype}, not uint8")
        strange = set(np.unique(images.labels).tolist()) - set(range(len(dataset.classes)))
        demand(not strange, f"{split}: labels {sorted(strange)[:5]} have no class")


def images_are_the_same_again(dataset: Dataset, places: tuple[Path, ...] | None = None) -> None:
    """Where it is found, gives the same images in the same order when they are read again."""
    places = loading.folders() if places is None else places
    source = loading.located(dataset, places)
    if source is None:
        raise Skipped(f"{dataset.name} is not on this machine")
    for split in sorted(dataset.splits, key=lambda s: dataset.splits[s]):
        try:
            with kept(f"data set {dataset.name}"):
                first, again = (dataset.load(source, split) for _ in range(2))
        except BadInput:  # what cannot be read at all is told above
            continue
        demand(np.array_equal(first.labels, again.labels), f"{split}: read again, labels are others")
        some = np.arange(0, len(first.pixels), max(1, len(first.pixels) // LOOKED_AT))
        alike = np.array_equal(first.pixels[some], again.pixels[some])
        demand(alike, f"{split}: read again, images are others, or in another order")
        return


CHECKS = (record_fits_its_images, images_are_as_declared, images_are_the_same_again)
