"""Trees of photographs of any size, one folder for each class, named by WordNet id."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import scandir
from pathlib import Path

from lthbench.data.image_files import counted, is_image
from lthbench.errors import BadInput
from lthbench.kinds import Images, Source

#: Sets that take up to so many bytes when decoded are read into memory.
RESIDENT_BYTES = 4_000_000_000


def locate_tree(
    root: Path,
    name: str,
    parts: Mapping[str, int],
    classes: Sequence[str],
    *,
    flat: str = "",
    tested: Sequence[str] = (),
) -> Source | None:
    """The tree ``root/part/class/image``, ``parts`` mapping each folder to its number of images.

    None if no part is there. Raises BadInput for a tree that is there in part, naming a folder that lacks
    images; ``flat`` is what to do about a part whose images lie in one folder. ``tested`` are the parts with
    the test images, which may be there without the others.
    """
    there = [part for part in parts if (root / part).is_dir()]
    if not there:
        return None
    alone = set(there) == set(tested) < parts.keys()
    parts = {part: count for part, count in parts.items() if part in tested or not alone}
    files: list[Path] = []
    for part, count in parts.items():
        folder = root / part
        if not folder.is_dir():
            raise BadInput(f"{root}: {name} is incomplete: missing the folder {part}.")
        if flat and not (folder / classes[0]).is_dir() and any(_images(folder)):
            raise BadInput(
                f"{folder}: the images lie in one folder, and must be in one for each class. {flat}"
            )
        found: dict[Path, list[str]] = {}
        for label in classes:
            if not (folder / label).is_dir():
                raise BadInput(f"{root}: {name} is incomplete: missing {(folder / label).relative_to(root)}.")
            found[folder / label] = _images(folder / label)
        total = sum(map(len, found.values()))
        if total != count:
            classed = {str(at.relative_to(folder)): len(held) for at, held in found.items()}
            raise BadInput(
                f"{folder}: {name} has {count:,} images here, found {total:,}. Of the classes with fewest: "
                f"{counted(classed)}."
            )
        files += [at / image for at, images in found.items() for image in images]
    return Source("folders of classes", root, tuple(files), splits=("test",) if alone else ())


def first_whole(sources: Iterable[Source | None]) -> Source | None:
    """The first of the copies of a data set that is whole, else the first that has the test images only."""
    tested = None
    for source in sources:
        if source is not None and not source.splits:
            return source
        tested = tested or source
    return tested


def load_tree(
    source: Source, part: str, classes: Sequence[str], size: int, *, lazy: bool = False, plain: bool = False
) -> Images:
    """The images of ``root/part``, class by class, by file name, as they are evaluated."""
    labels = {name: label for label, name in enumerate(classes)}
    prefix = f"{source.root / part}/"
    files = [path for path in source.files if path.as_posix().startswith(prefix)]
    if source.splits and not files:
        raise BadInput(f"{source.root}: holds the test images only; missing the folder {part}.")
    return photographs(files, [labels[path.parent.name] for path in files], size, lazy=lazy, plain=plain)


def photographs(
    files: Sequence[Path], labels: Sequence[int], size: int, *, lazy: bool = False, plain: bool = False
) -> Images:
    """Photographs as they are evaluated: in memory if they fit into 4 GB, else (or if ``lazy``) a stream.

    What is in memory is the middle square of each, and training crops come out of that square; a stream
    cuts them out of the whole photograph. ``plain``: see ``data.decoding``.
    """
    import numpy as np

    from lthbench.data.streaming import Stream

    stream = Stream(files, size, plain=plain)
    resident = not lazy and stream.nbytes <= RESIDENT_BYTES
    return Images(stream[:] if resident else stream, np.array(labels, dtype=np.int64))


def _images(folder: Path) -> list[str]:
    with scandir(folder) as entries:
        found = [e.name for e in entries]
    return sorted(filter(is_image, found))
