"""SVHN: house numbers on photographs of streets, 32 x 32 pixels. Out of distribution for CIFAR.

Read from ``train_32x32.mat`` and ``test_32x32.mat``, in a folder ``svhn`` or by themselves; for telling them
apart from another data set the test file is enough.
"""

from __future__ import annotations

from pathlib import Path

from lthbench.data.image_files import expect
from lthbench.errors import BadInput, because
from lthbench.kinds import Archive, Dataset, Images, Source

SPLITS = {"train": 73_257, "test": 26_032}
_FILES = {split: f"{split}_32x32.mat" for split in SPLITS}

URL = "http://ufldl.stanford.edu/housenumbers/"
MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


def locate(folders: tuple[Path, ...]) -> Source | None:
    """Both files, or the test file. Raises BadInput where that is missing, or one is empty."""
    for folder in folders:
        for root in (folder / "svhn", folder):
            there = (root / _FILES["train"]).is_file()
            found = expect("SVHN", root, _FILES.values() if there else [_FILES["test"]])
            if found:
                return found
    return None


def load(source: Source, split: str) -> Images:
    """One split: train (73,257) or test (26,032). The digit 0, which the files call 10, is label 0."""
    import numpy as np
    from scipy.io import loadmat

    path = source.root / _FILES[split]
    if path not in source.files:
        raise BadInput(f"{path}: missing; only the test images are there. {DATASET.obtain}")
    try:
        content = loadmat(path)
        pixels, labels = content["X"], content["y"].reshape(-1).astype(np.int64)
    except Exception as error:  # SciPy raises a dozen kinds for broken bytes
        raise BadInput(
            f"{path}: broken .mat file: it is cut short, or of another kind{because(error)}."
        ) from error
    if pixels.dtype != np.uint8 or pixels.shape[:3] != (32, 32, 3) or pixels.shape[3:] != labels.shape:
        raise BadInput(f"{path}: should hold 32 x 32 colour images and their labels, holds {pixels.shape}.")
    return Images(np.ascontiguousarray(pixels.transpose(3, 2, 0, 1)), labels % 10)


DATASET = Dataset(
    name="svhn",
    version=1,
    title="SVHN house numbers, 32 x 32 pixels, colour",
    source="Netzer et al. 2011, Reading Digits in Natural Images with Unsupervised Feature Learning",
    licence="non-commercial use",
    classes=tuple("0123456789"),
    channels=3,
    size=32,
    mean=(0.4377, 0.4438, 0.4728),
    std=(0.1980, 0.2010, 0.1970),
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="Fetch it with --download or lthbench data (246 MB), or name a folder with it by --data DIR.",
    archives=tuple(Archive(URL + name, MD5[name], into="svhn") for name in sorted(MD5)),
    published=MD5,
)
