"""LIME for many images at once: how well a linear model of superpixels explains a network, and how stably.

The setting is that of Chen et al. 2022, section 4.3, whose code is a variant of Ribeiro et al. 2016:
superpixels turn black at random; the probability of the network's own top class is fitted by ridge
regression, weighted by nearness to the whole image. Segments and masks depend on the images alone and are
made once for all networks, so that networks are compared on the same perturbations; all fits of all images
are solved together.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lthbench.errors import StepFailed
from lthbench.inference.batches import at_once
from lthbench.scoring import Floats

#: Perturbed copies of each image, the whole image first.
SAMPLES = 1000
#: The penalty of the ridge regression, and the width of the kernel over cosine distances.
ALPHA, WIDTH = 1.0, 0.25
#: Images that are fitted together.
TOGETHER = 250
#: Bytes of segments that are kept at most: those of about 2,500 images of 224 pixels.
KEPT = 2**28
#: Refits around a random perturbed copy. The published code has 5, which have the same mean.
REFITS = 20
#: The variance of the probability below which it is constant: its share that is explained says nothing.
CONSTANT = 1e-12


class Prepared(NamedTuple):
    """For each image: the segment of each pixel, which segments each copy shows, and where refits are
    centred.

    ``segments`` int64 ``[N, H, W]``; ``masks`` float64 ``[N, SAMPLES, segments]``, zero beyond an image's own
    ``counts`` ``[N]``; ``centres`` int64 ``[N, REFITS]``.
    """

    segments: NDArray[np.int64]
    masks: Floats
    counts: NDArray[np.int64]
    centres: NDArray[np.int64]


class Linear(NamedTuple):
    """For each image, float64 ``[N]``.

    ``fidelity`` is the mean squared residual over the copies; ``scaled`` the same over the variance of the
    probability (1 - R^2; NaN where it is constant); ``stability`` the mean squared distance of refitted
    coefficients from the first; ``per_segment`` the same over the number of segments, ``moved`` that over the
    variance of the probability. Lower is better.
    """

    fidelity: Floats
    scaled: Floats
    stability: Floats
    per_segment: Floats
    moved: Floats


#: Segments of images by a hash of them, in as few bytes as hold them.
_segments: dict[str, NDArray[np.unsignedinteger]] = {}


def prepare(pixels: NDArray[np.uint8]) -> Prepared:
    """Segments and masks of images ``[N, C, H, W]``: a function of the images alone."""
    segments = _segments_of(pixels)
    counts = segments.reshape(len(pixels), -1).max(1) + 1
    masks = np.zeros((len(pixels), SAMPLES, int(counts.max())))
    centres = np.empty((len(pixels), REFITS), dtype=np.int64)
    for place, count in enumerate(counts):
        draw = np.random.Generator(np.random.PCG64([place, int(count)]))
        masks[place, :, :count] = draw.integers(0, 2, (SAMPLES, count))
        masks[place, 0, :count] = 1.0
        centres[place] = draw.integers(0, SAMPLES, REFITS)
    return Prepared(segments, masks, counts, centres)


def _segments_of(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The segments of images, kept for the next network: at 224 pixels an image takes a fifth of a second."""
    digest = hashlib.sha256(pixels.tobytes()).hexdigest() + str(pixels.shape)
    if digest not in _segments:
        found = np.stack([segmented(image) for image in pixels])
        _segments[digest] = found.astype(np.min_scalar_type(int(found.max())))
        while len(_segments) > 1 and sum(kept.nbytes for kept in _segments.values()) > KEPT:
            del _segments[next(iter(_segments))]  # the oldest
    return _segments[digest].astype(np.int64)


def segmented(image: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The segment, from 0, of each pixel of an image ``[C, H, W]``.

    Felzenszwalb's algorithm with the published settings; quickshift from 160 pixels on. Images below 16
    pixels are too small for either: squares of 2 x 2 pixels.
    """
    from skimage.segmentation import felzenszwalb, quickshift

    _, height, width = image.shape
    if min(height, width) < 16:
        columns = -(-width // 2)
        found = (np.arange(height) // 2)[:, None] * columns + np.arange(width) // 2
    else:
        colours = np.moveaxis(np.broadcast_to(image, (3, height, width)), 0, -1)
        if min(height, width) >= 160:
            found = quickshift(colours, kernel_size=4, max_dist=200, ratio=0.2, rng=0)  # type: ignore[no-untyped-call]
        else:
            found = felzenszwalb(colours, scale=10, sigma=0.4, min_size=20)
    return np.unique(found, return_inverse=True)[1].reshape(height, width)


def explained(model: nn.Module, pixels: NDArray[np.uint8]) -> Linear:
    """Linear explanations of the network's own top class for images ``[N, C, H, W]``."""
    parts = [_explained(model, pixels[a : a + TOGETHER]) for a in range(0, len(pixels), TOGETHER)]
    return Linear(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))


