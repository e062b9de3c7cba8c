"""What kinds share: convolution, Gaussians, smearing along a line, zooming. Also grey levels."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

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


def blurred(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """A Gaussian cut off at four widths, edges repeated: as ``skimage.filters.gaussian`` does."""
    taps = gaussian_kernel(sigma, math.floor(4.0 * sigma + 0.5))
    return convolve(convolve(images, taps[:, None], "replicate"), taps[None, :], "replicate")


@lru_cache(maxsize=32)
def smoothing(size: int, sigma: float) -> torch.Tensor:
    """The matrix of a Gaussian along one side, cut off at three widths, edges mirrored with the edge pixel.

    A matrix, since the widest are several times the side.
    """
    import torch

    matrix = torch.zeros(size, size, dtype=torch.float64)
    radius = math.floor(3.0 * sigma + 0.5)
    taps = gaussian_kernel(sigma, radius) if radius else torch.ones(1, dtype=torch.float64)
    place = torch.arange(size)
    for offset, tap in zip(range(-radius, radius + 1), taps, strict=True):
        source = (place + offset) % (2 * size)
        source = torch.minimum(source, 2 * size - 1 - source)
        matrix[place, source] += tap
    return matrix


def smeared(images: torch.Tensor, radius: float, sigma: float, degrees: torch.Tensor) -> torch.Tensor:
    """Blur along a line, an angle for each image: ImageMagick's ``MotionBlurImage``, in whole grey levels.

    Half a Gaussian of ``2 * ceil(radius) + 1`` taps; tap i looks at the pixel nearest to i steps along the
    line, at the nearest pixel of the image beyond its edges. ImageMagick rounds to 16 bits, and takes the
    grey level below that: 257 of the 65,536 values each.
    """
    import torch

    n, channels, height, width = images.shape
    i = torch.arange(2 * math.ceil(radius) + 1, dtype=torch.float64)
    taps = torch.exp(-0.5 * (i / sigma) ** 2)
    taps = (taps / taps.sum())[taps > 1e-7]
    angles = torch.deg2rad(degrees.double())[:, None]
    steps = i[: len(taps)]
    down = torch.ceil(steps * angles.sin() - 0.5).long().to(images.device)
    right = torch.ceil(steps * angles.cos() - 0.5).long().to(images.device)
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    start = torch.arange(n, device=images.device)[:, None, None] * (height * width)
    pixels = images.permute(0, 2, 3, 1).reshape(-1, channels)
    total = torch.zeros_like(pixels)
    for tap in range(len(taps)):
        y = (rows + down[:, tap, None]).clamp(0, height - 1)[:, :, None] * width
        x = (columns + right[:, tap, None]).clamp(0, width - 1)[:, None, :]
        total.add_(pixels.index_select(0, (start + y + x).flatten()), alpha=float(taps[tap]))
    smeared = total.reshape(n, height, width, channels).permute(0, 3, 1, 2)
    return (smeared * 65535.0).round().div(257.0, rounding_mode="floor") / 255.0


def zoomed(images: torch.Tensor, factor: float) -> torch.Tensor:
    """The middle, magnified to the image's size: bilinear, the corner pixels of both grids on each other."""
    from torch.nn import functional as F

    size = images.shape[2]
    kept = math.ceil(size / factor)
    wide = round(kept * factor)
    top, trim = (size - kept) // 2, (wide - size) // 2
    middle = images[:, :, top : top + kept, top : top + kept]
    if wide != kept:
        middle = F.interpolate(middle, (wide, wide), mode="bilinear", align_corners=True)
    return middle[:, :, trim : trim + size, trim : trim + size]


def cut(images: torch.Tensor) -> torch.Tensor:
    """Whole grey levels 0..255 below the values, as a cast to bytes; what is whole stays whole."""
    return (images * 255.0 + 1e-3).floor().clamp(0.0, 255.0)


def grey(images: torch.Tensor) -> torch.Tensor:
    """Luma (ITU-R BT.601) of the images, one channel."""
    if images.shape[1] == 1:
        return images
    weights = images.new_tensor((0.299, 0.587, 0.114))
    return (images * weights[:, None, None]).sum(1, keepdim=True)
