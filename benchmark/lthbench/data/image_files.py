"""Images in files: mosaics of tiles, folders of classes, arrays. Every failure names its file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench.data.decoding import reading, rgb
from lthbench.errors import BadInput, because
from lthbench.kinds import Images, Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The endings of images, in any case: torchvision's.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".ppm", ".pgm", ".tif", ".tiff")


def is_image(name: str) -> bool:
    """Whether a file is an image by its name, and no trace of a system's own, as ``._cat.png``."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


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


def together(layout: str, root: Path, files: Sequence[Path], beside: Sequence[Path]) -> Source:
    """Files of which each has another one beside it. Raises BadInput, naming it, for one that is missing."""
    missing = next((path for path in (*files, *beside) if not path.is_file()), None)
    if missing is not None:
        raise BadInput(f"{root}: {layout} is incomplete: missing {missing.relative_to(root)}.")
    return Source(layout, root, tuple(files), tuple(beside))


def class_folders(root: Path, parts: Mapping[str, int], classes: Sequence[str]) -> Source | None:
    """A tree ``root/part/class/image``, as torchvision's ImageFolder reads it; None if there is none.

    ``parts`` maps each folder to its number of images, of which each class has as many as the others. Raises
    BadInput for a tree that has more or fewer, with the counts of its classes.
    """
    if not any((root / part / name).is_dir() for part in parts for name in classes):
        return None
    files: list[Path] = []
    faults: list[str] = []
    for part, count in parts.items():
        found: dict[str, list[Path]] = {}
        strange: Counter[str] = Counter()
        for name in classes:
            folder = root / part / name
            if not folder.is_dir():
                raise BadInput(f"{root}: folder of images is incomplete: missing {part}/{name}.")
            entries = sorted(folder.iterdir())
            found[name] = [path for path in entries if is_image(path.name)]
            strange.update(
                p.suffix or p.name for p in entries if not is_image(p.name) and not _system(p.name)
            )
        wrong = {name: len(held) for name, held in found.items() if len(held) * len(classes) != count}
        if wrong:
            total = sum(map(len, found.values()))
            faults.append(
                f"has {count:,} {part} images, {count // len(classes):,} of each class, found {total:,}: "
                f"{counted(wrong)}.{unread(strange)}"
            )
        files += [path for held in found.values() for path in held]
    if faults:
        raise BadInput(f"{root}: is not the whole data set. It {' It '.join(faults)}")
    return Source("folder of images", root, tuple(files))


def counted(classes: Mapping[str, int]) -> str:
    """Counts by class, those with fewest first: "cat 3, dog 5, and 8 more"."""
    least = sorted(classes.items(), key=lambda pair: pair[1])
    shown = ", ".join(f"{name} {count:,}" for name, count in least[:10])
    return shown + (f", and {len(least) - 10:,} more" if len(least) > 10 else "")


def unread(strange: Mapping[str, int]) -> str:
    """What is said of files that are no images by their names; "" for none."""
    if not strange:
        return ""
    kinds = ", ".join(f"{count:,} {ending}" for ending, count in sorted(strange.items())[:5])
    return f" Not read, by their endings: {kinds}."


def _system(name: str) -> bool:
    """Whether a system keeps a file of this name in a folder of images."""
    return name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini")


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
    """An image file as uint8 ``[height, width, 3]``: see ``decoding.rgb``. Raises BadInput, naming it."""
    import numpy as np

    with reading(path) as image:
        return np.asarray(rgb(image))


def tiles(path: Path, count: int, size: int = 32) -> NDArray[np.uint8]:
    """A mosaic of ``count`` tiles in reading order, as uint8 ``[count, size, size, 3]``."""
    mosaic = picture(path)
    height, width = mosaic.shape[:2]
    if height % size or width % size or (height // size) * (width // size) != count:
        raise BadInput(f"{path}: should hold {count} tiles of {size} x {size}, is {width} x {height} pixels.")
    cut = mosaic.reshape(height // size, size, width // size, size, 3).swapaxes(1, 2)
    return cut.reshape(-1, size, size, 3)


def arrays(path: Path, names: Sequence[str]) -> list[NDArray[Any]]:
    """Arrays of an ``.npz`` file; nothing in it is unpickled. Raises BadInput, naming the file."""
    import numpy as np

    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            missing = [name for name in names if name not in file]
            if missing:
                raise BadInput(f"{path}: has no {', '.join(missing)}.")
            return [file[name] for name in names]
    except BadInput:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise a dozen kinds for broken bytes
        raise BadInput(
            f"{path}: broken .npz file: it is cut short, or of another kind{because(error)}."
        ) from error


def whole(path: Path, name: str, numbers: NDArray[Any], count: int | None = None) -> None:
    """Raise BadInput where the array ``name`` of a file has other than whole numbers.

    With ``count``, they must be places among so many: 0 or more, and less than that.
    """
    if numbers.dtype.kind not in "iu":
        raise BadInput(f"{path}: {name} should be whole numbers, are {numbers.dtype}.")
    if count is not None and numbers.size and not 0 <= numbers.min() <= numbers.max() < count:
        raise BadInput(f"{path}: {name} should be 0..{count - 1}, found {numbers.min()}..{numbers.max()}.")


def planes(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """``[N, height, width, channels]`` to contiguous ``[N, channels, height, width]``."""
    import numpy as np

    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
