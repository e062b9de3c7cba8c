"""Images too many to sit in memory: decoded from their files when they are looked at.

Decoding runs in threads (Pillow lets go of the interpreter lock while it works), and only the images asked
for are ever in memory. Whatever changes the pixels must raise the version of the data sets that use it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from lthbench.compute.device import cores
from lthbench.data.decoding import draft, failure, reading, rgb, size_of, suspect
from lthbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

T = TypeVar("T")

#: A JPEG may be decoded at 1/2, 1/4 or 1/8 as long as this many times the pixels needed are left a side.
SPARE = 2
#: Tries for a crop that fits, and the aspects it may have: torchvision's RandomResizedCrop.
TRIES = 10
ASPECTS = (3 / 4, 4 / 3)
#: Random numbers behind one crop: area and aspect of each try, and the place.
DRAWS = 2 * TRIES + 2

Box = tuple[int, int, int, int]


class Stream:
    """Image files as a lazy uint8 array ``[images, 3, size, size]``.

    Indexing with a slice or an array of whole numbers decodes those images as they are evaluated: the
    shorter side to ``size * 256 / 224`` pixels, then the middle ``size`` x ``size``. Raises BadInput that
    names a file that cannot be decoded. ``plain``: see ``decoding``.
    """

    def __init__(self, files: Sequence[Path] | NDArray[np.object_], size: int, *, plain: bool = False):
        self.files: NDArray[np.object_] = np.asarray(files, dtype=object)
        self.size = size
        self.plain = plain
        self.dtype = np.dtype(np.uint8)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As of an array."""
        return (len(self.files), 3, self.size, self.size)

    @property
    def nbytes(self) -> int:
        """What all images would take if they were in memory."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        files, plain = self.files[chosen], self.plain
        return self._decoded(
            len(files), lambda i: read(files[i], lambda image: centre(image, self.size, plain=plain))
        )

    def view(self, chosen: NDArray[np.int64]) -> Stream:
        """Some of the images, still not decoded."""
        return Stream(self.files[chosen], self.size, plain=self.plain)

    def crops(
        self,
        chosen: NDArray[np.int64],
        draws: NDArray[np.float64],
        share: float,
        flips: NDArray[np.bool_],
    ) -> NDArray[np.uint8]:
        """Random crops, ``[len(chosen), 3, size, size]``, cut out of the whole image and scaled to ``size``.

        ``draws`` are ``[len(chosen), DRAWS]`` in [0, 1), read by ``crop_box``; ``flips`` mirrors.
        """
        files, plain = self.files[chosen], self.plain

        def crop(image: Image.Image, i: int) -> NDArray[np.uint8]:
            return cropped(image, self.size, draws[i], share, bool(flips[i]), plain=plain)

        return self._decoded(len(files), lambda i: read(files[i], lambda image: crop(image, i)))

    def check(self, chosen: NDArray[np.int64]) -> None:
        """Whether every file is there and not empty, and those chosen can be decoded. Raises BadInput.

        Of files that are no JPEGs, which alone may be unfit, the headers are read, unless all are ``plain``.
        """
        for path in self.files:
            try:
                size = path.stat().st_size
            except OSError as error:
                raise BadInput(f"{path}: cannot be read: {error}") from error
            if size == 0:
                raise BadInput(f"{path}: is empty.")
        for start in range(0, len(chosen), 256):
            self[chosen[start : start + 256]]
        for found in self._each(_header) if not self.plain else ():
            if found:
                raise found

    def faults(self, told: Callable[[int, int], None]) -> list[BadInput]:
        """What is wrong with each file that cannot be decoded. ``told`` hears how many were, and of how many.

        A JPEG is decoded at an eighth of its size, for which all of its bytes are read.
        """

        def small(image: Image.Image) -> NDArray[np.uint8]:
            draft(image, 1, 1, plain=self.plain)
            return np.asarray(rgb(image, plain=self.plain))

        faults = []
        for done, found in enumerate(self._each(lambda path: read(path, small)), 1):
            faults += [found] if found else []
            told(done, len(self))
        return faults

    def _each(self, look: Callable[[Path], object]) -> Iterator[BadInput | None]:
        """What is wrong with each file, in order, where ``look`` raises it."""

        def one(path: Path) -> BadInput | None:
            try:
                look(path)
            except BadInput as error:
                return error
            except OSError as error:
                return failure(path, error)
            return None

        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(self), 1024):
                yield from pool.map(one, self.files[start : start + 1024])

    def _decoded(self, count: int, one: Callable[[int], NDArray[np.uint8]]) -> NDArray[np.uint8]:
        pixels = np.empty((count, 3, self.size, self.size), dtype=np.uint8)
        with ThreadPoolExecutor(max(1, min(count, cores()))) as pool:
            for i, image in enumerate(pool.map(one, range(count))):
                pixels[i] = image.transpose(2, 0, 1)
        return pixels


def read(path: Path, make: Callable[[Image.Image], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """What ``make`` gets out of an image file. Raises BadInput, naming the file, if it cannot be decoded."""
    with reading(path) as image:
        return make(image)


def _header(path: Path) -> None:
    """Raise BadInput for a file that is no JPEG and unfit. Of most only the header is read."""

    def look(image: Image.Image) -> NDArray[np.uint8]:
        return np.asarray(rgb(image)) if suspect(image) else np.empty(0, np.uint8)

    with path.open("rb") as file:
        jpeg = file.read(2) == b"\xff\xd8"
    if not jpeg:
        read(path, look)


def centre(image: Image.Image, size: int, *, plain: bool = False) -> NDArray[np.uint8]:
    """The image as it is evaluated, ``[size, size, 3]``: torchvision's Resize, then CenterCrop."""
    from PIL import Image

    short = round(size * 256 / 224)
    width, height = size_of(image, plain=plain)
    wide = short if width <= height else int(short * width / height)
    high = int(short * height / width) if width <= height else short
    draft(image, SPARE * wide, SPARE * high, plain=plain)
    scaled = rgb(image, plain=plain).resize((wide, high), Image.Resampling.BILINEAR)
    left, top = round((wide - size) / 2), round((high - size) / 2)
    return np.asarray(scaled.crop((left, top, left + size, top + size)))


