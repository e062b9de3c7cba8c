"""CIFAR-100: as CIFAR-10, with a hundred classes. Out of distribution for CIFAR-10.

Read from torchvision's download ``cifar-100-python`` or a tree ``cifar100/{train,test}/class/image``; where
neither is in any folder that is searched, from ``cifar100/test.webp`` with ``labels.npz`` (test only).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from lthbench.data.image_files import arrays, class_folders, expect, planes, tiles
from lthbench.datasets._cifar import SPLITS, TREE, from_torchvision, from_tree
from lthbench.errors import BadInput
from lthbench.kinds import Archive, Dataset, Images, Source

CLASSES = (
    "apple",
    "aquarium_fish",
    "baby",
    "bear",
    "beaver",
    "bed",
    "bee",
    "beetle",
    "bicycle",
    "bottle",
    "bowl",
    "boy",
    "bridge",
    "bus",
    "butterfly",
    "camel",
    "can",
    "castle",
    "caterpillar",
    "cattle",
    "chair",
    "chimpanzee",
    "clock",
    "cloud",
    "cockroach",
    "couch",
    "crab",
    "crocodile",
    "cup",
    "dinosaur",
    "dolphin",
    "elephant",
    "flatfish",
    "forest",
    "fox",
    "girl",
    "hamster",
    "house",
    "kangaroo",
    "keyboard",
    "lamp",
    "lawn_mower",
    "leopard",
    "lion",
    "lizard",
    "lobster",
    "man",
    "maple_tree",
    "motorcycle",
    "mountain",
    "mouse",
    "mushroom",
    "oak_tree",
    "orange",
    "orchid",
    "otter",
    "palm_tree",
    "pear",
    "pickup_truck",
    "pine_tree",
    "plain",
    "plate",
    "poppy",
    "porcupine",
    "possum",
    "rabbit",
    "raccoon",
    "ray",
    "road",
    "rocket",
    "rose",
    "sea",
    "seal",
    "shark",
    "shrew",
    "skunk",
    "skyscraper",
    "snail",
    "snake",
    "spider",
    "squirrel",
    "streetcar",
    "sunflower",
    "sweet_pepper",
    "table",
    "tank",
    "telephone",
    "television",
    "tiger",
    "tractor",
    "train",
    "trout",
    "tulip",
    "turtle",
    "wardrobe",
    "whale",
    "willow_tree",
    "wolf",
    "woman",
    "worm",
)

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
MD5 = "eb9058c3a382ffc7106e4002c42a8d85"
PUBLISHED = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}


def locate(folders: tuple[Path, ...], tree: Mapping[str, int] = TREE) -> Source | None:
    """The first whole copy, else the test images. Raises BadInput for a layout that is there in part."""
    for folder in folders:
        found = class_folders(folder / "cifar100", tree, CLASSES)
        found = found or expect("torchvision", folder / "cifar-100-python", ("train", "test", "meta"))
        if found:
            return found
    for folder in folders:
        found = expect("mosaics", folder / "cifar100", ("test.webp", "labels.npz"))
        if found:
            return dataclasses.replace(found, splits=("test",))
    return None


def load(source: Source, split: str) -> Images:
    """One split: train (45,000), val (5,000) or test (10,000)."""
    import numpy as np

    if source.layout == "mosaics":
        if split != "test":
            raise BadInput(
                f"{source.root}: holds the test images only, and training needs the whole set. Fetch it: "
                f"lthbench data download cifar100 --to {source.root.parent}"
            )
        (labels,) = arrays(source.root / "labels.npz", ["labels"])
        return Images(planes(tiles(source.root / "test.webp", 10_000)), labels.astype(np.int64))
    if source.layout == "folder of images":
        return from_tree(source, split, CLASSES)
    return from_torchvision("CIFAR100", source, split)


DATASET = Dataset(
    name="cifar100",
    version=1,
    title="CIFAR-100, 32 x 32 pixels, colour",
    source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
    licence="none stated",
    classes=CLASSES,
    channels=3,
    size=32,
    mean=(0.5071, 0.4866, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="Fetch it with --download or lthbench data (161 MB), or name a folder with it by --data DIR.",
    archives=(Archive(URL, MD5, unpack=True),),
    published=PUBLISHED,
)
