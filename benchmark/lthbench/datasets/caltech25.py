"""The 25 object classes of Caltech-101 with the most photographs, at 160 x 160 pixels.

Read from ``caltech25/{train,test}/<class>/*.jpg`` (the shorter side becomes 183 pixels, then the middle
160 x 160), or from ``caltech25.npz`` with the same images encoded at that size. At most 60 images of a class
are for training and 30 for testing. ``car_side`` is in grey.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lthbench.datasets._encoded import LAYOUT, load_encoded, locate_encoded
from lthbench.datasets._folders import load_tree, locate_tree
from lthbench.datasets.imagenet import MEAN, STD
from lthbench.kinds import Dataset, Images, Source

CLASSES = (
    "airplanes", "bonsai", "brain", "buddha", "butterfly", "car_side", "chandelier", "ewer", "Faces",
    "grand_piano", "hawksbill", "helicopter", "ibis", "kangaroo", "ketch", "laptop", "Leopards", "menorah",
    "Motorbikes", "revolver", "scorpion", "starfish", "sunflower", "trilobite", "watch",
)  # fmt: skip
SPLITS = {"train": 1_457, "test": 728}


def locate(folders: tuple[Path, ...], splits: Mapping[str, int] = SPLITS) -> Source | None:
    """The first copy. Raises BadInput for one that is there in part, by the numbers in ``splits``."""
    for folder in folders:
        found = locate_tree(folder / "caltech25", "Caltech-101 in 25 classes", splits, CLASSES)
        found = found or locate_encoded(folder, "caltech25.npz")
        if found:
            return found
    return None


def load(source: Source, split: str, splits: Mapping[str, int] = SPLITS) -> Images:
    """One split: train (1,457) or test (728)."""
    if source.layout == LAYOUT:
        return load_encoded(source, {split: splits[split]}, CLASSES, 160)
    return load_tree(source, split, CLASSES, 160)


DATASET = Dataset(
    name="caltech25",
    version=1,
    title="Caltech-101 in 25 classes, photographs at 160 x 160 pixels",
    source="Fei-Fei, Fergus & Perona 2004, Learning Generative Visual Models from Few Training Examples",
    licence="none stated",
    classes=CLASSES,
    channels=3,
    size=160,
    mean=MEAN,
    std=STD,
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="Name the folder that holds caltech25.npz, or caltech25/train and caltech25/test with a folder "
    "for each class, with --data DIR.",
)
