"""CUB-200-2011 with its attributes of birds, each of which a whole image has or lacks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lthbench import textfiles
from lthbench.banks._pixels import gathered
from lthbench.data.image_files import picture, together
from lthbench.errors import BadInput
from lthbench.kinds import Annotated, Bank, Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

#: The size of labels: a whole image has an attribute, which a coarse grid says as well as a fine one.
GRID = 14


def locate(folders: tuple[Path, ...]) -> Source | None:
    """``CUB_200_2011`` with its tables and ``attributes``; the names of attributes may lie beside it."""
    for folder in folders:
        for root in (folder / "CUB_200_2011", folder):
            labels = root / "attributes" / "image_attribute_labels.txt"
            named = [root / "attributes" / "attributes.txt", root.parent / "attributes.txt"]
            names = next((path for path in named if path.is_file()), None)
            listed, split = root / "images.txt", root / "train_test_split.txt"
            if labels.is_file() and names is not None and listed.is_file() and split.is_file():
                pictures = [root / "images" / line.split()[-1] for line in textfiles.lines(listed)]
                return together("CUB", root, (listed, names, labels, split), pictures)
    return None


def load(source: Source | None, backdrop: Images, count: int, size: int, channels: int) -> Annotated:
    """Photographs of the training split; as many layers for each group of attributes (bill shape, wing
    colour, ...) as an image has attributes of it.

    A group is what stands before the two colons of a name, and is its attributes' category. As in the code
    of Koh et al. 2020 and Yuksekgonul et al. 2023, what people said is taken as it is, however certain they
    were, and of training images alone: concepts learn nothing of the images that networks are tested on.
    """
    import numpy as np
    from PIL.Image import fromarray

    del backdrop
    assert source is not None
    listed, named, labelled, split = source.files
    try:
        images = [line.split()[1] for line in textfiles.lines(listed)]
        names = [line.split()[1] for line in textfiles.lines(named)]
        rows = [line.split()[:4] for line in textfiles.lines(labelled)]
        facts = np.array(rows, dtype=np.int64).reshape(-1, 4)
        groups = [name.partition("::")[0] for name in names]
        has = _in_layers(facts, groups, len(images))
        trained = {int(line.split()[0]) for line in textfiles.lines(split) if line.split()[1] == "1"}
        shown = [k for k in range(len(images)) if k + 1 in trained]
    except (OSError, ValueError, IndexError) as error:
        raise BadInput(f"{source.root}: its attributes cannot be read: {error}") from error

    def read(k: int) -> tuple[Image, list[NDArray[np.integer]]]:
        image = fromarray(picture(source.beside[shown[k]]))
        return image, [np.broadcast_to(value, image.size[::-1]) for value in has[shown[k]]]

    return gathered(len(shown), read, names, groups, count, size, channels, str(source.root), labels=GRID)


def _in_layers(facts: NDArray[np.int64], groups: list[str], images: int) -> NDArray[np.int64]:
    """The attributes of each image, ``[images, layers]``, from rows of image, attribute, whether it is there
    and how certain people were.

    A group takes as many layers as one image has attributes of it: none is lost to another. Raises ValueError
    for images and attributes that there are not.
    """
    import numpy as np

    order = list(dict.fromkeys(groups))
    place = np.array([order.index(group) for group in groups])
    image, attribute, present, _ = facts.T
    if len(facts) and not (
        1 <= image.min() <= image.max() <= images and 1 <= attribute.min() <= attribute.max() <= len(groups)
    ):
        raise ValueError(f"a row names an image beyond {images} or an attribute beyond {len(groups)}")
    there = np.unique(facts[present > 0, :2], axis=0)
    image, attribute = there[:, 0] - 1, there[:, 1]
    group = place[attribute - 1]
    once, which = np.unique(image * len(order) + group, return_inverse=True)
    sorted_ = np.argsort(which, kind="stable")
    first = np.searchsorted(which[sorted_], np.arange(len(once)))
    rank = np.empty(len(which), dtype=np.int64)
    rank[sorted_] = np.arange(len(which)) - first[which[sorted_]]
    deep = np.ones(len(order), dtype=np.int64)
    np.maximum.at(deep, group, rank + 1)
    has = np.zeros((images, int(deep.sum())), dtype=np.int64)
    has[image, (np.cumsum(deep) - deep)[group] + rank] = attribute
    return has


BANK = Bank(
    name="cub-attributes",
    version=3,
    title="CUB-200-2011, photographs of birds with 312 attributes",
    source="Wah et al. 2011, The Caltech-UCSD Birds-200-2011 Dataset; its training images alone",
    licence="non-commercial research",
    load=load,
    locate=locate,
    obtain="Unpack CUB_200_2011.tgz and name the folder that holds CUB_200_2011 with --data DIR.",
)
