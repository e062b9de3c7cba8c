"""What banks of images with pixel labels share: choosing, resizing, and masks of whole numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lthbench.compute.memory import beyond
from lthbench.errors import BadInput
from lthbench.kinds import Annotated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image


#: The size of labels, as in Broden: finer ones fill memory and are not looked at.
LABELS = 112


def gathered(
    total: int,
    read: Callable[[int], tuple[Image, Sequence[NDArray[np.integer]]]],
    names: Sequence[str],
    categories: Sequence[str],
    count: int,
    size: int,
    channels: int,
    where: str,
    labels: int = LABELS,
) -> Annotated:
    """``count`` of ``total`` images in a fixed random order (0: all), as squares of ``size`` pixels.

    Their labels are squares of ``labels`` pixels, or ``size`` if that is less.

    ``read(k)`` gives image k and its layers of labels ``[H, W]``: 0 for none, else the place of a name
    counted from 1. The largest square in the middle is taken; labels keep their nearest pixel. Raises
    BadInput for masks that do not fit their image, where there are no names or images at all, and for more
    images than fit into memory.
    """
    import numpy as np
    from PIL import Image

    from lthbench.data.loading import order

    if not total or not names:
        raise BadInput(f"{where}: holds no {'images' if names else 'concepts'}.")
    chosen = order(total, "concepts")[: count or total]
    fine = min(size, labels)
    for place, k in enumerate(chosen):
        image, masks = read(int(k))
        if place == 0:
            if more := beyond(len(chosen) * (channels * size**2 + 2 * len(masks) * fine**2)):
                raise BadInput(
                    f"{where}: {len(chosen):,} images with their labels take {more}. Set concept_images of "
                    "the budget to a number of images that fits."
                )
            pixels = np.empty((len(chosen), channels, size, size), dtype=np.uint8)
            layers = np.empty((len(chosen), len(masks), fine, fine), dtype=np.int16)
        for mask in masks:
            if mask.shape != image.size[::-1]:
                raise BadInput(
                    f"{where}: image {k} has {image.size[1]} x {image.size[0]} pixels, its mask "
                    f"{' x '.join(map(str, mask.shape))}."
                )
            if mask.min() < 0 or mask.max() > len(names):
                raise BadInput(f"{where}: the mask of image {k} has label {mask.max()} of {len(names)}.")
        side = min(image.size)
        left, top = (image.size[0] - side) // 2, (image.size[1] - side) // 2
        square = image.convert("RGB" if channels == 3 else "L").crop((left, top, left + side, top + side))
        small = np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))
        pixels[place] = small.reshape(size, size, channels).transpose(2, 0, 1)
        near = (np.arange(fine) * 2 + 1) * side // (2 * fine)
        for layer, mask in zip(layers[place], masks, strict=True):
            layer[:] = mask[np.ix_(top + near, left + near)]
    return Annotated(pixels, layers, tuple(names), tuple(categories))
