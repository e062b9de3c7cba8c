"""DermaMNIST: 10,015 dermatoscopic images of pigmented skin lesions (HAM10000), 224 x 224 pixels.

Read from ``dermamnist_224.npz`` as the package ``medmnist`` keeps it, in the folder itself, in ``derma`` or
``medmnist`` inside it, or in the package's own ``.medmnist`` in the home folder; or from ``derma.npz`` with
the same arrays. The small ``dermamnist.npz`` (28 x 28 pixels) is not enlarged: it shows too little.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from lthbench.data.image_files import arrays, expect, planes
from lthbench.errors import BadInput
from lthbench.kinds import Dataset, Images, Source

SPLITS = {"train": 7_007, "val": 1_003, "test": 2_005}
_NAMES = ("dermamnist_224.npz", "derma.npz")
_SMALL = "dermamnist.npz"


def locate(folders: tuple[Path, ...]) -> Source | None:
    """The first file of that name. Raises BadInput where it is empty, or only the small images are there."""
    places = [place for folder in folders for place in (folder, folder / "derma", folder / "medmnist")]
    with contextlib.suppress(RuntimeError, OSError):  # a user without a home, or who may not look into it
        own = Path.home() / ".medmnist"
        own.is_dir()
        places.append(own)
    for place in places:
        for name in _NAMES:
            found = expect("medmnist", place, [name])
            if found:
                return found
    small = next((place / _SMALL for place in places if (place / _SMALL).is_file()), None)
    if small is not None:
        raise BadInput(f"{small}: holds images of 28 x 28 pixels; {_NAMES[0]} is needed. {DATASET.obtain}")
    return None


def load(source: Source, split: str, splits: Mapping[str, int] = SPLITS) -> Images:
    """One split: train (7,007), val (1,003) or test (2,005), in the file's order."""
    import numpy as np

    (path,) = source.files
    pixels, labels = arrays(path, [f"{split}_images", f"{split}_labels"])
    expected = (splits[split], 224, 224, 3)
    if pixels.dtype != np.uint8 or pixels.shape != expected:
        found = f"{pixels.dtype} {pixels.shape}"
        raise BadInput(f"{path}: {split}_images should be uint8 {expected}, found {found}.")
    if labels.size != len(pixels) or labels.dtype.kind not in "iu":
        raise BadInput(f"{path}: {split}_labels should be {len(pixels)} whole numbers, found {labels.shape}.")
    return Images(planes(pixels), labels.reshape(-1).astype(np.int64))


def download(folder: Path) -> None:
    """Fetch ``dermamnist_224.npz`` (1.1 GB) into ``folder`` through the package ``medmnist``."""
    try:
        import medmnist
    except ImportError as error:
        raise BadInput('data set derma is fetched by medmnist: pip install "lthbench[derma]"') from error
    medmnist.DermaMNIST(split="test", download=True, size=224, root=str(folder))


DATASET = Dataset(
    name="derma",
    version=1,
    title="DermaMNIST skin lesions (HAM10000), 224 x 224 pixels",
    source="Yang et al. 2023, MedMNIST v2; Tschandl et al. 2018, the HAM10000 dataset. Split by image: "
    "lesions of test images are in training, too (Abhishek et al. 2025)",
    licence="CC BY-NC 4.0",
    classes=(
        "actinic keratosis",
        "basal cell carcinoma",
        "benign keratosis",
        "dermatofibroma",
        "melanoma",
        "melanocytic nevus",
        "vascular lesion",
    ),
    channels=3,
    size=224,
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain='Fetch it with --download (1.1 GB, by medmnist: pip install "lthbench[derma]"), or name a folder '
    "that holds dermamnist_224.npz with --data DIR.",
    download=download,
)
