"""Oxford-IIIT pets: the breed of each pixel of an animal, in torchvision's layout."""

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

#: In a trimap: the animal, the background, and the border between them.
ANIMAL = 1


def locate(folders: tuple[Path, ...]) -> Source | None:
    """``oxford-iiit-pet`` with ``annotations/trainval.txt`` and its trimaps, as torchvision unpacks it."""
    for folder in folders:
        for root in (folder / "oxford-iiit-pet", folder):
            listed = root / "annotations" / "trainval.txt"
            if listed.is_file() and (root / "annotations" / "trimaps").is_dir():
                names = [line.split()[0] for line in textfiles.lines(listed)]
                maps = [root / "annotations" / "trimaps" / f"{name}.png" for name in names]
                photographs = [root / "images" / f"{name}.jpg" for name in names]
                return together("Oxford-IIIT Pet", root, (listed, *maps), photographs)
    return None


def load(source: Source | None, backdrop: Images, count: int, size: int, channels: int) -> Annotated:
    """Photographs; the animal has its breed. All animals together would be too large a concept to be
    detected.
    """

    del backdrop
    assert source is not None
    maps = source.files[1:]
    breeds = [path.stem.rpartition("_")[0].replace("_", " ") for path in maps]
    names = sorted(set(breeds))

    def read(k: int) -> tuple[Image, list[NDArray[np.integer]]]:
        animal = numbers(maps[k]) == ANIMAL
        return labelled(source.beside[k]), [animal * (1 + names.index(breeds[k]))]

    categories = ["object"] * len(names)
    return gathered(len(maps), read, names, categories, count, size, channels, str(source.root))


BANK = Bank(
    name="pets",
    version=1,
    title="Oxford-IIIT Pet, 37 breeds of cats and dogs with their outlines",
    source="Parkhi et al. 2012, Cats and Dogs",
    licence="CC BY-SA 4.0",
    load=load,
    locate=locate,
    obtain="Fetch it with torchvision.datasets.OxfordIIITPet and name its folder with --data DIR.",
)
