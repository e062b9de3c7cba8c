"""Ten classes of clothing, photographed by the people who wear it, at 160 x 160 pixels.

Read from the collection's own folders, ``clothing-dataset-small/{train,validation,test}/<class>/*.jpg`` (the
shorter side becomes 183 pixels, then the middle 160 x 160), or from ``clothing10.npz`` with its images
encoded at that size. Nothing is chosen on its validation images here: they and the test images make the test
split.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lthbench.datasets._encoded import LAYOUT, load_encoded, locate_encoded
from lthbench.datasets._folders import load_tree, locate_tree
from lthbench.datasets.imagenet import MEAN, STD
from lthbench.kinds import Dataset, Images, Source

CLASSES = (
    "dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt",
)  # fmt: skip
#: The folders that make each split, with their images.
PARTS = {"train": {"train": 3_068}, "test": {"validation": 341, "test": 372}}


def locate(folders: tuple[Path, ...], parts: Mapping[str, Mapping[str, int]] = PARTS) -> Source | None:
    """The first copy. Raises BadInput for one that is there in part, by the numbers in ``parts``."""
    counts = {name: count for split in parts.values() for name, count in split.items()}
    for folder in folders:
        root = folder / "clothing-dataset-small"
        found = locate_tree(root, "the clothing data set", counts, CLASSES)
        found = found or locate_encoded(folder, "clothing10.npz")
        if found:
            return found
    return None


def load(source: Source, split: str, parts: Mapping[str, Mapping[str, int]] = PARTS) -> Images:
    """One split: train (3,068) or test (713)."""
    import numpy as np

    if source.layout == LAYOUT:
        return load_encoded(source, parts[split], CLASSES, 160)
    read = [load_tree(source, part, CLASSES, 160) for part in parts[split]]
    pixels = np.concatenate([np.asarray(images.pixels[:]) for images in read])
    return Images(pixels, np.concatenate([images.labels for images in read]))


DATASET = Dataset(
    name="clothing10",
    version=1,
    title="Clothing of ten classes, photographs at 160 x 160 pixels",
    source="Grigorev 2020, github.com/alexeygrigorev/clothing-dataset-small",
    licence="CC0 1.0",
    classes=CLASSES,
    channels=3,
    size=160,
    mean=MEAN,
    std=STD,
    splits={split: sum(counts.values()) for split, counts in PARTS.items()},
    locate=locate,
    load=load,
    obtain="git clone https://github.com/alexeygrigorev/clothing-dataset-small, and name the folder that "
    "holds it with --data DIR.",
)
