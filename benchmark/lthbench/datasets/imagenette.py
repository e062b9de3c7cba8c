"""Imagenette: ten classes of ImageNet that are easily told apart, at 160 x 160 pixels.

Read from fast.ai's archives as they unpack, whichever is there first in each folder that is searched:
``imagenette2-320``, ``imagenette2``, ``imagenette2-160`` (its images are a little too small, and enlarged),
each ``{train,val}/<WordNet id>/*.JPEG``. Its validation images are the test split. The shorter side becomes
183 pixels, then the middle 160 x 160; training crops come out of that square.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lthbench.datasets._folders import first_whole, load_tree, locate_tree
from lthbench.datasets.imagenet import MEAN, STD
from lthbench.kinds import Archive, Dataset, Images, Source

SPLITS = {"train": 9_469, "test": 3_925}
_CLASSES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}
_PARTS = {"train": "train", "test": "val"}

#: The archive of 320-pixel images.
URL = "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz"
MD5 = "3df6f0d01a2c9592104656642f5e78a3"


def locate(folders: tuple[Path, ...], splits: Mapping[str, int] = SPLITS) -> Source | None:
    """The first whole copy, else test images alone. Raises BadInput for one that is there in part."""
    parts = {_PARTS[split]: count for split, count in splits.items()}
    return first_whole(
        locate_tree(folder / name, "Imagenette", parts, tuple(_CLASSES), tested=("val",))
        for folder in folders
        for name in ("imagenette2-320", "imagenette2", "imagenette2-160")
    )


def load(source: Source, split: str) -> Images:
    """One split: train (9,469) or test (3,925), class by class, by file name."""
    return load_tree(source, _PARTS[split], tuple(_CLASSES), 160)


DATASET = Dataset(
    name="imagenette",
    version=1,
    title="Imagenette, photographs at 160 x 160 pixels",
    source="Howard 2019, github.com/fastai/imagenette, version 2; images are from ImageNet, those of "
    "its test split mostly from ImageNet's training split",
    licence="Apache-2.0 (the collection); ImageNet's terms for the photographs",
    classes=tuple(_CLASSES.values()),
    channels=3,
    size=160,
    mean=MEAN,
    std=STD,
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="Fetch it with --download or lthbench data (342 MB), or name a folder that holds imagenette2-320, "
    "imagenette2 or imagenette2-160 with --data DIR.",
    archives=(Archive(URL, MD5, unpack=True),),
)
