"""What the tests of corruptions share: photographs, how kinds are applied, and the published strengths."""

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from lthbench import corruptions
from lthbench.compute.rng import generator

#: By image size, the strengths in ``make_cifar_c.py`` and in ``imagenet_c/corruptions.py`` of Hendrycks &
#: Dietterich 2019, copied by hand.
PUBLISHED = {
    32: {
        "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
        "shot_noise": (500, 250, 100, 75, 50),
        "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
        "speckle_noise": (0.06, 0.10, 0.12, 0.16, 0.20),
        "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
        "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),
        "snow": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        "frost_procedural": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
        "spatter": (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
        "elastic_transform": (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
        "jpeg_compression": (80, 65, 58, 50, 40),
        "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
    },
    224: {
        "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
        "shot_noise": (60, 25, 12, 5, 3),
        "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
        "speckle_noise": (0.15, 0.2, 0.35, 0.45, 0.6),
        "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
        "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
        "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
        "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
        "gaussian_blur": (1, 2, 3, 4, 6),
        "snow": (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
        "frost_procedural": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
        "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
        "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
        "spatter": (
            (0.65, 0.3, 4, 0.69, 0.6, 0),
            (0.65, 0.3, 3, 0.68, 0.6, 0),
            (0.65, 0.3, 2, 0.68, 0.5, 0),
            (0.65, 0.3, 1, 0.65, 1.5, 1),
            (0.67, 0.4, 1, 0.65, 1.5, 1),
        ),
        "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
        "elastic_transform": (
            (488 / 224, 170.8 / 224, 24.4 / 224),
            (488 / 224, 19.52 / 224, 48.8 / 224),
            (12.2 / 224, 2.44 / 224, 4.88 / 224),
            (17.08 / 224, 2.44 / 224, 4.88 / 224),
            (29.28 / 224, 2.44 / 224, 4.88 / 224),
        ),
        "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
        "jpeg_compression": (25, 18, 15, 10, 7),
        "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    },
}


@pytest.fixture(scope="session")
def published():
    """The strength that is published for a kind, by image size and severity."""
    return lambda kind, size, severity: PUBLISHED[size][kind][severity - 1]


@pytest.fixture(scope="session")
def photographs():
    """Scikit-learn's two photographs, their middle at the size asked for: uint8 ``[2, size, size, 3]``."""

    def scaled(size):
        squares = [Image.fromarray(p).crop((106, 0, 533, 427)) for p in load_sample_images().images]
        return np.stack([np.asarray(s.resize((size, size), Image.Resampling.BOX)) for s in squares])

    return scaled


@pytest.fixture(scope="session")
def as_batch():
    """Pictures ``[N, H, W, C]``, bytes or values in [0, 1], as float32 ``[N, C, H, W]`` in [0, 1]."""

    def batch(pictures):
        pictures = np.asarray(pictures)
        scale = 255.0 if pictures.dtype == np.uint8 else 1.0
        return torch.from_numpy(np.moveaxis(pictures, -1, 1).astype(np.float32) / scale)

    return batch


@pytest.fixture(scope="session")
def as_pictures():
    """A batch ``[N, C, H, W]`` as float64 ``[N, H, W, C]``."""
    return lambda batch: np.moveaxis(batch.numpy().astype(np.float64), 1, -1)


@pytest.fixture(scope="session")
def apply(as_pictures):
    """Images of a batch under a kind, as float64 ``[N, H, W, C]``."""

    def corrupted(kind, batch, severity, seed=0):
        return as_pictures(corruptions.get(kind).apply(batch.clone(), severity, generator(seed)))

    return corrupted
