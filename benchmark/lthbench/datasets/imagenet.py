"""ImageNet (ILSVRC 2012): 1.3 million photographs in a thousand classes, decoded as they are needed.

Read from torchvision's layout ``imagenet/{train,val}/<WordNet id>/*.JPEG``. The published validation images
are the test split, as in the literature, and may be there alone; none are held out for validation. For
evaluation the shorter side becomes 256 pixels, then the middle 224 x 224. Files are read as torchvision's
ImageFolder reads them: without transparency (a training image is a PNG), and as they lie, whatever EXIF says
of the camera. ImageNet cannot be downloaded without an account.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lthbench.datasets._folders import first_whole, load_tree, locate_tree
from lthbench.datasets._imagenet_classes import NAMES, WNIDS
from lthbench.kinds import Dataset, Images, Source

SPLITS = {"train": 1_281_167, "test": 50_000}
#: Normalisation that is usual for photographs: of ImageNet's training images.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_PARTS = {"train": "train", "test": "val"}
_SORT = (
    "Move it away, put ILSVRC2012_img_val.tar and ILSVRC2012_devkit_t12.tar.gz into {root}, and sort them "
    "with: python -c \"from torchvision.datasets import ImageNet; ImageNet('{root}', split='val')\""
)


def locate(
    folders: tuple[Path, ...], splits: Mapping[str, int] = SPLITS, wnids: Sequence[str] = WNIDS
) -> Source | None:
    """The tree in ``imagenet`` or in the folder itself; test images may be there alone.

    Raises BadInput for a tree that is there in part. ``splits`` and ``wnids`` say what a whole copy holds: a
    smaller tree of the same layout can be used as a data set of its own, made from this one with
    ``dataclasses.replace``.
    """
    parts = {_PARTS[split]: count for split, count in splits.items()}
    return first_whole(
        locate_tree(root, "ImageNet", parts, wnids, flat=_SORT.format(root=root), tested=("val",))
        for folder in folders
        for root in (folder / "imagenet", folder)
        if root != folder or any((root / part / wnids[0]).is_dir() for part in _PARTS.values())
    )


def load(source: Source, split: str, wnids: Sequence[str] = WNIDS, size: int = 224) -> Images:
    """One split: train (1,281,167) or test (50,000), class by class, by file name; a stream."""
    return load_tree(source, _PARTS[split], wnids, size, lazy=True, plain=True)


DATASET = Dataset(
    name="imagenet",
    version=2,
    title="ImageNet, photographs at 224 x 224 pixels",
    source="Russakovsky et al. 2015, ImageNet Large Scale Visual Recognition Challenge",
    licence="non-commercial research and education",
    classes=NAMES,
    channels=3,
    size=224,
    mean=MEAN,
    std=STD,
    splits=SPLITS,
    locate=locate,
    load=load,
    obtain="With an account of image-net.org get ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, unpack "
    "them to imagenet/train/<WordNet id>/*.JPEG and imagenet/val/<WordNet id>/*.JPEG (torchvision.datasets."
    "ImageNet does so), and name the folder that holds imagenet with --data DIR.",
)
