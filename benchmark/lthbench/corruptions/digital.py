"""Digital: contrast, elastic transform, pixelation, JPEG compression, saturation."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from lthbench.corruptions import LARGE, Corruption, strength, strengths
from lthbench.corruptions._filters import smoothing

if TYPE_CHECKING:
    import torch


def contrast(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Pull every value towards the mean of its channel over the image."""
    del generator
    c = strength(images.shape[2], severity, (0.75, 0.5, 0.4, 0.3, 0.15), (0.4, 0.3, 0.2, 0.1, 0.05))
    means = images.mean((2, 3), keepdim=True)
    return (images - means) * c + means


def elastic_transform(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Move three points at random and the image with them, then every pixel along a smooth random field.

    Lengths are shares of the side. Those of ImageNet-C are of 244 pixels, which its authors note was meant
    to be 224.
    """
    import torch

    size = images.shape[2]
    numbers = strengths(
        size,
        severity,
        ((0.0, 0.0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        tuple(
            (244 / LARGE * amplitude, 244 / LARGE * width, 244 / LARGE * jitter)
            for amplitude, width, jitter in (
                (2.0, 0.7, 0.1),
                (2.0, 0.08, 0.2),
                (0.05, 0.01, 0.02),
                (0.07, 0.01, 0.02),
                (0.12, 0.01, 0.02),
            )
        ),
    )
    amplitude, width, jitter = (size * c for c in numbers)
    n = len(images)
    moves = jitter * (2.0 * torch.rand((n, 3, 2), generator=generator, dtype=torch.float64) - 1.0)
    fields = 2.0 * torch.rand((n, 2, size, size), generator=generator) - 1.0
    matrix = smoothing(size, width).to(images)
    smooth = amplitude * (matrix @ fields.to(images) @ matrix.T)
    return displaced(skewed(images, moves), smooth)


def skewed(images: torch.Tensor, moves: torch.Tensor) -> torch.Tensor:
    """The affine map that moves three points around the middle by ``moves`` ``[N, 3, 2]`` (x, y), bilinear.

    Beyond its edges the image is mirrored without repeating the edge pixel.
    """
    import torch
    from torch.nn import functional as F

    n, _, size, _ = images.shape
    middle, arm = float(size // 2), float(size // 3)
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]], dtype=torch.float64)
    points = middle + arm * signs
    ones = torch.ones(n, 3, 1, dtype=torch.float64)
    back = torch.linalg.solve(torch.cat([points + moves, ones], 2), points.expand(n, 3, 2))
    place = torch.arange(size, dtype=torch.float64)
    at = torch.stack([place.expand(size, size), place[:, None].expand(size, size), torch.ones(size, size)], 2)
    source = at.reshape(1, -1, 3) @ back
    grid = (2.0 * source / (size - 1) - 1.0).reshape(n, size, size, 2).to(images)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=True)


def displaced(images: torch.Tensor, fields: torch.Tensor) -> torch.Tensor:
    """What lies ``fields`` ``[N, 2, H, W]`` (dx, dy) from each pixel, bilinear; edge pixels mirrored too."""
    import torch
    from torch.nn import functional as F

    size = images.shape[2]
    place = torch.arange(size, device=images.device)
    x, y = place + fields[:, 0], place[:, None] + fields[:, 1]
    grid = (2.0 * torch.stack([x, y], 3) + 1.0) / size - 1.0
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def pixelate(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Shrink to a share c of the size and back, with a box filter, in Pillow's whole numbers."""
    del generator
    size = images.shape[2]
    c = strength(size, severity, (0.95, 0.9, 0.85, 0.75, 0.65), (0.6, 0.5, 0.4, 0.3, 0.25))
    small = max(1, int(size * c))
    levels = (images * 255.0).round().double()
    for before, after in ((size, small), (small, size)):
        weights = _boxes(before, after).to(levels.device)
        # Pillow goes along rows, then along columns, and cuts down to bytes after each.
        levels = ((levels @ weights.T + 0.5).floor()).clamp_(0.0, 255.0)
        levels = ((weights @ levels + 0.5).floor()).clamp_(0.0, 255.0)
    return (levels / 255.0).to(images)


@lru_cache(maxsize=32)
def _boxes(before: int, after: int) -> torch.Tensor:
    """The weights of Pillow's box filter from ``before`` pixels to ``after``: whole multiples of 2**-22.

    So that products with bytes, and their sums, are exact in float64.
    """
    import torch

    weights = torch.zeros(after, before, dtype=torch.float64)
    scale = before / after
    wide = max(scale, 1.0)
    for i in range(after):
        centre = (i + 0.5) * scale
        first, last = max(int(centre - 0.5 * wide + 0.5), 0), min(int(centre + 0.5 * wide + 0.5), before)
        inside = [-0.5 < (j - centre + 0.5) / wide <= 0.5 for j in range(first, last)]
        share = round(2**22 / sum(inside))
        for j, held in enumerate(inside, first):
            weights[i, j] = share / 2**22 if held else 0.0
    return weights


def jpeg_compression(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Encode as JPEG at quality c and decode, with Pillow (libjpeg-turbo), chroma halved as by default."""
    import io

    import numpy as np
    import torch
    from PIL import Image

    del generator
    c = round(strength(images.shape[2], severity, (80, 65, 58, 50, 40), (25, 18, 15, 10, 7)))
    pixels = (images * 255.0).round().to(torch.uint8).cpu().permute(0, 2, 3, 1).numpy()

    def through(picture: np.ndarray) -> np.ndarray:
        encoded = io.BytesIO()
        Image.fromarray(picture.squeeze(-1) if picture.shape[-1] == 1 else picture).save(
            encoded, "JPEG", quality=c
        )
        return np.asarray(Image.open(encoded)).reshape(picture.shape)

    done = np.stack([through(p) for p in pixels]).transpose(0, 3, 1, 2)
    return torch.from_numpy(np.ascontiguousarray(done)).to(images).div_(255.0)


def saturate(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Multiply the saturation of hue-saturation-value by c and add d, at most to 1.

    Grey has the hue of red, so it turns red where d is added, as published. One channel has no saturation
    and stays as it is.
    """
    import torch

    del generator
    c, d = strengths(
        images.shape[2],
        severity,
        ((0.3, 0.0), (0.1, 0.0), (1.5, 0.0), (2.0, 0.1), (2.5, 0.2)),
        ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
    )
    if images.shape[1] == 1:
        return images.clone()
    value, least = images.amax(1, keepdim=True), images.amin(1, keepdim=True)
    saturation = (value - least) / value.clamp(min=1e-12)
    wanted = (saturation * c + d).clamp(0.0, 1.0)
    # A channel lies below the value by its share of the saturation, whatever the hue.
    shares = (value - images) / (value - least).clamp(min=1e-12)
    red = images.new_tensor((0.0, 1.0, 1.0))[:, None, None]
    return value * (1.0 - wanted * torch.where(saturation > 0, shares, red))


CORRUPTIONS = (
    Corruption("contrast", 1, "digital", contrast),
    Corruption("elastic_transform", 1, "digital", elastic_transform),
    Corruption("pixelate", 1, "digital", pixelate),
    Corruption("jpeg_compression", 1, "digital", jpeg_compression),
    Corruption("saturate", 1, "digital", saturate),
)
