"""Drops of water as in the published spatter: OpenCV's edges, distances and levels, for a whole batch.

All take and return whole numbers 0..255 as float32 ``[N, 1, H, W]`` unless they say otherwise, and follow
OpenCV 4: Canny with a 3 x 3 Sobel and the L1 norm, the 5 x 5 chamfer distance, ``equalizeHist``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Distances are cut off here.
FURTHEST = 20
#: Steps of the 5 x 5 chamfer distance of Borgefors 1986, and their lengths.
_LENGTHS = {1.0: ((0, 1), (1, 0)), 1.4: ((1, 1), (1, -1)), 2.1969: ((1, 2), (2, 1), (1, -2), (2, -1))}
CHAMFER = tuple((step, length) for length, steps in _LENGTHS.items() for step in steps)


def drops(liquid: torch.Tensor) -> torch.Tensor:
    """How thick the water is, in [0, 1] with a largest value of 1: lit from one side, thin at the edge.

    ``liquid`` is the layer of liquid in whole levels. Where there is none at all, so is none here.
    """
    distance = _mean3(distances(canny(liquid))) + 1e-4
    relief = _correlate3(equalized(distance.floor()), ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))).clamp(0.0, 255.0)
    thick = liquid * _mean3(relief).round()
    return thick / thick.amax((2, 3), keepdim=True).clamp(min=1.0)


def canny(levels: torch.Tensor, low: float = 50.0, high: float = 150.0) -> torch.Tensor:
    """Edges (True): ridges of the gradient above ``low`` that hang together with one above ``high``."""
    import torch
    from torch.nn import functional as F

    wide = F.pad(levels, (1, 1, 1, 1), mode="replicate")
    down = wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]
    across = wide[:, :, :, :-2] + 2 * wide[:, :, :, 1:-1] + wide[:, :, :, 2:]
    dx, dy = down[:, :, :, 2:] - down[:, :, :, :-2], across[:, :, 2:] - across[:, :, :-2]
    size = dx.abs() + dy.abs()
    around = F.pad(size, (1, 1, 1, 1))

    def near(y: int, x: int) -> torch.Tensor:
        return around[:, :, 1 + y : 1 + y + size.shape[2], 1 + x : 1 + x + size.shape[3]]

    # Which way the gradient points, by the tangent of 22.5 degrees as OpenCV has it, in whole numbers.
    x, y = dx.abs().int(), dy.abs().int() << 15
    shallow = x * 13573
    flat, steep = y < shallow, y > shallow + (x << 16)
    along_x = (size > near(0, -1)) & (size >= near(0, 1))
    along_y = (size > near(-1, 0)) & (size >= near(1, 0))
    falling = (dx < 0) ^ (dy < 0)
    diagonal = torch.where(
        falling,
        (size > near(-1, 1)) & (size > near(1, -1)),
        (size > near(-1, -1)) & (size > near(1, 1)),
    )
    ridge = torch.where(flat, along_x, torch.where(steep, along_y, diagonal)) & (size > low)
    found = ridge & (size > high)
    while True:
        grown = (F.max_pool2d(found.float(), 3, 1, 1) > 0) & ridge
        if torch.equal(grown, found):
            return found
        found = grown


def distances(edges: torch.Tensor) -> torch.Tensor:
    """The chamfer distance of each pixel to the nearest edge, at most ``FURTHEST``."""
    import torch
    from torch.nn import functional as F

    steps = [((sign * y, sign * x), length) for (y, x), length in CHAMFER for sign in (1, -1)]
    height, width = edges.shape[2:]
    found = edges.logical_not().float() * FURTHEST
    while True:
        around = F.pad(found, (2, 2, 2, 2), value=float(FURTHEST))
        nearer = found
        for (y, x), length in steps:
            shifted = around[:, :, 2 + y : 2 + y + height, 2 + x : 2 + x + width]
            nearer = torch.minimum(nearer, shifted + length)
        if torch.equal(nearer, found):
            return found
        found = nearer


def equalized(levels: torch.Tensor) -> torch.Tensor:
    """Levels spread so that each is as far up as the share of pixels between it and the lowest."""
    import torch

    flat = levels.flatten(1).long()
    counts = torch.zeros(len(flat), 256, device=flat.device).scatter_add_(
        1, flat, torch.ones_like(flat, dtype=torch.float32)
    )
    lowest = flat.amin(1, keepdim=True)
    first = counts.gather(1, lowest)
    rest = flat.shape[1] - first
    table = ((counts.cumsum(1) - first) * (255.0 / rest.clamp(min=1.0))).round()
    table = torch.where(rest > 0, table, lowest)
    return table.gather(1, flat).reshape(levels.shape)


def _mean3(images: torch.Tensor) -> torch.Tensor:
    """The mean of 3 x 3, edges mirrored without repeating the edge pixel."""
    from torch.nn import functional as F

    return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="reflect"), 3, 1)


def _correlate3(images: torch.Tensor, kernel: tuple[tuple[int, ...], ...]) -> torch.Tensor:
    import torch

    from lthbench.corruptions._filters import convolve

    return convolve(images, torch.tensor(kernel, dtype=torch.float32), "reflect")
