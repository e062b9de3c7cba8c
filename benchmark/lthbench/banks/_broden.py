"""Broden in its published layout (NetDissect): ``index.csv``, ``label.csv``, ``category.csv``, and
``images/``.

A row of the index has an image, its size, and for each category the names of label maps, with semicolons
between several. A label map is a picture whose red channel plus 256 times its green one is the number of a
label; where the entry is a number, the whole image has that label (scene, texture).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lthbench import textfiles
from lthbench.banks._pixels import gathered
from lthbench.data.decoding import Unfit, labelled, reading
from lthbench.data.image_files import together
from lthbench.errors import BadInput, because
from lthbench.kinds import Annotated, Bank, Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


def bank(name: str, title: str, source: str, licence: str, index: str, folders: tuple[str, ...]) -> Bank:
    """A bank of the images in ``index``, in one of these ``folders``."""
    from_ = "" if index == "index.csv" else ", which the code of compositional explanations brings along"
    return Bank(
        name=name,
        version=2,
        title=title,
        source=source,
        licence=licence,
        load=partial(_load, index=index),
        locate=partial(_locate, index=index, names=folders),
        obtain=f"Name the folder that has {folders[0]} (with {index}{from_}) with --data DIR.",
    )


def _locate(folders: tuple[Path, ...], index: str, names: tuple[str, ...]) -> Source | None:
    for folder in folders:
        for root in (folder / name for name in names):
            wanted = [root / index, root / "label.csv", root / "category.csv"]
            if all(path.is_file() for path in wanted):
                categories, rows = _categories(root), _index(root / index)
                wanted += [path for c in categories if (path := root / f"c_{c}.csv").is_file()]
                images = [root / "images" / row["image"] for row in rows]
                entries = (e for row in rows for c in categories for e in _entries(row, c))
                maps = dict.fromkeys(root / "images" / e for e in entries if not e.isdigit())
                return together("broden", root, (*wanted, *images), list(maps))
    return None


def _index(path: Path) -> list[dict[str, str]]:
    return textfiles.table(path, ["image"])


def _categories(root: Path) -> list[str]:
    return [row["name"] for row in textfiles.table(root / "category.csv", ["name"])]


def _entries(row: Mapping[str, str], category: str) -> list[str]:
    """The label maps of an image in one category, or the numbers of labels that all of it has."""
    return [entry for entry in row.get(category, "").split(";") if entry]


def _by_pixels(root: Path, categories: list[str]) -> dict[int, str]:
    """The category of most pixels of each label, by the tables ``c_object.csv``, ... where they are there."""
    found: dict[int, tuple[float, str]] = {}
    for category in categories:
        path = root / f"c_{category}.csv"
        for row in textfiles.table(path, ["number", "coverage"]) if path.is_file() else ():
            try:
                number, pixels = int(row["number"]), float(row["coverage"])
            except ValueError as error:
                raise BadInput(f"{path}: is not that of Broden{because(error)}.") from error
            if pixels > found.get(number, (-1.0, ""))[0]:
                found[number] = pixels, category
    return {number: category for number, (_, category) in found.items()}


def _load(
    source: Source | None, backdrop: Images, count: int, size: int, channels: int, index: str
) -> Annotated:
    import numpy as np

    del backdrop
    assert source is not None
    root = source.root
    rows, categories = _index(root / index), _categories(root)
    listed = textfiles.table(root / "label.csv", ["number", "name", "category"])
    try:
        labels = {int(row["number"]): row["name"] for row in listed}
        kinds = {int(row["number"]): row["category"] for row in listed}
    except ValueError as error:
        raise BadInput(f"{root / 'label.csv'}: is not that of Broden{because(error)}.") from error
    numbers = sorted(number for number in labels if number > 0)
    place = np.zeros(max(numbers, default=0) + 1, dtype=np.int64)
    place[numbers] = np.arange(1, len(numbers) + 1)
    names = [labels[n] for n in numbers]
    # "part(289);object(7)" counts images; a label's category is that of most of its pixels.
    most = _by_pixels(root, categories)
    belongs = [most.get(n) or kinds[n].partition("(")[0].partition(";")[0] or "object" for n in numbers]
    # As many layers as the image with most label maps has: those of all categories would fill memory.
    depth = max((sum(len(_entries(row, c)) for c in categories) for row in rows), default=1) or 1

    def read(k: int) -> tuple[Image, list[NDArray[np.integer]]]:
        row = rows[k]
        image = labelled(root / "images" / row["image"])
        maps = [_label_map(root, entry, image.size) for c in categories for entry in _entries(row, c)]
        maps += [np.zeros(image.size[::-1], dtype=np.int64)] * (depth - len(maps))
        return image, [place[np.where(m < len(place), m, 0)] for m in maps]

    return gathered(len(rows), read, names, belongs, count, size, channels, str(root))


def _label_map(root: Path, entry: str, size: tuple[int, int]) -> NDArray[np.int64]:
    """A label map, at the size of its image: published ones are at half of it."""
    import numpy as np
    from PIL import Image

    if entry.isdigit():
        return np.full(size[::-1], int(entry), dtype=np.int64)
    with reading(root / "images" / entry) as picture:
        if picture.mode not in ("RGB", "RGBA"):
            raise Unfit(f"is of mode {picture.mode}; a label map has its numbers in red and green")
        coded = np.asarray(picture.resize(size, Image.Resampling.NEAREST)).astype(np.int64)
    return coded[:, :, 0] + 256 * coded[:, :, 1]
