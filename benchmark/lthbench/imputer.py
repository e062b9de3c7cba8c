"""Filling in removed pixels from their neighbours: the linear imputation of ROAD, for many images at once.

Each removed pixel is the weighted mean of its eight neighbours, 1/6 for those that share an edge and 1/12 for
those that share a corner, as far as they lie in the image (Rong et al. 2022, section 4). Over the removed
pixels these are linear equations, (D - W) x = W known, with W the weights of neighbours and D their sums: a
positive definite system for each image and channel. They are solved together by conjugate gradients, scaled
by D. As W is [1 2 1]' [1 2 1] / 12 less its middle, W x is two small matrix products.
"""

from __future__ import annotations

import torch

#: Values that are worked on together: some vectors of so many stay in the cache of a processor, or fill a
#: GPU.
VALUES = {"cpu": 288 * 32 * 32, "cuda": 64_000_000}
#: The residual, as a share of the right-hand side, at which a system is solved: pixels in [0, 1] are then off
#: by less than 0.001, a tenth of the noise that ROAD adds.
TOLERANCE = 1e-4


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
    """The same for as many images as are worked on together; the last axis goes over images and channels."""
    n, _, height, width = images.shape
    hole = torch.zeros(n, height * width, dtype=images.dtype, device=images.device)
    hole = hole.scatter_(1, removed, 1.0).reshape(n, 1, height, width).expand_as(images)
    hole, x = (t.reshape(-1, height, width).permute(1, 2, 0).contiguous() for t in (hole, images))
    down, along = _band(height, images), _band(width, images) / 12.0

    def spread(v: torch.Tensor) -> torch.Tensor:
        """W v, and a third of v with it."""
        return along @ (down @ v.reshape(height, -1)).reshape(v.shape)

    ones = torch.ones(height, width, 1, dtype=images.dtype, device=images.device)
    degree = spread(ones) - 1.0 / 3.0
    root = degree.rsqrt() * hole
    known = x * (1.0 - hole)
    # With u = D^(1/2) x the matrix has ones in its diagonal, and vectors are zero wherever ``root`` is.
    residual = spread(known) * root
    solution, direction = torch.zeros_like(residual), residual.clone()
    square = residual.square().sum((0, 1))
    goal = square * tolerance**2
    for _ in range(20 * (height + width)):
        if bool((square <= goal).all()):
            break
        moved = direction * root
        pushed = spread(moved).sub_(moved, alpha=1.0 / 3.0).mul_(root).neg_().add_(direction)
        step = square / (direction * pushed).sum((0, 1)).clamp_min(1e-30)
        solution.addcmul_(step.expand_as(solution), direction)
        residual.addcmul_(step.expand_as(residual), pushed, value=-1.0)
        before, square = square, residual.square().sum((0, 1))
        direction.mul_(square / before.clamp_min(1e-30)).add_(residual)
    filled = known + solution * root
    return filled.permute(2, 0, 1).reshape(images.shape)


def _band(length: int, like: torch.Tensor) -> torch.Tensor:
    """The matrix with 2 in its diagonal and 1 beside it."""
    near = (torch.arange(length)[:, None] - torch.arange(length)).abs()
    return (2 - near).clamp_min(0).to(like)
