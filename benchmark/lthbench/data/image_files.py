"""Images in files: mosaics of tiles, folders of classes, arrays. Every failure names its file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench.errors import BadInput
from lthbench.kinds import Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def expect(layout: str, root: Path, names: Iterable[str]) -> Source | None:
    """The files of a layout: all of them, or None if none is there. Raises BadInput if some are missing."""
    files = tuple(root / name for name in names)
    missing = [f for f in files if not f.is_file()]
    if len(missing) == len(files):
        return None
    if missing:
        listed = ", ".join(str(f.relative_to(root)) for f in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise BadInput(f"{root}: {layout} is incomplete: missing {listed}{more}.")
    empty = [f for f in files if f.stat().st_size == 0]
    if empty:
        raise BadInput(f"{empty[0]}: is empty.")
    return Source(layout, root, files)


def class_folders(root: Path, splits: Sequence[str], classes: Sequence[str]) -> Source | None:
    """A tree ``root/split/class/image``, as torchvision's ImageFolder reads it; None if there is none."""
    if not any((root / split / name).is_dir() for split in splits for name in classes):
        return None
    files: list[Path] = []
    for split in splits:
        for name in classes:
            folder = root / split / name
            if not folder.is_dir():
                raise BadInput(f"{root}: folder of images is incomplete: missing {split}/{name}.")
            found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
            if not found:
                raise BadInput(f"{folder}: holds no image ({', '.join(SUFFIXES)}).")
            files += found
    return Source("folder of images", root, tuple(files))


def read_class_folders(source: Source, split: str, classes: Sequence[str], size: int) -> Images:
    """One split of a tree of images, each of ``size`` x ``size`` pixels: class by class, by file name."""
    import numpy as np

    pixels, labels = [], []
    for path in source.files:
        here, name, _ = path.relative_to(source.root).parts
        if here != split:
            continue
        image = picture(path)
        if image.shape != (size, size, 3):
            raise BadInput(
                f"{path}: should be {size} x {size} pixels, is {image.shape[1]} x {image.shape[0]}."
            )
        pixels.append(image)
        labels.append(classes.index(name))
    return Images(planes(np.stack(pixels)), np.array(labels, dtype=np.int64))


def picture(path: Path) -> NDArray[np.uint8]:
    """An image file as uint8 ``[height, width, 3]``. Raises BadInput if it cannot be decoded whole."""
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadInput(f"{path}: broken image file: {error}") from error


def tiles(path: Path, count: int, size: int = 32) -> NDArray[np.uint8]:
    """A mosaic of ``count`` tiles in reading order, as uint8 ``[count, size, size, 3]``."""
    mosaic = picture(path)
    height, width = mosaic.shape[:2]
    if height % size or width % size or (height // size) * (width // size) != count:
        raise BadInput(f"{path}: should hold {count} tiles of {size} x {size}, is {width} x {height} pixels.")
    cut = mosaic.reshape(height // size, size, width // size, size, 3).swapaxes(1, 2)
    return cut.reshape(-1, size, size, 3)


def arrays(path: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """Arrays of an ``.npz`` file; nothing in it is unpickled."""
    import numpy as np

    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            return [file[name] for name in names]
    except KeyError as error:
        raise BadInput(f"{path}: {error.args[0]}") from error
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds for broken bytes
        raise BadInput(f"{path}: broken .npz file: {error}") from error


def planes(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[N, height, width, channels]`` to contiguous ``[N, channels, height, width]``."""
    import numpy as np

    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
