"""Blur: defocus, glass, motion, zoom, Gaussian."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lthbench.corruptions import SMALL, Corruption, strength, strengths
from lthbench.corruptions._filters import blurred, convolve, cut, gaussian_kernel, smeared, zoomed

if TYPE_CHECKING:
    import torch


def disk(radius: float, softness: float) -> torch.Tensor:
    """A disk of this radius, smoothed by a Gaussian of width ``softness``.

    On a 17 x 17 grid with 3 x 3 taps, or 5 x 5 taps and as large a grid as it takes for radii above 8. As
    published, the grid's edge is mirrored, so a disk that touches it sums to a little over 1.
    """
    import torch
    from torch.nn import functional as F

    half, reach = (8, 1) if radius <= 8 else (math.ceil(radius), 2)
    x = torch.arange(-half, half + 1, dtype=torch.float64)
    shape = ((x[:, None] ** 2 + x[None, :] ** 2) <= radius**2).double()
    shape /= shape.sum()
    taps = gaussian_kernel(softness, reach)
    kernel = taps[:, None] * taps[None, :]
    wide = F.pad(shape[None, None], (reach,) * 4, mode="reflect")
    return F.conv2d(wide, kernel[None, None])[0, 0]


def defocus_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Blur with a soft-edged disk, edges mirrored without repeating the edge pixel."""
    del generator
    radius, softness = strengths(
        images.shape[2],
        severity,
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
        ((3.0, 0.1), (4.0, 0.5), (6.0, 0.5), (8.0, 0.5), (10.0, 0.5)),
    )
    kernel = disk(radius, softness)
    held = kernel.abs().sum(0).nonzero().flatten()
    return convolve(images, kernel[held[0] : held[-1] + 1, held[0] : held[-1] + 1], "reflect")


def glass_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """A Gaussian, pixels replaced by near ones, the Gaussian again."""
    import torch

    size = images.shape[2]
    sigma, reach, rounds = strengths(
        size,
        severity,
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.7, 1, 2), (0.9, 2, 1), (1.0, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    )
    far = round(reach)
    pixels = cut(blurred(images, sigma)) / 255.0
    for _ in range(round(rounds)):
        shape = (len(images), 2, max(0, size - 2 * far), max(0, size - 2 * far))
        moves = torch.randint(-far, far, shape, generator=generator)
        source = sources(moves, size, far).to(images.device).flatten(1)
        flat = pixels.flatten(2)
        pixels = flat.gather(2, source[:, None].expand(-1, flat.shape[1], -1)).reshape(images.shape)
    return blurred(pixels, sigma)


def sources(moves: torch.Tensor, size: int, far: int) -> torch.Tensor:
    """Which pixel each one shows, ``[N, size, size]``, after all have in turn copied a near one.

    From the lower right to the upper left, far from the edges, pixel (h, w) takes what is then at (h + dy,
    w + dx), where ``moves[:, 0, h - far - 1, w - far - 1]`` is dx and ``[:, 1]`` dy. The published code
    means to swap the two, but assigns through views of one array, and so copies. Copies of copies are
    followed by pointer doubling, not one by one.
    """
    import torch

    n, inner = len(moves), moves.shape[2]
    here = torch.arange(size * size).reshape(size, size)
    source = here.repeat(n, 1, 1)
    middle = slice(far + 1, far + 1 + inner)
    source[:, middle, middle] += moves[:, 1] * size + moves[:, 0]
    # A pixel taken from is a copy by then if its turn came before: if it lies further on, within the loop.
    copied = torch.zeros(size, size, dtype=torch.bool)
    copied[middle, middle] = True
    source = source.flatten(1)
    later = (source > here.flatten()) & copied.flatten()[source]
    while later.any():
        source, later = torch.where(later, source.gather(1, source), source), later & later.gather(1, source)
    return source.reshape(n, size, size)


def motion_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Smear along a line within 45 degrees of the horizontal."""
    import torch

    radius, sigma = strengths(
        images.shape[2],
        severity,
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    )
    draw = torch.rand(len(images), generator=generator, dtype=torch.float64)
    return smeared(images, radius, sigma, 90.0 * draw - 45.0)


def zoom_factors(size: int, severity: int) -> list[float]:
    """From 1 up, as NumPy's ``arange`` counts.

    Below 32 pixels what lies above 1 grows as the image shrinks, so that edges move as many pixels as at 32:
    else the zoom is less than a pixel, and nothing happens.
    """
    import numpy as np

    stop, step = strengths(
        size,
        severity,
        ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    )
    factors = np.arange(1.0, stop, step)
    return [float(f) for f in (1.0 + (factors - 1.0) * SMALL / size if size < SMALL else factors)]


def zoom_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """The mean of the image and of ever larger magnifications of its middle."""
    del generator
    factors = zoom_factors(images.shape[2], severity)
    total = images.clone()
    for factor in factors:
        total += zoomed(images, factor)
    return total / (len(factors) + 1)


def gaussian_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Blur with a Gaussian cut off at four widths, edges repeated."""
    del generator
    sigma = strength(images.shape[2], severity, (0.4, 0.6, 0.7, 0.8, 1.0), (1.0, 2.0, 3.0, 4.0, 6.0))
    return blurred(images, sigma)


CORRUPTIONS = (
    Corruption("defocus_blur", 1, "blur", defocus_blur),
    Corruption("glass_blur", 1, "blur", glass_blur),
    Corruption("motion_blur", 2, "blur", motion_blur),
    Corruption("zoom_blur", 1, "blur", zoom_blur),
    Corruption("gaussian_blur", 1, "blur", gaussian_blur),
)
