"""Filling in removed pixels from their neighbours: the linear imputation of ROAD, for many images at once.

Each removed pixel is the weighted mean of its eight neighbours, 1/6 for those that share an edge and 1/12 for
those that share a corner, as far as they lie in the image (Rong et al. 2022, section 4). Over the removed
pixels these are linear equations, (D - W) x = W known, with W the weights of neighbours and D their sums: a
positive definite system for each image and channel. They are solved together by conjugate gradients, scaled
by D. W is [1 2 1]' [1 2 1] / 12 less its middle: for small images W x is two small matrix products, for
large ones sums of neighbours, and there the start is the solution for the image at half the size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.nn import functional as F

#: Values that are worked on together: some vectors of so many stay in the cache of a processor, or fill a
#: GPU.
VALUES = {"cpu": 288 * 32 * 32, "cuda": 64_000_000}
#: The residual, as a share of the right-hand side, at which a system is solved: pixels in [0, 1] are then off
#: by less than 0.001, a tenth of the noise that ROAD adds; by up to 0.014 where but a few pixels are left.
TOLERANCE = 1e-4
#: From this size on neighbours are summed and half the image is solved first; at 160 pixels that is 4 to 13
#: times as fast as matrix products from zeros, most where much is removed.
LARGE = 65


def imputed(
    images: torch.Tensor, order: torch.Tensor, count: int, tolerance: float = TOLERANCE
) -> torch.Tensor:
    """Images ``[N, C, H, W]`` with the first ``count`` pixels of an order removed and filled in, without
    noise.

    ``order`` is int64 ``[N, H * W]``, a permutation of the pixels of each image. Raises ValueError for
    another shape, or where no pixel would stay.
    """
    n, channels, height, width = images.shape
    if order.shape != (n, height * width):
        raise ValueError(f"order must be [{n}, {height * width}], not {list(order.shape)}")
    if not 0 <= count < height * width:
        raise ValueError(f"count must lie in 0 .. {height * width - 1}, not {count}")
    if count == 0:
        return images.clone()
    size = max(1, VALUES.get(images.device.type, VALUES["cpu"]) // (channels * height * width))
    pairs = zip(torch.split(images, size), torch.split(order[:, :count], size), strict=True)
    return torch.cat([_solved(part, removed, tolerance) for part, removed in pairs])


def _solved(images: torch.Tensor, removed: torch.Tensor, tolerance: float) -> torch.Tensor:
    """The same for as many images as are worked on together."""
    n, _, height, width = images.shape
    hole = torch.zeros(n, height * width, dtype=images.dtype, device=images.device)
    hole = hole.scatter_(1, removed, 1.0).reshape(n, 1, height, width).expand_as(images)
    hole, x = (t.reshape(-1, height, width).permute(1, 2, 0).contiguous() for t in (hole, images))
    return _filled(x * (1.0 - hole), hole, tolerance).permute(2, 0, 1).reshape(images.shape)


def _filled(known: torch.Tensor, hole: torch.Tensor, tolerance: float) -> torch.Tensor:
    """Pixels ``[H, W, systems]`` that are zero where ``hole`` is one, with the holes filled in."""
    height, width, _ = known.shape
    large = min(height, width) >= LARGE
    spread = _neighbours if large else _products(known)
    ones = torch.ones(height, width, 1, dtype=known.dtype, device=known.device)
    degree = spread(ones) - 1.0 / 3.0
    root = degree.rsqrt() * hole
    # With u = D^(1/2) x the matrix has ones in its diagonal, and vectors are zero wherever ``root`` is.

    def pushed(u: torch.Tensor) -> torch.Tensor:
        moved = u * root
        return spread(moved).sub_(moved, alpha=1.0 / 3.0).mul_(root).neg_().add_(u)

    residual = spread(known) * root
    if large:
        tolerance *= 32 / max(height, width)  # errors that vary slowly leave small residuals
    goal = residual.square().sum((0, 1)) * tolerance**2
    if large:
        solution = _from_half(known, hole, tolerance) * degree.sqrt() * hole
        residual -= pushed(solution)
    else:
        solution = torch.zeros_like(residual)
    direction = residual.clone()
    square = residual.square().sum((0, 1))
    for _ in range(20 * (height + width)):
        if bool((square <= goal).all()):
            break
        image = pushed(direction)
        step = square / (direction * image).sum((0, 1)).clamp_min(1e-30)
        solution.addcmul_(step.expand_as(solution), direction)
        residual.addcmul_(step.expand_as(residual), image, value=-1.0)
        before, square = square, residual.square().sum((0, 1))
        direction.mul_(square / before.clamp_min(1e-30)).add_(residual)
    return known + solution * root


def _from_half(known: torch.Tensor, hole: torch.Tensor, tolerance: float) -> torch.Tensor:
    """What the image at half its size is filled with, at full size; its pixels are means of known ones."""
    height, width, _ = known.shape
    kept = _pooled(1.0 - hole)
    half = _pooled(known) / kept.clamp_min(1e-9)
    filled = _filled(half, (kept == 0).to(known), tolerance).permute(2, 0, 1)[None]
    whole = F.interpolate(filled, size=(height, width), mode="bilinear", align_corners=False)
    return whole[0].permute(1, 2, 0).contiguous()


def _pooled(values: torch.Tensor) -> torch.Tensor:
    """Means over squares of 2 x 2 pixels of ``[H, W, systems]``."""
    return F.avg_pool2d(values.permute(2, 0, 1)[None], 2, ceil_mode=True)[0].permute(1, 2, 0).contiguous()


def _products(like: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    """W v, and a third of v with it, as matrix products."""
    height, width, _ = like.shape
    down, along = _band(height, like), _band(width, like) / 12.0
    return lambda v: along @ (down @ v.reshape(height, -1)).reshape(v.shape)


def _neighbours(v: torch.Tensor) -> torch.Tensor:
    """The same, as sums over rows and columns."""
    rows = v * 2.0
    rows[1:] += v[:-1]
    rows[:-1] += v[1:]
    both = rows * 2.0
    both[:, 1:] += rows[:, :-1]
    both[:, :-1] += rows[:, 1:]
    return both.mul_(1.0 / 12.0)


def _band(length: int, like: torch.Tensor) -> torch.Tensor:
    """The matrix with 2 in its diagonal and 1 beside it."""
    near = (torch.arange(length)[:, None] - torch.arange(length)).abs()
    return (2 - near).clamp_min(0).to(like)
