"""Image files of which the middle is shown as it is, for images that were cut to size when they were made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lthbench.data.decoding import rgb
from lthbench.data.streaming import Stream, read

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image


class Squares(Stream):
    """A stream whose images are not resized: only the middle ``size`` x ``size`` is cut out of them."""

    def __getitem__(self, chosen: slice | NDArray[np.int64]) -> NDArray[np.uint8]:
        files = self.files[chosen]
        return self._decoded(len(files), lambda i: read(files[i], lambda image: middle(image, self.size)))

    def view(self, chosen: NDArray[np.int64]) -> Squares:
        """Some of the images, still not decoded."""
        return Squares(self.files[chosen], self.size)


def middle(image: Image.Image, size: int) -> NDArray[np.uint8]:
    """The middle ``size`` x ``size`` of an image, ``[size, size, 3]``. ValueError if it is smaller."""
    image = rgb(image)
    width, height = image.size
    if min(width, height) < size:
        raise ValueError(f"should be at least {size} x {size} pixels, is {width} x {height}")
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(image.crop((left, top, left + size, top + size)))
