"""Any folder of images and masks: ``concepts/images``, ``concepts/masks`` and ``concepts/classes.txt``.

An image and its mask have the same name but for the ending. A mask is a picture of one channel (grey or with
a palette) whose values are the numbers of classes: the line of ``classes.txt``, counted from 1; 0 is no
concept. A line is a name, or a name and a category with a tab between.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lthbench import textfiles
from lthbench.banks._pixels import gathered
from lthbench.data.decoding import labelled, numbers
from lthbench.data.image_files import is_image
from lthbench.errors import BadInput
from lthbench.kinds import Annotated, Bank, Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


def locate(folders: tuple[Path, ...]) -> Source | None:
    """The first folder that has ``concepts/classes.txt``. Raises BadInput for an image without a mask."""
    for folder in folders:
        root = folder / "concepts"
        if not (root / "classes.txt").is_file():
            continue
        images = sorted(p for p in (root / "images").glob("*") if is_image(p.name))
        masks = {p.stem: p for p in sorted((root / "masks").glob("*")) if is_image(p.name)}
        lacking = [p.name for p in images if p.stem not in masks]
        if lacking:
            raise BadInput(f"{root}: {lacking[0]} has no mask in masks ({len(lacking)} of {len(images)}).")
        pairs = [path for image in images for path in (image, masks[image.stem])]
        return Source("folder of masks", root, (root / "classes.txt", *pairs))
    return None


def load(source: Source | None, backdrop: Images, count: int, size: int, channels: int) -> Annotated:
    """The images, and the classes of their pixels."""
    del backdrop
    assert source is not None
    classes, *pairs = source.files
    lines = [line.split("\t") for line in textfiles.lines(classes)]
    names = [line[0].strip() for line in lines]
    categories = [line[1].strip() if len(line) > 1 else "object" for line in lines]

    def read(k: int) -> tuple[Image, list[NDArray[np.integer]]]:
        return labelled(pairs[2 * k]), [numbers(pairs[2 * k + 1])]

    return gathered(len(pairs) // 2, read, names, categories, count, size, channels, str(source.root))


BANK = Bank(
    name="folder",
    version=1,
    title="a folder of your own: concepts/images, concepts/masks, concepts/classes.txt",
    source="yours",
    licence="that of its images",
    load=load,
    locate=locate,
    obtain=(
        "Put images, masks and classes.txt into a folder called concepts, and name the folder that has it "
        "with --data DIR."
    ),
)
