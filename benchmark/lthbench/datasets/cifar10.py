"""CIFAR-10: 60,000 colour images of 32 x 32 pixels in ten classes.

Read from whichever is there first, in each folder that is searched: the mosaics ``cifar10/train_1.jpg`` ..
``train_5.jpg``, ``test.webp`` with ``labels.npz``; torchvision's download ``cifar-10-batches-py``; a tree
``cifar10/{train,test}/class/image``. The digest in every key tells them apart.

Split as in Chen et al. 2022: the first 45,000 training images in file order, the last 5,000 to validate.
A tree has no file order of its own; there the last tenth of each class validates.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lthbench.data.image_files import arrays, class_folders, expect, planes, tiles
from lthbench.datasets._cifar import SPLITS, TREE, by_order, from_torchvision, from_tree
from lthbench.kinds import Archive, Dataset, Images, Source

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_MOSAICS = (*(f"train_{b}.jpg" for b in range(1, 6)), "test.webp", "labels.npz")
_BATCHES = (*(f"data_batch_{b}" for b in range(1, 6)), "test_batch", "batches.meta")

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
MD5 = "c58f30108f718f92721af3b95e74349a"
PUBLISHED = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}


def locate(folders: tuple[Path, ...], tree: Mapping[str, int] = TREE) -> Source | None:
    """The first layout that is there. Raises BadInput for one that is there in part: a tree, by ``tree``."""
    for folder in folders:
        for root in (folder / "cifar10", folder):
            found = expect("mosaics", root, _MOSAICS) or class_folders(root, tree, CLASSES)
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
    obtain="Fetch it with --download or lthbench data (163 MB), or name a folder with it by --data DIR.",
    archives=(Archive(URL, MD5, unpack=True),),
    published=PUBLISHED,
)
