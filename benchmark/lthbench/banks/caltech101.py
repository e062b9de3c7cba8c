"""Caltech 101 with its outlines of objects, in torchvision's layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lthbench.banks._pixels import gathered
from lthbench.data.decoding import labelled
from lthbench.data.image_files import together
from lthbench.errors import BadInput, because
from lthbench.kinds import Annotated, Bank, Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

#: Folders of annotations whose names differ from those of the images.
RENAMED = {
    "Faces": "Faces_2",
    "Faces_easy": "Faces_3",
    "Motorbikes": "Motorbikes_16",
    "airplanes": "Airplanes_Side_2",
}


def locate(folders: tuple[Path, ...]) -> Source | None:
    """``101_ObjectCategories`` and ``Annotations``, side by side, as torchvision unpacks them."""
    for folder in folders:
        for root in (folder / "caltech101", folder):
            images = root / "101_ObjectCategories"
            if images.is_dir() and (root / "Annotations").is_dir():
                found = sorted(
                    p for p in images.glob("*/image_*.jpg") if p.parent.name != "BACKGROUND_Google"
                )
                return together("Caltech 101", root, found, [_notes(root, path) for path in found])
    return None


def _notes(root: Path, image: Path) -> Path:
    """Where the outline of an image stands."""
    name, number = image.parent.name, image.stem.removeprefix("image_")
    return root / "Annotations" / RENAMED.get(name, name) / f"annotation_{number}.mat"


def load(source: Source | None, backdrop: Images, count: int, size: int, channels: int) -> Annotated:
    """Photographs; the inside of an object's outline has its category."""
    import numpy as np

    del backdrop
    assert source is not None
    names = sorted({path.parent.name for path in source.files})

    def read(k: int) -> tuple[Image, list[NDArray[np.integer]]]:
        from PIL import Image as pillow
        from PIL import ImageDraw
        from scipy.io import loadmat

        path = source.files[k]
        name, notes = path.parent.name, source.beside[k]
        image = labelled(path)
        try:
            found = loadmat(notes)
            # The outline is relative to the box: rows, columns of its top left corner are box[0], box[2].
            top, left = float(found["box_coord"][0, 0]), float(found["box_coord"][0, 2])
            points = [(x + left, y + top) for x, y in found["obj_contour"].T.tolist()]
            mask = pillow.new("I", image.size, 0)
            ImageDraw.Draw(mask).polygon(points, fill=1 + names.index(name))
        except Exception as error:  # SciPy raises a dozen kinds for broken bytes
            raise BadInput(f"{notes}: cannot be read{because(error)}.") from error
        return image, [np.asarray(mask)]

    return gathered(
        len(source.files), read, names, ["object"] * len(names), count, size, channels, str(source.root)
    )


BANK = Bank(
    name="caltech101",
    version=1,
    title="Caltech 101, photographs with the outlines of objects",
    source="Fei-Fei, Fergus & Perona 2004, Learning Generative Visual Models from Few Training Examples",
    licence="CC BY 4.0",
    load=load,
    locate=locate,
    obtain="Fetch it with torchvision.datasets.Caltech101 and name its folder with --data DIR.",
)
