"""Optical recognition of handwritten digits: 1,797 images of 8 x 8 pixels that come with scikit-learn."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lthbench.kinds import Dataset, Images, Source

_SPLITS = {"train": 1077, "val": 180, "test": 540}


def locate(folders: tuple[Path, ...]) -> Source | None:
    """The file inside the installed scikit-learn (which is not imported for this)."""
    del folders
    spec = importlib.util.find_spec("sklearn")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent / "datasets" / "data"
    return Source("scikit-learn", root, (root / "digits.csv.gz",))


def load(source: Source, split: str) -> Images:
    """One split. Grey levels 0..16 become 0..255; the split is stratified and fixed."""
    import numpy as np
    from sklearn.datasets import load_digits

    from lthbench.data.loading import order

    del source
    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    pixels = np.rint(bunch.images * (255.0 / 16.0)).astype(np.uint8)[:, None]
    mixed = order(len(labels), "digits")
    # One image of each class in turn, so that every stretch of the order holds all classes alike.
    turn = np.empty(len(labels), dtype=np.int64)
    for digit in range(10):
        members = labels[mixed] == digit
        turn[members] = np.arange(members.sum())
    mixed = mixed[np.argsort(turn, kind="stable")]
    starts = {"test": 0, "val": _SPLITS["test"], "train": _SPLITS["test"] + _SPLITS["val"]}
    chosen = mixed[starts[split] : starts[split] + _SPLITS[split]]
    return Images(pixels[chosen], labels[chosen])


DATASET = Dataset(
    name="digits",
    version=1,
    title="Handwritten digits, 8 x 8 pixels, grey",
    source="Alpaydin & Kaynak 1998, UCI Machine Learning Repository, test part; through scikit-learn",
    licence="CC BY 4.0",
    classes=tuple("0123456789"),
    channels=1,
    size=8,
    mean=(0.3057,),
    std=(0.3764,),
    splits=_SPLITS,
    locate=locate,
    load=load,
    obtain="It comes with scikit-learn: pip install scikit-learn",
)
