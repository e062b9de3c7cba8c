"""Where data sets are looked for, how what is found is identified, and how it is read."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lthbench import registry
from lthbench.data import hashing
from lthbench.data.image_files import counted
from lthbench.errors import BadInput
from lthbench.files import cache_folder
from lthbench.global_state import kept
from lthbench.kinds import Bank, Dataset, Images, Source
from lthbench.spec import Data, Inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: The digest of a data set that is not there (a plan can still be made).
MISSING = "missing"


def folders(given: str | Path | None = None) -> tuple[Path, ...]:
    """Where data sets are looked for, in order: the folder given, ``LTHBENCH_DATA``, the user's cache."""
    chosen = [Path(given)] if given else []
    if os.environ.get("LTHBENCH_DATA"):
        chosen.append(Path(os.environ["LTHBENCH_DATA"]))
    with contextlib.suppress(BadInput, OSError):  # without a home there is no cache
        own = default_folder()
        own.is_dir()
        chosen.append(own)
    return tuple(chosen)


def default_folder() -> Path:
    """Where downloads go: ``lthbench/data`` in the user's cache folder. Raises BadInput for no home."""
    try:
        return cache_folder() / "data"
    except RuntimeError as error:
        raise BadInput(f"{error}, or name a folder: --data DIR, or --to DIR for downloads.") from error


def located(record: Dataset | Bank, places: tuple[Path, ...]) -> Source | None:
    """The files of a data set or a bank; None where they are not there, or where a bank has none."""
    with kept(f"{'data set' if isinstance(record, Dataset) else 'bank of concepts'} {record.name}"):
        return record.locate(places) if record.locate else None


def find(name: str, places: tuple[Path, ...]) -> Source:
    """The data set's files. Raises BadInput that says where was looked and how to get them."""
    dataset = registry.get(Dataset, name)
    source = located(dataset, places)
    if source is None:
        looked = ", ".join(str(p) for p in places) or "any folder: none is given, and you have no home folder"
        raise BadInput(f"data set {dataset.name} is not in {looked}. {dataset.obtain}")
    return source


def identify(name: str, places: tuple[Path, ...], *, needed: bool = True) -> Data:
    """The data set as it stands in keys. Where it is missing and not ``needed``, its digest says so."""
    dataset = registry.get(Dataset, name)
    version = registry.record_version(Dataset, dataset.name)
    if not needed and located(dataset, places) is None:
        return Data(dataset.name, version, MISSING)
    source = find(name, places)
    return Data(dataset.name, version, digest(source, dataset.name))


#: The digest of each set when it was last looked at, by whose it is, its layout and folder.
_last: dict[tuple[str, str, Path], str] = {}


def digest(source: Source, of: str = "") -> str:
    """A hash of the names and bytes of all files. Where it is another one than before, images are read again.

    ``of`` is what the files are of, where sets share a folder: a data set, a kind of corruption. Bytes are
    remembered by a file's inode, size and times in the user's cache, so that a million files that did not
    change are only looked at: see ``hashing``. Raises BadInput for a file that cannot be read.
    """
    total = hashlib.sha256(source.layout.encode())
    root = f"{source.root}{os.sep}"
    paths = (*source.files, *source.beside)
    try:
        hashes = hashing.hashes(paths, _memory())
    except OSError as error:
        raise BadInput(f"{error.filename or source.root}: cannot be read: {error.strerror}") from error
    for path, content in zip(paths, hashes, strict=True):
        # By their text, not by relative_to: there may be a million of them.
        named = str(path)[len(root) :] if str(path).startswith(root) else path.name
        total.update(f"\n{named.replace(os.sep, '/')} ".encode(errors="surrogateescape"))
        total.update(content)
    found = total.hexdigest()
    if _last.get((of, source.layout, source.root), found) != found:
        _forget()
    _last[of, source.layout, source.root] = found
    return found


def _memory() -> Path | None:
    """Where hashes of files are remembered; None where the user has no folder for that."""
    try:
        return default_folder().parent / "hashes"
    except BadInput:
        return None


