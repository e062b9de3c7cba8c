"""Photographs as encoded pictures end to end in one ``.npz`` file.

``data`` (uint8) holds the bytes of all files, picture ``i`` from ``offsets[i]`` to ``offsets[i + 1]``;
``labels`` count into ``classes``; ``split`` counts into ``splits``.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from lthbench.data.decoding import reading, rgb
from lthbench.data.image_files import arrays, expect, planes, whole
from lthbench.errors import BadInput
from lthbench.kinds import Images, Source

#: What ``Source.layout`` says of such a file.
LAYOUT = "encoded pictures"


def locate_encoded(folder: Path, name: str) -> Source | None:
    """The file ``name`` in ``folder``, if it is there. Raises BadInput where it is empty."""
    return expect(LAYOUT, folder, [name])


def load_encoded(source: Source, parts: Mapping[str, int], classes: Sequence[str], size: int) -> Images:
    """All pictures of ``parts`` (names in ``splits``, each with its number of pictures), in the file's order.

    Labels are renumbered to ``classes``. Raises BadInput for a file that holds something else.
    """
    import numpy as np

    (path,) = source.files
    wanted = ["data", "offsets", "labels", "classes", "split", "splits"]
    content, offsets, labels, names, split, splits = arrays(path, wanted)
    strange = sorted(set(map(str, names)) ^ set(classes))
    if strange:
        raise BadInput(f"{path}: classes should be {', '.join(classes)}; not so: {', '.join(strange)}.")
    number = np.array([classes.index(str(name)) for name in names])
    if labels.ndim != 1 or offsets.shape != (len(labels) + 1,) or split.shape != labels.shape:
        raise BadInput(f"{path}: offsets, labels and split are not of one length.")
    whole(path, "offsets", offsets)
    whole(path, "labels", labels, len(names))
    whole(path, "split", split, len(splits))
    part = np.array([str(splits[s]) for s in split])
    for name, count in parts.items():
        if (part == name).sum() != count:
            raise BadInput(f"{path}: should hold {count:,} pictures of {name}, has {(part == name).sum():,}.")
    chosen = np.flatnonzero(np.isin(part, list(parts)))
    pixels = np.empty((len(chosen), size, size, 3), dtype=np.uint8)
    for row, i in enumerate(chosen):
        encoded = io.BytesIO(content[offsets[i] : offsets[i + 1]].tobytes())
        with reading(encoded, f"{path}: picture {i}") as image:
            found = np.asarray(rgb(image))
        if found.shape != (size, size, 3):
            raise BadInput(
                f"{path}: picture {i} should be {size} x {size}, is {found.shape[1]} x {found.shape[0]}."
            )
        pixels[row] = found
    return Images(planes(pixels), number[labels[chosen]].astype(np.int64))
