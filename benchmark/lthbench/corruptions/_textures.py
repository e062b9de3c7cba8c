"""Random textures: plasma for fog, crystals for frost."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Mean and deviation between crops, by channel, and deviation within a crop, of the photographs of frost in
#: hendrycks/robustness: measured on 1,000 crops as CIFAR-10-C cuts them; those of ImageNet-C are the same to
#: a hundredth.
FROST_MEAN, FROST_BETWEEN, FROST_WITHIN = (0.56, 0.65, 0.69), (0.20, 0.14, 0.13), 0.09


def plasma(draws: torch.Tensor, decay: float) -> torch.Tensor:
    """Height maps in [0, 1] by the diamond-square algorithm, ``[N, S, S]``, S a power of two, edges joined.

    ``draws`` are in [-1, 1], one for each point but the first, which is 0. A point is the mean of its four
    neighbours at the step's distance plus ``wobble**2`` times its draw; ``wobble`` starts at 100 and is
    divided by ``decay`` as the step is halved.
    """
    import torch

    size = draws.shape[1]
    heights = torch.zeros_like(draws)
    step, wobble = size, 100.0
    while step >= 2:
        half = step // 2
        corners = slice(0, size, step)
        middles = slice(half, size, step)
        amplitude = wobble * wobble
        whole = heights[:, corners, corners]
        whole = whole + whole.roll(-1, 1)
        whole = whole + whole.roll(-1, 2)
        heights[:, middles, middles] = whole / 4 + amplitude * draws[:, middles, middles]
        below, above = heights[:, middles, middles], heights[:, corners, corners]
        total = below + below.roll(1, 1) + above + above.roll(-1, 2)
        heights[:, corners, middles] = total / 4 + amplitude * draws[:, corners, middles]
        total = below + below.roll(1, 2) + above + above.roll(-1, 1)
        heights[:, middles, corners] = total / 4 + amplitude * draws[:, middles, corners]
        step, wobble = half, wobble / decay
    low, high = heights.amin((1, 2), keepdim=True), heights.amax((1, 2), keepdim=True)
    return (heights - low) / (high - low)


def crystals(count: int, size: int, generator: torch.Generator) -> torch.Tensor:
    """Frost on glass, ``[count, 3, size, size]`` in [0, 1]: sharp ridges on ridges, bluish white.

    Each octave is noise that is smooth between the points of a grid, stretched along one side or the other
    in turn, and folded at zero so that it has ridges there; a finer octave shows on the ridges of the one
    before it (after the ridged multifractal of Musgrave, in Ebert et al. 1994, Texturing and Modeling).
    """
    import torch
    from torch.nn import functional as F

    total = torch.zeros(count, 1, size, size)
    before = torch.ones(())
    cells, upright = 3, True
    while cells < size:
        long, short = cells + 1, cells // 3 + 2
        grid = (long, short) if upright else (short, long)
        field = torch.randn((count, 1, *grid), generator=generator)
        field = F.interpolate(field, (size, size), mode="bicubic", align_corners=True)
        ridge = (1.0 - field.abs()).clamp(min=0.0).square() * before
        total += ridge
        before = (2.0 * ridge).clamp(min=0.4, max=1.0)
        cells, upright = 2 * cells, not upright
    level = torch.randn((count, 1, 1, 1), generator=generator)
    mean, between = torch.tensor(FROST_MEAN)[:, None, None], torch.tensor(FROST_BETWEEN)[:, None, None]
    middle, spread = total.mean((2, 3), keepdim=True), total.std((2, 3), keepdim=True)
    standard = (total - middle) / spread.clamp(min=1e-6)
    return (mean + between * level + FROST_WITHIN * standard).clamp(0.0, 1.0)
