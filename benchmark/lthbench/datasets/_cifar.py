"""What CIFAR-10 and CIFAR-100 share: torchvision's copy, and the split into 45,000 and 5,000."""

from __future__ import annotations

from lthbench.data.image_files import planes, read_class_folders
from lthbench.errors import BadInput
from lthbench.kinds import Images, Source

SPLITS = {"train": 45_000, "val": 5_000, "test": 10_000}
#: The images in each folder of a tree.
TREE = {"train": 50_000, "test": 10_000}


def from_torchvision(name: str, source: Source, split: str) -> Images:
    """One split of torchvision's copy. Files are compared with their published MD5 before unpickling."""
    import numpy as np
    import torchvision.datasets

    try:
        loaded = getattr(torchvision.datasets, name)(str(source.root.parent), train=split != "test")
    except RuntimeError as error:
        raise BadInput(
            f"{source.root}: a file does not match its published MD5; download it again."
        ) from error
    return by_order(Images(planes(loaded.data), np.array(loaded.targets, dtype=np.int64)), split)


def from_tree(source: Source, split: str, classes: tuple[str, ...]) -> Images:
    """One split of a tree of images: the last tenth of each class validates."""
    import numpy as np

    images = read_class_folders(source, "test" if split == "test" else "train", classes, 32)
    if split == "test":
        return images
    last = np.zeros(len(images.labels), dtype=bool)
    for label in np.unique(images.labels):
        members = np.flatnonzero(images.labels == label)
        last[members[len(members) - len(members) // 10 :]] = True
    chosen = last if split == "val" else ~last
    return Images(images.pixels[chosen], images.labels[chosen])


def by_order(images: Images, split: str) -> Images:
    """The split of images in their published order: the first 45,000 train, the last 5,000 validate."""
    if split == "test":
        return images
    chosen = slice(0, SPLITS["train"]) if split == "train" else slice(SPLITS["train"], None)
    return Images(images.pixels[chosen], images.labels[chosen])
