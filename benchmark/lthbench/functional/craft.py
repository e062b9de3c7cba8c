"""CRAFT: concepts of a layer as non-negative directions, found in crops of images (Fel et al. 2023).

Crops are enlarged to the size of the images; the spatial means A of the layer's activations on them are
factored, A = U W, by non-negative matrix factorisation: rows of W are concepts, U says how much of each a
crop has. How much the class's logit depends on a concept is its total Sobol index when the concepts of an
image are masked at random.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lthbench.scoring import Floats

#: Concepts; the share of the image's side that a crop has, and its step in shares of the crop.
CONCEPTS = 10
CROP, STEP = 1 / 3.5, 0.8
#: Points of the scrambled Sobol sequence, and crops that stand for a concept.
DESIGN, TOP = 128, 10
#: Halves of the images behind a standard error.
HALVES = 8
#: Crops that are enlarged at once.
BLOCK = 256
#: Iterations of the factors of a half at most, where these are scored alone: that scatter is no other after a
#: thousand. Concepts that are matched with others' take as many as all images do.
HASTY = 200


class Crops(NamedTuple):
    """Crops uint8 ``[crops, C, H, W]`` at the size of the images; the image, the label and the top left
    corner ``[crops, 2]`` of each, and the side that all have in their images.
    """

    pixels: NDArray[np.uint8]
    image: NDArray[np.int64]
    labels: NDArray[np.int64]
    corners: NDArray[np.int64] = np.zeros((0, 2), dtype=np.int64)
    side: int = 0


class Concepts(NamedTuple):
    """U ``[crops, CONCEPTS]``, W ``[CONCEPTS, units]``, and what is lost: |A - UW| / |A|."""

    amounts: Floats
    directions: Floats
    lost: float


def cropped(pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> Crops:
    """All crops of images ``[N, C, H, W]``, row by row."""
    size = pixels.shape[2]
    side = max(2, round(size * CROP))
    starts = range(0, size - side + 1, max(1, int(side * STEP)))
    parts = [pixels[:, :, y : y + side, x : x + side] for y in starts for x in starts]
    stacked = torch.from_numpy(np.stack(parts, 1).reshape(-1, pixels.shape[1], side, side)).float()
    made = np.empty((len(stacked), pixels.shape[1], size, size), dtype=np.uint8)
    for start in range(0, len(stacked), BLOCK):  # as floats, all of large images would fill memory
        some = stacked[start : start + BLOCK]
        large = torch.nn.functional.interpolate(some, (size, size), mode="bilinear", align_corners=False)
        made[start : start + BLOCK] = large.round().clamp(0, 255).to(torch.uint8)
    count = len(parts)
    corners = np.tile([(y, x) for y in starts for x in starts], (len(pixels), 1))
    return Crops(made, np.repeat(np.arange(len(pixels)), count), np.repeat(labels, count), corners, side)


def halves(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Halves of images, bool ``[HALVES, images]``: at random one of each two that follow in a class.

    As half of the images are drawn without putting any back, the standard deviation of a score over halves
    estimates its standard error over all images (half-sample replication: McCarthy 1969; Wolter 2007,
    Introduction to Variance Estimation, chapter 3). Concepts are factored anew in each, so the error holds
    what changes in them.
    """
    draw = np.random.Generator(np.random.PCG64(0))
    found = np.zeros((HALVES, len(labels)), dtype=np.bool_)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        first = draw.random((HALVES, (len(mine) + 1) // 2)) < 0.5
        found[:, mine[::2]] = first
        found[:, mine[1::2]] = ~first[:, : len(mine) // 2]
    return found


def part(crops: Crops, kept: NDArray[np.bool_]) -> tuple[Crops, NDArray[np.int64]]:
    """The crops of some images, bool ``[images]``, and where they stand among all."""
    where = np.flatnonzero(kept[crops.image])
    corners = crops.corners[where] if len(crops.corners) else crops.corners
    few = Crops(crops.pixels[where], crops.image[where], crops.labels[where], corners, crops.side)
    return few, where


def factored(activations: NDArray[np.float32], iterations: int = 1000) -> Concepts:
    """The factors of activations ``[crops, units]``; what is below zero counts as zero.

    There are as many concepts where there are fewer units: units that are never on are put beside them, which
    changes nothing of the product, since NMF's start takes no more concepts than units.
    """
    import warnings

    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    features = np.maximum(activations, 0.0).astype(np.float64)
    features = features / max(float(features.max()), 1e-30)
    few = max(0, CONCEPTS - features.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = NMF(CONCEPTS, init="nndsvda", random_state=0, max_iter=iterations, tol=1e-4)
        amounts = model.fit_transform(np.pad(features, ((0, 0), (0, few))) if few else features)
    directions = model.components_[:, : features.shape[1]] if few else model.components_
    lost = np.linalg.norm(features - amounts @ directions) / max(float(np.linalg.norm(features)), 1e-30)
    return Concepts(amounts, directions, float(lost))


@lru_cache(maxsize=4)
def design(dimensions: int, points: int = DESIGN) -> tuple[Floats, Floats]:
    """Two sets of masks ``[points, dimensions]`` in [0, 1], from one scrambled Sobol sequence."""
    from scipy.stats import qmc

    both = qmc.Sobol(2 * dimensions, scramble=True, rng=np.random.default_rng(0)).random(points)
    return both[:, :dimensions], both[:, dimensions:]


def total_sobol(function: Callable[[Floats], Floats], dimensions: int, points: int = DESIGN) -> Floats:
    """Total Sobol indices of ``function([masks, dimensions]) -> [masks, outputs]``: ``[dimensions,
    outputs]``.

    Jansen's estimator (Jansen 1999): half the mean squared change when one mask is drawn anew, over the
    variance. Zero for an output that does not vary.
    """
    first, second = design(dimensions, points)
    plain, other = function(first), function(second)
    variance = np.concatenate([plain, other]).var(0)
    found = np.zeros((dimensions, plain.shape[1]))
    for k in range(dimensions):
        mixed = first.copy()
        mixed[:, k] = second[:, k]
        found[k] = ((plain - function(mixed)) ** 2).mean(0) / 2.0
    result: Floats = np.divide(found, variance, out=np.zeros_like(found), where=variance > 1e-20)
    return result


def importance(
    model: nn.Module, layer: str, pixels: NDArray[np.uint8], label: int, concepts: Concepts, scale: float
) -> Floats:
    """The mean total Sobol index of each concept for a class's logit, over images: ``[CONCEPTS]``.

    The layer's output is replaced by what concepts, masked, make of it; ``scale`` is the largest activation
    on crops, by which ``factored`` divided.
    """
    from lthbench.functional.unit_activations import activations

    made = activations(model, (layer,), pixels)[layer] / scale
    n, units, height, width = made.shape
    flat = np.maximum(made.transpose(0, 2, 3, 1).reshape(-1, units), 0.0)
    amounts = _amounts(flat, concepts.directions).reshape(n, height * width, CONCEPTS)
    directions = torch.from_numpy(concepts.directions * scale).float()
    found = np.zeros(CONCEPTS)
    for k in range(n):
        present = torch.from_numpy(amounts[k]).float()

        def logit(masks: Floats, k: int = k, present: torch.Tensor = present) -> Floats:
            masked = present[None] * torch.from_numpy(masks).float()[:, None]
            grid = (masked @ directions).transpose(1, 2).reshape(len(masks), units, height, width)
            return _headed(model, layer, pixels[k], grid)[:, [label]]

        found += total_sobol(logit, CONCEPTS)[:, 0] / n
    return found


def _amounts(flat: NDArray[np.float32], directions: Floats) -> Floats:
    """How much of each direction rows have: non-negative least squares by multiplicative updates."""
    inner, outer = flat @ directions.T, directions @ directions.T
    found = np.full(inner.shape, max(float(inner.mean()), 1e-12))
    for _ in range(200):
        found *= inner / np.maximum(found @ outer, 1e-12)
    return found


@torch.no_grad()
def _headed(model: nn.Module, layer: str, image: NDArray[np.uint8], grid: torch.Tensor) -> Floats:
    """The logits that follow from outputs of the layer ``[masks, units, h, w]``."""
    device = next(model.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(image))[None].to(device, torch.float32).div_(255.0)
    # A copy for each pass: what follows the layer may work in place.
    hook = model.get_submodule(layer).register_forward_hook(
        lambda module, arguments, made: grid.to(made, copy=True)
    )
    try:
        try:
            found = model(x)  # what comes before the layer, once
        except RuntimeError:  # something goes around the layer, as the class token of a transformer does
            found = model(x.expand(len(grid), -1, -1, -1))
        logits: Floats = found.double().cpu().numpy()
    finally:
        hook.remove()
    return logits


def coherence(concepts: Concepts, crops: Crops, vectors: NDArray[np.float32]) -> Floats:
    """For each concept, how much more alike its top crops of different images are than any crops are."""
    mean = vectors.mean(0)
    n = len(vectors)
    among_all = (n * float(mean @ mean) - 1.0) / (n - 1)
    found = []
    for top in tops(concepts, crops):
        total = vectors[top].sum(0)
        many = len(top)
        found.append((float(total @ total) - many) / (many * (many - 1)) - among_all if many > 1 else np.nan)
    return np.array(found)


def tops(concepts: Concepts, crops: Crops) -> list[NDArray[np.int64]]:
    """For each concept, the ``TOP`` crops that have most of it, one from an image."""
    found = []
    for amounts in concepts.amounts.T:
        order = np.argsort(-amounts, kind="stable")
        _, first = np.unique(crops.image[order], return_index=True)
        found.append(order[np.sort(first)[:TOP]])
    return found


def purity(concepts: Concepts, crops: Crops) -> Floats:
    """For each concept, 1 less the entropy of its top crops' classes over that of all classes alike."""
    classes = len(np.unique(crops.labels))
    found = []
    for top in tops(concepts, crops):
        share = np.unique(crops.labels[top], return_counts=True)[1] / len(top)
        found.append(1.0 + float((share * np.log(share)).sum()) / np.log(max(classes, 2)))
    return np.array(found)


def redundancy(concepts: Concepts) -> float:
    """The mean, over concepts, of the largest cosine with another."""
    lengths = np.linalg.norm(concepts.directions, axis=1, keepdims=True)
    unit = concepts.directions / np.maximum(lengths, 1e-12)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1.0)
    return float(cosines.max(1).mean())


def matched(ours: Concepts, theirs: Concepts) -> tuple[float, NDArray[np.int64]]:
    """The mean correlation of amounts over crops of concepts matched one to one, and their matches."""
    from scipy.optimize import linear_sum_assignment

    a, b = (c.amounts - c.amounts.mean(0) for c in (ours, theirs))
    a, b = (m / np.maximum(np.linalg.norm(m, axis=0), 1e-12) for m in (a, b))
    correlation = a.T @ b
    rows, columns = linear_sum_assignment(-correlation)
    return float(correlation[rows, columns].mean()), columns
