"""How alike two images look, without any trained network: colours and the directions of edges.

DreamSim and LPIPS need weights that must be fetched, and features of the networks that are compared would
favour the network that they come from. This stands in for them under its own name: a histogram of CIELAB
colours and histograms of oriented gradients, each of length 1; the similarity is the cosine.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

#: Bins of each CIELAB axis, and their ends.
COLOURS = 5
ENDS = ((0.0, 100.0), (-80.0, 80.0), (-80.0, 80.0))


def embedded(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Images ``[N, C, H, W]`` as vectors of length 1, ``[N, features]``: their products are similarities."""
    return _embedded(np.ascontiguousarray(pixels).tobytes(), pixels.shape)


@lru_cache(maxsize=4)
def _embedded(content: bytes, shape: tuple[int, ...]) -> NDArray[np.float32]:
    from skimage.color import rgb2lab
    from skimage.feature import hog

    pixels = np.frombuffer(content, dtype=np.uint8).reshape(shape)
    n, _, height, width = shape
    rgb = np.moveaxis(np.broadcast_to(pixels, (n, 3, height, width)), 1, -1)
    found = []
    cell = (max(2, height // 4), max(2, width // 4))
    lows_and_highs = np.array(ENDS).T
    for image in rgb:
        lab = rgb2lab(np.ascontiguousarray(image)).reshape(-1, 3).clip(*lows_and_highs)
        colours, _ = np.histogramdd(lab, bins=COLOURS, range=ENDS)
        edges = hog(
            image.mean(2), orientations=8, pixels_per_cell=cell, cells_per_block=(1, 1), feature_vector=True
        )
        parts = [np.sqrt(colours.ravel() / max(colours.sum(), 1.0)), edges]
        found.append(np.concatenate([part / max(float(np.linalg.norm(part)), 1e-12) for part in parts]))
    vectors = np.stack(found).astype(np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    result: NDArray[np.float32] = vectors / np.maximum(lengths, 1e-12)
    return result
