"""What is computed from saliency maps alone: how sparse they are, which pixels they rank, how two agree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lthbench.kinds import Maps
from lthbench.scoring import Floats

#: Below so much of a map's largest value everything is noise of float32: such maps are maps of zeros.
_TINY = 1e-30


def unpacked(arrays: Mapping[str, NDArray[np.float32]], of: str) -> Maps:
    """The maps for the ``labels``, or for the classes that ``saliency.explain`` was given (``reference``)."""
    if of not in ("labels", "reference"):
        raise ValueError(f"maps are for the labels or the reference, not {of!r}")
    found = {name: np.array(arrays[f"labels.{name}"]) for name in Maps._fields}
    differ = arrays["differ"]
    if of == "reference" and len(differ):
        for name, array in found.items():
            array[differ] = arrays[f"reference.{name}"]
    return Maps(**found)


def scaled(maps: NDArray[np.floating]) -> Floats:
    """Absolute values ``[images, pixels]`` in float64, over each map's largest; NaN for zeros or NaN."""
    flat = np.abs(maps.astype(np.float64)).reshape(len(maps), -1)
    top = flat.max(1, keepdims=True)
    return np.where(top > _TINY, flat, np.nan) / np.where(top > _TINY, top, 1.0)


def gini(maps: NDArray[np.floating]) -> Floats:
    """The Gini index of the absolute values of each map ``[images, ...]``; NaN for a map of zeros or NaN.

    sum_i (2i - n - 1) v_(i) / (n sum v) with v ascending: 0 where all are equal, 1 - 1/n for one pixel.
    Hurley & Rickard 2009, Comparing Measures of Sparsity. No other map has a say in a map's scale.
    """
    ordered = np.sort(scaled(maps), axis=1)
    n = ordered.shape[1]
    weights = 2.0 * np.arange(1, n + 1) - n - 1
    result: Floats = (ordered @ weights) / (n * ordered.sum(1))
    return result


def random_maps(shape: tuple[int, ...], draw: int = 0) -> Floats:
    """Maps of independent uniform values, always the same: what attribution by chance looks like."""
    return np.random.Generator(np.random.PCG64([draw, len(shape)])).random(shape)


def ranked(maps: NDArray[np.floating], draw: int = 0) -> NDArray[np.int64]:
    """The pixels of each map ``[images, H, W]`` from the most to the least relevant, ``[images, H * W]``.

    Equal pixels are in an order drawn once for all networks, so that maps with ties favour no corner; another
    ``draw`` is another order. A map of NaN is ranked by that order alone.
    """
    flat = maps.reshape(len(maps), -1)
    ties = np.argsort(random_maps(flat.shape, draw), axis=1)
    drawn = np.take_along_axis(np.nan_to_num(flat, nan=0.0), ties, 1)
    order = np.argsort(-drawn, axis=1, kind="stable")
    return np.take_along_axis(ties, order, 1)


def spearman(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> Floats:
    """Spearman's rank correlation of two maps of each image, ties at their mean rank; NaN if undefined."""
    from scipy.stats import rankdata

    ranks = [rankdata(scaled(m), axis=1, nan_policy="propagate") for m in (ours, theirs)]
    a, b = (r - r.mean(1, keepdims=True) for r in ranks)
    below = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    with np.errstate(invalid="ignore", divide="ignore"):
        result: Floats = np.where(below > 0, (a * b).sum(1) / below, np.nan)
    return result


def overlap(ours: NDArray[np.floating], theirs: NDArray[np.floating], share: float) -> Floats:
    """Intersection over union of the ``share`` most relevant pixels (at least one); NaN if undefined.

    Pixels at zero are not relevant and do not count: maps of mostly zeros must not agree by these.
    """
    k = top_count(ours[0].size, share)
    chosen = np.zeros((2, len(ours), ours[0].size), dtype=bool)
    for place, maps in enumerate((ours, theirs)):
        np.put_along_axis(chosen[place], ranked(maps)[:, :k], True, 1)
        chosen[place] &= scaled(maps) > 0
    shared, either = (chosen[0] & chosen[1]).sum(1), (chosen[0] | chosen[1]).sum(1)
    undefined = np.isnan(scaled(ours)).any(1) | np.isnan(scaled(theirs)).any(1)
    return np.where(undefined, np.nan, shared / np.maximum(either, 1))


def top_count(pixels: int, share: float) -> int:
    """How many pixels the top share of a map has."""
    return max(1, round(share * pixels))


def overlap_by_chance(pixels: int, share: float) -> float:
    """The expected intersection over union of two sets of pixels drawn independently."""
    from scipy.stats import hypergeom

    k = top_count(pixels, share)
    shared = np.arange(k + 1)
    return float((hypergeom.pmf(shared, pixels, k, k) * shared / (2 * k - shared)).sum())


def _stretched(maps: NDArray[np.floating]) -> Floats:
    """Maps in their own shape, from 0 at their least relevant pixel to 1; NaN for zeros or NaN, or no
    contrast.
    """
    flat = scaled(maps)
    low = flat.min(1, keepdims=True)
    spread = flat.max(1, keepdims=True) - low
    found: Floats = ((flat - low) / np.where(spread > 0, spread, np.nan)).reshape(maps.shape)
    return found


def similarity(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> Floats:
    """The structural similarity of two maps of each image, from their least to their most; NaN if undefined.

    Wang et al. 2004, by scikit-image: windows of 7 x 7, or the largest odd size that fits the map.
    """
    from skimage.metrics import structural_similarity

    shape = ours.shape
    window = min(7, min(shape[1:]) - 1 + min(shape[1:]) % 2)
    found = np.full(len(ours), np.nan)
    pairs = zip(_stretched(ours), _stretched(theirs), strict=True)
    for place, (a, b) in enumerate(pairs):
        if window > 1 and np.isfinite(a).all() and np.isfinite(b).all():
            compare: Any = structural_similarity
            found[place] = compare(a, b, win_size=window, data_range=1.0)
    return found
