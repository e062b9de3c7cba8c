"""Pascal VOC 2012 with the class of each pixel, in torchvision's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lthbench import textfiles
from lthbench.banks._pixels import gathered
from lthbench.data.decoding import labelled, numbers
from lthbench.data.image_files import together
from lthbench.kinds import Annotated, Bank, Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

#: The classes in the order of their numbers, from 1; 0 is background and 255 a border.
CLASSES = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable"),
    *("dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def locate(folders: tuple[Path, ...]) -> Source | None:
    """``VOCdevkit/VOC2012`` with its list of segmented images."""
    for folder in folders:
        root = folder / "VOCdevkit" / "VOC2012"
        listed = root / "ImageSets" / "Segmentation" / "trainval.txt"
        if listed.is_file():
            names = textfiles.lines(listed)
            masks = [root / "SegmentationClass" / f"{name}.png" for name in names]
            photographs = [root / "JPEGImages" / f"{name}.jpg" for name in names]
            return together("VOC", root, (listed, *masks), photographs)
    return None


def load(source: Source | None, backdrop: Images, count: int, size: int, channels: int) -> Annotated:
    """Segmented images; borders are no class."""
    import numpy as np

    del backdrop
    assert source is not None
    masks, photographs = source.files[1:], source.beside

    def read(k: int) -> tuple[Image, list[NDArray[np.integer]]]:
        found = numbers(masks[k])
        return labelled(photographs[k]), [np.where(found == 255, 0, found)]

    return gathered(len(masks), read, CLASSES, ["object"] * 20, count, size, channels, str(source.root))


BANK = Bank(
    name="voc2012",
    version=1,
    title="Pascal VOC 2012, photographs with 20 classes of pixels",
    source="Everingham et al. 2015, The Pascal Visual Object Classes Challenge: A Retrospective",
    licence="Flickr terms",
    load=load,
    locate=locate,
    obtain="Fetch it with torchvision.datasets.VOCSegmentation and name its folder with --data DIR.",
)