@lru_cache(maxsize=8)
def load(name: str, split: str, places: tuple[Path, ...]) -> Images:
    """One split of a data set. Raises BadInput, naming the file, for one that cannot be read."""
    import numpy as np

    dataset = registry.get(Dataset, name)
    if split not in dataset.splits:
        raise BadInput(f"data set {name} has no split {split!r}; it has {', '.join(dataset.splits)}.")
    source = find(name, places)
    with kept(f"data set {dataset.name}"):
        images = dataset.load(source, split)
    shape = (dataset.channels, dataset.size, dataset.size)
    if images.pixels.dtype != np.uint8 or images.pixels.shape[1:] != shape:
        found = f"{images.pixels.dtype} {images.pixels.shape[1:]}"
        raise BadInput(f"{source.root}: images of {name} should be uint8 {shape}, found {found}.")
    labels = np.asarray(images.labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise BadInput(
            f"{source.root}: labels of {name} should be one whole number for each image (int64, of shape "
            f"[images]), found {labels.dtype} of shape {list(labels.shape)}."
        )
    images = images._replace(labels=labels.astype(np.int64, copy=False))
    if len(images.labels) != len(images.pixels):
        raise BadInput(f"{source.root}: {len(images.pixels)} images but {len(images.labels)} labels.")
    if len(images.labels) != dataset.splits[split]:
        counts = np.bincount(images.labels[images.labels >= 0], minlength=len(dataset.classes)).tolist()
        classed = dict(zip(dataset.classes, counts, strict=False))
        raise BadInput(
            f"{source.root}: {name} has {dataset.splits[split]:,} {split} images, found "
            f"{len(images.labels):,}: {counted(classed)}."
        )
    if len(images.labels) and not 0 <= images.labels.min() <= images.labels.max() < len(dataset.classes):
        raise BadInput(f"{source.root}: labels of {name} must be 0..{len(dataset.classes) - 1}.")
    return images


_forget = load.cache_clear


def check(name: str, split: str, places: tuple[Path, ...]) -> None:
    """Read one split to see whether that works. Raises BadInput, naming the file, where it does not.

    Of a stream every file must be there and not empty, and the first image of each class is decoded, and
    those whose headers make them suspect: to decode a million would take longer than a training's first
    epoch, which names a broken file as well.
    """
    import numpy as np

    from lthbench.data.streaming import Stream

    images = load(name, split, places)
    if isinstance(images.pixels, Stream):
        images.pixels.check(np.unique(images.labels, return_index=True)[1])


def subset(images: Images, count: int, first: int | None = None) -> Images:
    """``count`` images of the fixed random order, from its place ``first`` on (None: from its start).

    All in file order where ``count`` is 0, or no less than there are. Nothing of a stream is decoded.
    """
    from lthbench.data.streaming import Stream

    if count == 0 or count >= len(images.labels):
        return images
    chosen = numbers(len(images.labels), count, first)
    some = images.pixels.view(chosen) if isinstance(images.pixels, Stream) else images.pixels[chosen]
    return Images(some, images.labels[chosen])


def shown(inputs: Inputs, places: tuple[Path, ...]) -> Images:
    """The images of a set, as they are before anything is done to them."""
    return subset(load(inputs.data.name, inputs.split, places), inputs.images, inputs.first)


def lent(inputs: Inputs, places: tuple[Path, ...]) -> Images:
    """The same for the code of others: what it changes in them is changed for nobody else.

    Some images of a set are copies already; all of them would be those that are kept in memory.
    """
    from lthbench.data.streaming import Stream

    images = shown(inputs, places)
    if images is not load(inputs.data.name, inputs.split, places):
        return images
    pixels = images.pixels if isinstance(images.pixels, Stream) else images.pixels[:].copy()
    return Images(pixels, images.labels.copy())


def numbers(total: int, count: int, first: int | None = None) -> NDArray[np.int64]:
    """Which of ``total`` images, by their places in file order, ``subset`` takes: int64 ``[images]``."""
    import numpy as np

    if count == 0 or count >= total:
        return np.arange(total)
    return order(total, "subset")[first or 0 :][:count]


def per_class(images: Images, count: int) -> Images:
    """The first ``count`` images of each class in the fixed random order, in memory."""
    import numpy as np

    shuffled = order(len(images.labels), "per class")
    labels = images.labels[shuffled]
    chosen = np.concatenate([shuffled[labels == c][:count] for c in np.unique(images.labels)])
    return Images(images.pixels[chosen], images.labels[chosen])


def order(count: int, salt: str) -> NDArray[np.int64]:
    """A random order of 0 .. count - 1 that is the same everywhere and always: by a hash of each number."""
    import numpy as np

    ranks = [hashlib.blake2b(f"{salt}/{i}".encode(), digest_size=8).digest() for i in range(count)]
    return np.argsort(np.frombuffer(b"".join(ranks), dtype=">u8"), kind="stable")


def overlap(trained_on: str, other: str, places: tuple[Path, ...]) -> float:
    """The share of a data set's test images that are also training images of another, equal in all pixels.

    0 for images of other sizes, and for those that are streamed.
    """
    import numpy as np

    known, tested = load(trained_on, "train", places).pixels, load(other, "test", places).pixels
    if not isinstance(known, np.ndarray) or not isinstance(tested, np.ndarray):
        return 0.0
    if known.shape[1:] != tested.shape[1:]:
        return 0.0
    seen = {_fingerprint(image) for image in known}
    return sum(_fingerprint(image) in seen for image in tested) / max(len(tested), 1)


def _fingerprint(image: NDArray[np.uint8]) -> bytes:
    return hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def describe(name: str, places: tuple[Path, ...]) -> Mapping[str, str]:
    """Whether and where the data set is there, or what is wrong with it, or how to get it."""
    dataset = registry.get(Dataset, name)
    try:
        source = dataset.locate(places)
    except Exception as error:  # a plug-in's own; what lists data sets goes on
        return broken(error)
    if source is None:
        return {"state": "missing", "detail": dataset.obtain}
    only = f", {' and '.join(source.splits)} images only" if source.splits else ""
    where = f" in {source.root}" if source.files else ", needs no files"
    return {"state": "found", "detail": f"{source.layout}{where}{only}"}


def broken(error: Exception) -> dict[str, str]:
    """What is said of a data set or bank that cannot be looked for."""
    said = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
    return {"state": "broken", "detail": said}


def checked_folders(folder: str | Path | None) -> tuple[Path, ...]:
    """Where data is looked for. Raises BadInput for a folder given by the user that is not there."""
    for given, said in ((folder, "--data"), (os.environ.get("LTHBENCH_DATA"), "LTHBENCH_DATA")):
        if given and not Path(given).is_dir():
            several = f" It is one folder, not several with {os.pathsep!r} between them."
            raise BadInput(f"{said} {given}: no such folder.{several if os.pathsep in str(given) else ''}")
    return folders(folder)