def _explained(model: nn.Module, pixels: NDArray[np.uint8]) -> Linear:
    prepared = prepare(pixels)
    outputs = np.stack([probabilities(model, *one) for one in zip(pixels, *prepared[:2], strict=True)])
    return fitted(prepared, outputs)


@torch.no_grad()
def probabilities(
    model: nn.Module, image: NDArray[np.uint8], segments: NDArray[np.int64], masks: Floats
) -> Floats:
    """The probability of the whole image's top class for each copy of ``image``: ``[SAMPLES]``."""
    device = next(model.parameters()).device
    x = torch.from_numpy(np.array(image)).to(device, torch.float32).div_(255.0)
    shown = torch.from_numpy(masks).to(device, torch.float32)
    # Which pixels a segment has: a product with the masks shows a copy's pixels, exactly.
    which = torch.arange(masks.shape[1], device=device)[:, None]
    pixels = (torch.from_numpy(segments).to(device).reshape(1, -1) == which).float()
    parts = []
    for part in torch.split(shown, at_once(device, *image.shape[1:])):
        copies = x * (part @ pixels).reshape(len(part), 1, *segments.shape)
        parts.append(model(copies.contiguous(memory_format=torch.channels_last)))
    logits = torch.cat(parts).double()
    if not bool(torch.isfinite(logits).all()):
        raise StepFailed("the network's logits on perturbed images are not finite")
    found: Floats = logits.softmax(1)[:, logits[0].argmax()].cpu().numpy()
    return found


def fitted(prepared: Prepared, outputs: Floats) -> Linear:
    """The fits to the probabilities ``[N, SAMPLES]`` of all copies of all images."""
    masks = prepared.masks
    whole = np.zeros(len(masks), dtype=np.int64)
    coefficients, intercepts = ridge(masks, outputs, weights_around(masks, whole))
    predicted = (masks @ coefficients[:, :, None])[:, :, 0] + intercepts[:, None]
    fidelity = ((outputs - predicted) ** 2).mean(1)
    spread = outputs.var(1)
    varies = spread > CONSTANT
    moved = np.zeros(len(masks))
    for centre in prepared.centres.T:
        again, _ = ridge(masks, outputs, weights_around(masks, centre))
        moved += ((again - coefficients) ** 2).sum(1) / prepared.centres.shape[1]
    each = np.where(varies, spread, np.nan)
    per_segment = moved / prepared.counts
    return Linear(fidelity, fidelity / each, moved, per_segment, per_segment / each)


def weights_around(masks: Floats, centre: NDArray[np.int64]) -> Floats:
    """The weight of each copy ``[N, SAMPLES]`` by its cosine distance d to one of them: exp(-d^2 / (2
    WIDTH^2)).

    A copy that shows nothing has no direction: its distance is 1.
    """
    rows = np.take_along_axis(masks, centre[:, None, None], 1)[:, 0]
    sizes, own = masks.sum(2), rows.sum(1)
    below = np.sqrt(sizes * own[:, None])
    shared = (masks @ rows[:, :, None])[:, :, 0]
    distance = 1.0 - np.divide(shared, below, out=np.zeros_like(below), where=below > 0)
    result: Floats = np.sqrt(np.exp(-(distance**2) / WIDTH**2))
    return result


def ridge(inputs: Floats, outputs: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weighted ridge regressions with an intercept that is not penalised: ``[N, features]`` and ``[N]``.

    ``inputs`` is ``[N, samples, features]``, ``outputs`` and ``weights`` ``[N, samples]``. A feature that is
    zero throughout gets the coefficient zero.
    """
    total = weights.sum(1, keepdims=True)
    centre = (weights[:, None, :] @ inputs)[:, 0] / total
    level = (weights * outputs).sum(1) / total[:, 0]
    away = inputs - centre[:, None, :]
    weighted = away * weights[:, :, None]
    left = weighted.transpose(0, 2, 1) @ away + ALPHA * np.eye(inputs.shape[2])
    right = weighted.transpose(0, 2, 1) @ (outputs - level[:, None])[:, :, None]
    coefficients: Floats = np.linalg.solve(left, right)[:, :, 0]
    return coefficients, level - (centre * coefficients).sum(1)
