"""Banks in one ``.npz`` file: encoded images end to end, and masks of classes."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from lthbench.banks._pixels import gathered
from lthbench.data.decoding import reading, rgb, upright
from lthbench.data.image_files import arrays, whole
from lthbench.errors import BadInput
from lthbench.kinds import Annotated, Bank, Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

_KEYS = ("data", "offsets", "masks", "classes")


def bank(name: str, title: str, source: str, licence: str, category: str, nothing: str) -> Bank:
    """A bank in ``NAME.npz``; the class called ``nothing`` is no concept."""
    return Bank(
        name=name,
        version=1,
        title=title,
        source=source,
        licence=licence,
        load=partial(_load, category=category, nothing=nothing),
        locate=partial(_locate, name=f"{name.replace('-', '_')}.npz"),
        obtain=f"Name the folder that has {name.replace('-', '_')}.npz with --data DIR.",
    )


def _locate(folders: tuple[Path, ...], name: str) -> Source | None:
    for folder in folders:
        if (folder / name).is_file():
            return Source("arrays", folder, (folder / name,))
    return None


def _load(
    source: Source | None, backdrop: Images, count: int, size: int, channels: int, category: str, nothing: str
) -> Annotated:
    import numpy as np

    del backdrop
    assert source is not None
    path = source.files[0]
    data, offsets, masks, labels = arrays(path, _KEYS)
    if masks.ndim != 3 or offsets.shape != (len(masks) + 1,):
        raise BadInput(
            f"{path}: should hold masks of images and one more offset, holds masks {masks.shape} "
            f"and offsets {offsets.shape}."
        )
    classes = [str(c) for c in labels]
    whole(path, "offsets", offsets)
    whole(path, "masks", masks, len(classes))
    names = [c for c in classes if c != nothing]
    number = np.array([0 if c == nothing else 1 + names.index(c) for c in classes])

    def read(k: int) -> tuple[Image, list[NDArray[np.integer]]]:
        encoded = io.BytesIO(data[offsets[k] : offsets[k + 1]].tobytes())
        with reading(encoded, f"{path}: image {k}") as image:
            upright(image)
            return rgb(image), [number[masks[k]]]

    return gathered(len(masks), read, names, [category] * len(names), count, size, channels, str(path))
