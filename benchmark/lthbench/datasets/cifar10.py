"""CIFAR-10: 60,000 colour images of 32 x 32 pixels in ten classes.

Read from whichever is there first, in each folder that is searched: the mosaics ``cifar10/train_1.jpg`` ..
``train_5.jpg``, ``test.webp`` with ``labels.npz``; torchvision's download ``cifar-10-batches-py``; a tree
``cifar10/{train,test}/class/image``. The digest in every key tells them apart.

Split as in Chen et al. 2022: the first 45,000 training images in file order, the last 5,000 to validate.
A tree has no file order of its own; there the last tenth of each class validates.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from lthbench.datasets._cifar import SPLITS, by_order, fetch, from_torchvision, from_tree
from lthbench.imagefiles import arrays, class_folders, expect, planes, tiles
from lthbench.kinds import Dataset, Images, Source

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_MOSAICS = (*(f"train_{b}.jpg" for b in range(1, 6)), "test.webp", "labels.npz")
_BATCHES = (*(f"data_batch_{b}" for b in range(1, 6)), "test_batch", "batches.meta")


def locate(folders: tuple[Path, ...]) -> Source | None:
    """The first layout that is there. Raises BadInput for one that is there in part."""
    for folder in folders:
        for root in (folder / "cifar10", folder):
            found = expect("mosaics", root, _MOSAICS) or class_folders(root, ("train", "test"), CLASSES)
            if found:
                return found
        batches = folder / "cifar-10-batches-py"
        found = expect("torchvision", batches, _BATCHES)
        if found:
            return found
    return None


def load(source: Source, split: str) -> Images:
    """One split: train (45,000), val (5,000) or test (10,000)."""
    import numpy as np

    if source.layout == "folder of images":
        return from_tree(source, split, CLASSES)
    if source.layout == "torchvision":
        return from_torchvision("CIFAR10", source, split)
    part = "test" if split == "test" else "train"
    (labels,) = arrays(source.root / "labels.npz", [f"{part}_labels"])
    names = ["test.webp"] if part == "test" else _MOSAICS[:5]
    pixels = np.concatenate([tiles(source.root / name, 10_000) for name in names])
    return by_order(Images(planes(pixels), labels.astype(np.int64)), split)


DATASET = Dataset(
    name="cifar10",
    version=1,
    title="CIFAR-10, 32 x 32 pixels, colour",
    source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    licence="none stated",
    classes=CLASSES,
    channels=3,
    size=32,
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="Fetch it with --download (163 MB, by torchvision), or name a folder that has it with --data DIR.",
    download=partial(fetch, "CIFAR10"),
)