def cropped(
    image: Image.Image,
    size: int,
    draws: NDArray[np.float64],
    share: float,
    flip: bool,
    *,
    plain: bool = False,
) -> NDArray[np.uint8]:
    """A random crop of the image, ``[size, size, 3]``."""
    from PIL import Image

    width, height = size_of(image, plain=plain)
    left, top, wide, high = crop_box(width, height, draws, share)
    draft(image, _needed(width, size, wide), _needed(height, size, high), plain=plain)
    whole = rgb(image, plain=plain)
    x, y = whole.size[0] / width, whole.size[1] / height
    box = (round(left * x), round(top * y), round((left + wide) * x), round((top + high) * y))
    part = whole.crop(box).resize((size, size), Image.Resampling.BILINEAR)
    pixels: NDArray[np.uint8] = np.asarray(part)
    return pixels[:, ::-1] if flip else pixels


def crop_box(width: int, height: int, draws: NDArray[np.float64], share: float) -> Box:
    """Left, top, width and height of a crop: an area of at least ``share`` of the image's, aspect 3/4 to 4/3.

    Ten tries of area (uniform) and aspect (log-uniform), then the place (uniform) of the first that fits; if
    none does, the middle of the image, as large as the aspects allow. As torchvision's RandomResizedCrop.
    """
    low, high = (math.log(a) for a in ASPECTS)
    for one, other in draws[: 2 * TRIES].reshape(TRIES, 2).tolist():
        area = width * height * (share + (1.0 - share) * one)
        aspect = math.exp(low + (high - low) * other)
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            x, y = draws[2 * TRIES :].tolist()
            return int(x * (width - w + 1)), int(y * (height - h + 1)), w, h
    aspect = min(max(width / height, ASPECTS[0]), ASPECTS[1])
    w, h = (width, round(width / aspect)) if width / height < aspect else (round(height * aspect), height)
    return (width - w) // 2, (height - h) // 2, w, h


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; while one is used, the next is made in a thread. Two are in memory at most."""
    with ThreadPoolExecutor(1) as pool:
        end = object()
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]


def _needed(length: int, size: int, part: int) -> int:
    return math.ceil(SPARE * size * length / part)
