"""Blur: defocus, Gaussian."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lthbench.corruptions import Corruption

if TYPE_CHECKING:
    import torch


def convolve(images: torch.Tensor, kernel: torch.Tensor, border: str) -> torch.Tensor:
    """Correlate every channel with one kernel, edges continued as ``border`` (reflect, replicate).

    A border wider than the image is applied in steps, since one step can reflect at most size - 1 pixels.
    """
    from torch.nn import functional as F

    up, left = kernel.shape[0] // 2, kernel.shape[1] // 2
    while up or left:
        a = min(up, images.shape[2] - 1)
        b = min(left, images.shape[3] - 1)
        images = F.pad(images, (b, b, a, a), mode=border)
        up, left = up - a, left - b
    channels = images.shape[1]
    weight = kernel.to(images)[None, None].expand(channels, 1, *kernel.shape)
    return F.conv2d(images, weight, groups=channels)


def gaussian_kernel(sigma: float, radius: int) -> torch.Tensor:
    """A normalised one-dimensional Gaussian of 2 * radius + 1 taps, float64."""
    import torch

    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    taps = torch.exp(-0.5 * (x / sigma) ** 2)
    return taps / taps.sum()


def disk(radius: float, softness: float) -> torch.Tensor:
    """A disk of this radius on a 17 x 17 grid, smoothed by a 3 x 3 Gaussian of width ``softness``."""
    import torch
    from torch.nn import functional as F

    x = torch.arange(-8, 9, dtype=torch.float64)
    shape = ((x[:, None] ** 2 + x[None, :] ** 2) <= radius**2).double()
    shape /= shape.sum()
    taps = gaussian_kernel(softness, 1)
    kernel = taps[:, None] * taps[None, :]
    wide = F.pad(shape[None, None], (1, 1, 1, 1), mode="reflect")
    return F.conv2d(wide, kernel[None, None])[0, 0]


def defocus_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Blur with a soft-edged disk, edges mirrored without repeating the edge pixel."""
    del generator
    radius, softness = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))[severity - 1]
    kernel = disk(radius, softness)
    held = kernel.abs().sum(0).nonzero().flatten()
    return convolve(images, kernel[held[0] : held[-1] + 1, held[0] : held[-1] + 1], "reflect")


def gaussian_blur(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Blur with a Gaussian cut off at four widths, edges repeated."""
    del generator
    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    taps = gaussian_kernel(sigma, math.floor(4.0 * sigma + 0.5))
    return convolve(convolve(images, taps[:, None], "replicate"), taps[None, :], "replicate")


CORRUPTIONS = (
    Corruption("defocus_blur", 1, "blur", defocus_blur),
    Corruption("gaussian_blur", 1, "blur", gaussian_blur),
)
