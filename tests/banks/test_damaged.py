"""Banks that are large, and banks whose files are damaged."""

import tracemalloc

import numpy as np
from PIL import Image

from lthbench.banks._pixels import LABELS, gathered


def test_masks_take_two_bytes_a_pixel_while_they_are_gathered():
    """Also where a bank reads them as int64: eight bytes a pixel would not fit for all of Broden."""
    image, masks = Image.new("RGB", (LABELS, LABELS)), [np.full((LABELS, LABELS), 3)] * 4
    tracemalloc.start()
    try:
        made = gathered(50, lambda k: (image, masks), list("abc"), ["object"] * 3, 50, LABELS, 3, "a bank")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert made.layers.dtype == np.int16
    assert made.layers.shape == (50, 4, LABELS, LABELS)
    assert (made.layers == 3).all()
    assert peak < 2.5 * made.layers.nbytes + 3 * made.pixels.nbytes
