"""What a data set and a bank of concepts fill in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from lthbench.errors import BadInput
from lthbench.kinds.filled_in import cell, count, finite, plain, texts, version

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Images in one draw of a corruption's noise, and in one forward pass.
BATCH = 250


class Pixels(Protocol):
    """Pixels as uint8 ``[images, channels, height, width]``: an array, or one decoded when indexed."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the whole."""
        ...

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        """That of uint8."""
        ...

    @property
    def nbytes(self) -> int:
        """What all images take in memory, or would."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> NDArray[np.uint8]: ...


class Images(NamedTuple):
    """Images as uint8 ``[images, channels, height, width]`` and labels as int64 ``[images]``.

    Pixels too many to sit in memory are a ``Stream``: indexed like an array, decoded when they are.
    """

    pixels: Pixels
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """Where a data set was found: ``layout`` says in which form, ``files`` hold the images.

    ``beside`` are files that are read as well, if they are others: outlines, label maps. ``splits`` are those
    that it holds, where these are not all of the data set's.
    """

    layout: str
    root: Path
    files: tuple[Path, ...]
    beside: tuple[Path, ...] = ()
    splits: tuple[str, ...] = ()


@dataclass(frozen=True)
class Archive:
    """A published file: address and MD5 (hex); ``unpack`` for a tar file, ``into`` a folder of its own."""

    url: str
    md5: str
    unpack: bool = False
    into: str = ""


@dataclass(frozen=True)
class Dataset:
    """A data set. ``locate`` finds it or returns None; ``load`` reads one split, raising BadInput by file.

    ``locate(folders)`` looks through the given folders in order; ``load`` gives the same images in the same
    order each time. ``splits`` maps each split to its number of images where that is fixed; ``mean`` and
    ``std`` are those of each channel over the training images, their pixels from 0 to 1. ``obtain`` says how
    to get the data; ``archives`` are fetched to do so, or ``download(folder)`` does it. ``published`` are MD5
    of files, by name.
    ``against`` maps data sets to those of their classes that this one, out of their distribution, was
    collected against: it is compared with test images of these classes, by these classes' logits.

    Raises BadInput where it is not filled in like this.
    """

    name: str
    version: int
    title: str
    source: str
    licence: str
    classes: tuple[str, ...]
    channels: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    splits: Mapping[str, int]
    locate: Callable[[tuple[Path, ...]], Source | None]
    load: Callable[[Source, str], Images]
    obtain: str = ""
    download: Callable[[Path], None] | None = None
    against: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    archives: tuple[Archive, ...] = ()
    published: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        who = f"data set {self.name}"
        texts(who, self, "name", "title", "obtain")
        version(who, self.version)
        for name in self.classes:
            cell(f"{who}: the name of a class", str(name))
        for name in ("channels", "size"):
            if not count(getattr(self, name)) or not getattr(self, name):
                raise BadInput(f"{who}: {name} must be a whole number, 1 or more.")
        for name, zero, ends in (("mean", True, "from 0 to 1"), ("std", False, "above 0, up to 1")):
            found = getattr(self, name)
            if not isinstance(found, tuple) or len(found) != self.channels:
                wanted = f"{self.channels} number{'s' if self.channels > 1 else ''}, one for each channel"
                raise BadInput(f"{who}: {name} must be a tuple of {wanted}, not {found!r}.")
            if not all(finite(v) and 0.0 <= v <= 1.0 and (zero or v > 0.0) for v in found):
                raise BadInput(f"{who}: {name} must be {ends}, as of pixels from 0 to 1, not {found!r}.")
            object.__setattr__(self, name, tuple(plain(v) for v in found))


class Annotated(NamedTuple):
    """Images whose pixels are labelled with concepts.

    ``pixels`` is uint8 ``[images, channels, H, W]``; ``layers`` int16 ``[images, layers, h, w]``, in each of
    which a pixel has one concept at most: 0 for none, k for the k-th of ``names``; ``categories`` are those
    of the names (colour, texture, shape, part ...).
    """

    pixels: NDArray[np.uint8]
    layers: NDArray[np.int16]
    names: tuple[str, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True)
class Bank:
    """A bank of concepts: images with pixels labelled by name and category.

    ``load(source, backdrop, count, size, channels)`` gives ``count`` images (fewer where there are not so
    many; 0: all) of ``size`` pixels. ``locate(folders)`` finds its files or returns None; a bank without it
    is made on ``backdrop``, test images of the data set that the networks know.
    """

    name: str
    version: int
    title: str
    source: str
    licence: str
    load: Callable[[Source | None, Images, int, int, int], Annotated]
    locate: Callable[[tuple[Path, ...]], Source | None] | None = None
    obtain: str = ""

    def __post_init__(self) -> None:
        """Raise BadInput for a text or a version that is none."""
        texts("bank", self, "name")
        texts(f"bank {self.name}", self, "title", "source", "licence", "obtain")
        version(f"bank {self.name}", self.version)
