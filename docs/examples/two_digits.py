"""A data set: of the digits, the zeros and the ones, from what scikit-learn brings along."""

from pathlib import Path

from lthbench.kinds import Dataset, Images, Source

#: How many images each split has; the last of each class are for testing.
SPLITS = {"train": 280, "test": 80}


def locate(folders):
    """Where it is: inside scikit-learn, so the user's folders are not looked through."""
    import sklearn.datasets

    file = Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
    return Source("scikit-learn", file.parent, (file,)) if file.is_file() else None


def load(source, split):
    """Pixels as uint8 [N, 1, 8, 8], labels as int64 [N]."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    each = [np.flatnonzero(digits.target == label) for label in (0, 1)]
    parts = [rows[:140] if split == "train" else rows[-40:] for rows in each]
    rows = np.concatenate(parts)
    pixels = np.rint(digits.images[rows, None] * (255.0 / 16.0)).astype(np.uint8)
    return Images(pixels, digits.target[rows].astype(np.int64))


DATASET = Dataset(
    name="two-digits",
    version=1,
    title="Zeros and ones, 8 x 8 pixels, grey",
    source="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits",
    licence="CC BY 4.0",
    classes=("0", "1"),
    channels=1,
    size=8,
    mean=(0.3,),
    std=(0.37,),
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="It comes with scikit-learn.",
)
