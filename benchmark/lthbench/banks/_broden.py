"""Broden in its published layout (NetDissect): ``index.csv``, ``label.csv``, ``category.csv``, and
``images/``.

A row of the index has an image, its size, and for each category the names of label maps, with semicolons
between several. A label map is a picture whose red channel plus 256 times its green one is the number of a
label; where the entry is a number, the whole image has that label (scene, texture).
"""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lthbench.banks._pixels import gathered
from lthbench.errors import BadInput
from lthbench.kinds import Annotated, Bank, Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


def bank(name: str, title: str, source: str, licence: str, index: str, folders: tuple[str, ...]) -> Bank:
    """A bank of the images in ``index``, in one of these ``folders``."""
    return Bank(
        name=name,
        version=1,
        title=title,
        source=source,
        licence=licence,
        load=partial(_load, index=index),
        locate=partial(_locate, index=index, names=folders),
        obtain=f"Name the folder that has {folders[0]} (with {index}) with --data DIR.",
    )


def _locate(folders: tuple[Path, ...], index: str, names: tuple[str, ...]) -> Source | None:
    for folder in folders:
        for root in (folder / name for name in names):
            wanted = [root / index, root / "label.csv", root / "category.csv"]
            if all(path.is_file() for path in wanted):
                return Source("broden", root, (*wanted, *_files(root, root / index)))
    return None


def _files(root: Path, index: Path) -> list[Path]:
    with index.open(newline="", encoding="utf-8") as file:
        return [root / "images" / row["image"] for row in csv.DictReader(file)]


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path}: cannot be read: {error}") from error


def _load(
    source: Source | None, backdrop: Images, count: int, size: int, channels: int, index: str
) -> Annotated:
    import numpy as np

    del backdrop
    assert source is not None
    root = source.root
    rows = _rows(root / index)
    try:
        categories = [row["name"] for row in _rows(root / "category.csv")]
        labels = {int(row["number"]): row["name"] for row in _rows(root / "label.csv")}
        kinds = {int(row["number"]): row["category"] for row in _rows(root / "label.csv")}
    except (KeyError, ValueError) as error:
        raise BadInput(f"{root}: label.csv or category.csv is not that of Broden: {error}") from error
    numbers = sorted(number for number in labels if number > 0)
    place = np.zeros(max(numbers, default=0) + 1, dtype=np.int64)
    place[numbers] = np.arange(1, len(numbers) + 1)
    # "color(289)" names the category most of a label's pixels are in.
    names = [labels[n] for n in numbers]
    belongs = [kinds[n].partition("(")[0].partition(";")[0] or "object" for n in numbers]
    depth = max((len(row.get(c, "").split(";")) for row in rows for c in categories), default=1)

    def read(k: int) -> tuple[Image, list[NDArray[np.integer]]]:
        from PIL import Image

        row = rows[k]
        path = root / "images" / row["image"]
        try:
            image = Image.open(path)
            image.load()
            found: list[NDArray[np.integer]] = []
            for category in categories:
                entries = [e for e in row.get(category, "").split(";") if e]
                maps = [_label_map(root, e, image.size) for e in entries]
                maps += [np.zeros(image.size[::-1], dtype=np.int64)] * (depth - len(maps))
                found += [place[np.where(m < len(place), m, 0)] for m in maps]
        except (OSError, ValueError) as error:
            raise BadInput(f"{path}: cannot be read: {error}") from error
        return image, found

    return gathered(len(rows), read, names, belongs, count, size, channels, str(root))


def _label_map(root: Path, entry: str, size: tuple[int, int]) -> NDArray[np.int64]:
    """A label map, at the size of its image: published ones are at half of it."""
    import numpy as np
    from PIL import Image

    if entry.isdigit():
        return np.full(size[::-1], int(entry), dtype=np.int64)
    with Image.open(root / "images" / entry) as picture:
        coded = np.asarray(picture.convert("RGB").resize(size, Image.Resampling.NEAREST)).astype(np.int64)
    return coded[:, :, 0] + 256 * coded[:, :, 1]
