"""Grey 8 x 8 patches of scikit-learn's two sample photographs: what is certainly no handwritten digit."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lthbench.data.image_files import picture
from lthbench.kinds import Dataset, Images, Source


def locate(folders: tuple[Path, ...]) -> Source | None:
    """The photographs inside the installed scikit-learn (which is not imported for this)."""
    del folders
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent / "datasets" / "images"
    return Source("scikit-learn", root, (root / "china.jpg", root / "flower.jpg"))


def load(source: Source, split: str) -> Images:
    """All patches of both photographs at half size, 1,040 of each. Labels are the photograph."""
    import numpy as np

    del split
    pixels, labels = [], []
    for label, path in enumerate(source.files):
        grey = picture(path).mean(axis=2)[:426]
        half = grey.reshape(213, 2, 320, 2).mean(axis=(1, 3))[:208]
        patches = half.reshape(26, 8, 40, 8).swapaxes(1, 2).reshape(-1, 1, 8, 8)
        pixels.append(np.rint(patches).astype(np.uint8))
        labels.append(np.full(len(patches), label, dtype=np.int64))
    return Images(np.concatenate(pixels), np.concatenate(labels))


DATASET = Dataset(
    name="photo-patches",
    version=1,
    title="Grey 8 x 8 patches of two photographs (out of distribution for digits)",
    source="scikit-learn's sample images china.jpg and flower.jpg",
    licence="CC BY 2.0 (photographs by danielbuechele and vultilion)",
    classes=("china", "flower"),
    channels=1,
    size=8,
    mean=(0.5,),
    std=(0.25,),
    splits={"test": 2080},
    locate=locate,
    load=load,
    obtain="It comes with scikit-learn: pip install scikit-learn",
)
