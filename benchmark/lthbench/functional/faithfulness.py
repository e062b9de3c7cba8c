"""Whether the pixels that a map ranks high matter to the network: what it says as they are taken away.

Every function takes images ``[N, C, H, W]`` in [0, 1] and, for each, an order of its pixels from the most to
the least relevant, and gives a curve for each image. Perturbations are the same for every network and map.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lthbench.compute.rng import generator
from lthbench.errors import StepFailed
from lthbench.functional.imputation import imputed
from lthbench.functional.saliency_maps import ranked, scaled
from lthbench.inference.batches import at_once
from lthbench.scoring import Floats

#: ROAD: the shares of pixels removed, after none; the noise on imputed pixels, and how often it is drawn.
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
NOISE = 0.01
DRAWS = 3
#: Values of images that are perturbed together; several copies of them are in memory.
VALUES = 16_000_000
#: Deletion and insertion: the number of steps; the blur that insertion starts from, in pixels.
STEPS = 20
BLUR_RADIUS, BLUR_SIGMA = 5, 5.0
#: Region perturbation: the number of regions at most, and the side of one.
REGIONS = 100
PATCH = 8


def in_parts(
    curve: Callable[..., Floats], model: nn.Module, images: torch.Tensor, labels: torch.Tensor, order: Any
) -> Floats:
    """A curve of many images, so many at a time that they and their copies stay within ``VALUES``: ``[.,
    N]``.
    """
    size = max(1, VALUES // images[0].numel())
    starts = range(0, len(images), size)
    parts = [curve(model, *(t[a : a + size] for t in (images, labels, order))) for a in starts]
    return np.concatenate(parts, axis=1)


def undefined(maps: NDArray[np.floating]) -> str:
    """How many images have no map, or one of zeros, in a sentence: these are ranked at random."""
    lack = int(np.isnan(scaled(maps)).any(1).sum())
    return f"{lack} of {len(maps)} images have a map of zeros or none: ranked at random" if lack else ""


def road(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, order: torch.Tensor) -> Floats:
    """The share of noise draws with which each image is right, ``[1 + shares, N]``: first with no pixel
    removed.

    Rong et al. 2022, A Consistent and Efficient Evaluation Strategy for Attribution Methods: the first pixels
    of the order are replaced by what their neighbours suggest, plus noise.
    """
    pixels = order.shape[1]
    draws = [_noise(images, draw) for draw in range(DRAWS)]
    curve = [_right(model, images, labels)]
    for share in SHARES:
        count = round(share * pixels)
        filled = imputed(images, order, count)
        removed = _mask(order, count, images)
        hits = [_right(model, filled + noise * removed, labels) for noise in draws]
        curve.append(np.mean(hits, axis=0))
    return np.stack(curve)


def area(curve: Floats) -> Floats:
    """The mean height of ROAD curves ``[1 + shares, N]`` over the share removed, by trapezoids: ``[N]``."""
    shares = np.array([0.0, *SHARES])
    result: Floats = np.trapezoid(curve, shares, axis=0) / shares[-1]
    return result


def mean_fall(curve: Floats) -> Floats:
    """AOPC: the mean, over all points of a curve ``[1 + L, N]``, of how far it has fallen from the first.

    Samek et al. 2017, Evaluating the Visualization of What a Deep Neural Network has Learned, eq. 12.
    """
    result: Floats = (curve[0] - curve).mean(0)
    return result


def deletion(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, order: torch.Tensor) -> Floats:
    """The probability of each label as pixels turn black in order, ``[1 + STEPS, N]``.

    Petsiuk et al. 2018, RISE, section 4.2; black is 0 in pixels, not the mean of the data.
    """
    return _swapped(model, images, torch.zeros_like(images), labels, order)


def insertion(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, order: torch.Tensor) -> Floats:
    """The same as pixels of the image appear on a blurred one, in order: ``[1 + STEPS, N]``."""
    return _swapped(model, blurred(images), images, labels, order)


def blurred(images: torch.Tensor) -> torch.Tensor:
    """What insertion starts from: a Gaussian blur over windows of 11 pixels, mirrored at the borders.

    The authors' code (Petsiuk et al. 2018) makes its kernel by blurring a point within 11 x 11 pixels, which
    is a little flatter, and takes the mean colour beyond the borders.
    """
    from scipy.ndimage import gaussian_filter

    soft = gaussian_filter(images.cpu().numpy(), BLUR_SIGMA, axes=(2, 3), radius=BLUR_RADIUS, mode="reflect")
    return torch.from_numpy(soft).to(images)


def under(curve: Floats) -> Floats:
    """The mean height of curves ``[1 + steps, N]`` by trapezoids: ``[N]``."""
    result: Floats = (curve.sum(0) - (curve[0] + curve[-1]) / 2.0) / (len(curve) - 1)
    return result


def regions(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, maps: NDArray[np.floating]
) -> Floats:
    """The probability of each label as squares turn black, most relevant first: ``[1 + regions, N]``.

    Samek et al. 2017, section III. Squares have a side of 8 pixels, or a quarter of the image if that is
    less.
    """
    n, _, height, width = images.shape
    side = max(1, min(PATCH, height // 4))
    rows, columns = -(-height // side), -(-width // side)
    padded = np.zeros((n, rows * side, columns * side))
    padded[:, :height, :width] = np.nan_to_num(np.abs(maps), nan=0.0)
    covered = np.zeros((rows * side, columns * side))
    covered[:height, :width] = 1.0
    sums = padded.reshape(n, rows, side, columns, side).sum((2, 4))
    sums = sums / covered.reshape(rows, side, columns, side).sum((1, 3))
    order = torch.from_numpy(ranked(sums)).to(images.device)
    squares = torch.arange(rows * columns, device=images.device).reshape(rows, columns)
    squares = squares.repeat_interleave(side, 0).repeat_interleave(side, 1)[:height, :width].reshape(-1)
    place = torch.empty_like(order).scatter_(
        1, order, torch.arange(rows * columns, device=order.device).expand_as(order)
    )
    when = place[:, squares].reshape(n, 1, height, width)
    steps = range(min(REGIONS, rows * columns) + 1)
    return np.stack([_probability(model, images * (when >= k), labels) for k in steps])


def resized(maps: NDArray[np.floating], height: int, width: int) -> NDArray[np.floating]:
    """Maps at the size of the images, bilinear, for those that are on a coarser grid."""
    if maps.shape[1:] == (height, width):
        return maps
    grid = torch.from_numpy(np.ascontiguousarray(maps))[:, None]
    large = torch.nn.functional.interpolate(grid, (height, width), mode="bilinear", align_corners=False)
    result: NDArray[np.floating] = large[:, 0].numpy()
    return result


def _swapped(
    model: nn.Module, before: torch.Tensor, after: torch.Tensor, labels: torch.Tensor, order: torch.Tensor
) -> Floats:
    """The probability of each label as pixels pass from one image to the other, in order."""
    counts = [round(order.shape[1] * step / STEPS) for step in range(STEPS + 1)]
    curve = []
    for count in counts:
        passed = _mask(order, count, before)
        curve.append(_probability(model, torch.where(passed, after, before), labels))
    return np.stack(curve)


def _mask(order: torch.Tensor, count: int, images: torch.Tensor) -> torch.Tensor:
    """Where the first pixels of the order are: bool ``[N, 1, H, W]``."""
    mask = torch.zeros(order.shape, dtype=torch.bool, device=order.device)
    mask.scatter_(1, order[:, :count], True)
    return mask.reshape(len(images), 1, *images.shape[2:])


def _noise(images: torch.Tensor, draw: int) -> torch.Tensor:
    """Noise for the imputed pixels: by the draw and the images' size and number alone."""
    made = torch.randn(images.shape, generator=generator("road", draw), dtype=torch.float32)
    return (NOISE * made).to(images)


def _right(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Floats:
    return _each(model, images, labels, lambda logits, labels: logits.argmax(1) == labels)


def _probability(model: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> Floats:
    def probability(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.double().softmax(1).gather(1, labels[:, None])[:, 0]

    return _each(model, images, labels, probability)


@torch.no_grad()
def _each(
    model: nn.Module,
    images: torch.Tensor,
    labels: torch.Tensor,
    take: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> Floats:
    """A number for each image from its logits, in batches."""
    size = at_once(images.device, *images.shape[2:])
    parts = [
        take(_checked(model(x.contiguous(memory_format=torch.channels_last))), y)
        for x, y in zip(torch.split(images, size), torch.split(labels, size), strict=True)
    ]
    found: Floats = torch.cat(parts).double().cpu().numpy()
    return found


def _checked(logits: torch.Tensor) -> torch.Tensor:
    if not bool(torch.isfinite(logits).all()):
        raise StepFailed("the network's logits on perturbed images are not finite")
    return logits
