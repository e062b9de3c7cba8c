"""Network dissection: which concepts the units of a layer detect.

A unit is on where it exceeds the threshold that it exceeds with probability 0.005 over all positions and
images (an exact quantile); its map is enlarged to the masks' size. It is compared with each concept by
intersection over union over all images together (Bau et al. 2017, Network Dissection). As only one pixel in
two hundred is on, the intersections are counted by looking up the concepts of these pixels, not by going
through masks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from lthbench.functional.unit_activations import dead
from lthbench.kinds import Annotated
from lthbench.scoring import Floats
from lthbench.textfiles import csv_bytes

#: The probability with which a unit is on.
QUANTILE = 0.005
#: A unit detects a concept above this intersection over union: Frankle & Bau 2019; then Bau et al. 2017.
THRESHOLDS = (0.05, 0.04)
#: Images are counted in so many groups, over which errors are bootstrapped.
GROUPS = 20
#: Masks are compared at this size, or at that of the images if it is less.
MASK = 112
#: Values of activations that are copied at once, to be sorted.
BLOCK = 2**24


class Tally(NamedTuple):
    """Pixels counted by group of images: int64.

    ``shared`` ``[groups, units, concepts]`` where both are on, ``active`` ``[groups, units]``, ``labelled``
    ``[groups, concepts]``; ``dead`` bool ``[units]``.
    """

    shared: NDArray[np.int64]
    active: NDArray[np.int64]
    labelled: NDArray[np.int64]
    dead: NDArray[np.bool_]

    def iou(self, counts: Floats | None = None) -> Floats:
        """Intersection over union ``[units, concepts]``; ``counts`` ``[groups]`` weights the groups."""
        weights = np.ones(len(self.active)) if counts is None else counts
        shared = np.tensordot(weights, self.shared, 1)
        either = (weights @ self.active)[:, None] + weights @ self.labelled - shared
        found: Floats = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
        return np.where(self.dead[:, None], 0.0, found)


def thresholds(activations: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each unit exceeds with probability ``QUANTILE`` over positions and images: ``[units]``."""
    units = activations.shape[1]
    few = max(1, BLOCK // max(activations[:, 0].size, 1))
    found = np.empty(units, dtype=np.float32)
    for start in range(0, units, few):  # quantiles take copies: of all units these would fill memory
        some = activations[:, start : start + few].transpose(1, 0, 2, 3)
        flat = some.reshape(len(some), -1)
        found[start : start + few] = np.quantile(flat, 1.0 - QUANTILE, axis=1, method="higher")
    return found


def strongest(activations: NDArray[np.float32], count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The images in which the largest activation of each unit is largest, ``[units, count]``, and in which
    cells of its grid a unit is on in them, ``[units, count, h, w]``.
    """
    peaks = activations.max((2, 3)).T
    images = np.argsort(-peaks, axis=1, kind="stable")[:, :count]
    maps = activations[images, np.arange(len(peaks))[:, None]]
    return images, maps > thresholds(activations)[:, None, None, None]


def active(
    activations: Iterable[NDArray[np.float32]], levels: NDArray[np.float32], size: int
) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """For each image ``[units, h, w]``, its number, and where units are on: bool ``[units, size, size]``."""
    for place, image in enumerate(activations):
        grid = torch.from_numpy(image)[None]
        large = torch.nn.functional.interpolate(grid, (size, size), mode="bilinear", align_corners=False)
        yield place, large[0].numpy() > levels[:, None, None]


def tally(activations: NDArray[np.float32], bank: Annotated, shift: int = 0) -> Tally:
    """Count units ``[N, units, h, w]`` against the concepts of the same images.

    With a ``shift``, each image is given the masks of the image so many places on: what units detect by
    chance.
    """
    n, size = len(bank.layers), side_of(bank)
    units, concepts = activations.shape[1], len(bank.names)
    levels = thresholds(activations)
    shared = np.zeros((GROUPS, units, concepts + 1), dtype=np.int64)
    on = np.zeros((GROUPS, units), dtype=np.int64)
    labelled = np.zeros((GROUPS, concepts + 1), dtype=np.int64)
    for place, where in active(activations, levels, size):
        group, labels = place % GROUPS, labels_of(bank, (place + shift) % n)
        flat = where.reshape(units, -1)
        unit, pixel = np.nonzero(flat)
        on[group] += flat.sum(1)
        for layer in labels.reshape(len(labels), -1):
            labelled[group] += np.bincount(layer, minlength=concepts + 1)
            found = np.bincount(unit * (concepts + 1) + layer[pixel], minlength=units * (concepts + 1))
            shared[group] += found.reshape(units, concepts + 1)
    return Tally(shared[:, :, 1:], on, labelled[:, 1:], dead(activations))


def tally_layers(made: Mapping[str, NDArray[np.float32]], bank: Annotated, shift: int = 0) -> Tally:
    """The same for the units of several layers, one after the other."""
    parts = [tally(layer, bank, shift) for layer in made.values()]
    shared, on, dead_ = (
        np.concatenate([part[k] for part in parts], axis=1 if k < 2 else 0) for k in (0, 1, 3)
    )
    return Tally(shared, on, parts[0].labelled, dead_)


def side_of(bank: Annotated) -> int:
    """The size at which the labels of a bank are compared."""
    return min(int(bank.layers.shape[2]), MASK)


def labels_of(bank: Annotated, place: int) -> NDArray[np.int16]:
    """The layers of one image of a bank at the size at which they are compared, ``[layers, size, size]``:
    nearest pixels.

    A concept that a pixel has in two layers stays in the first alone: it is counted once.
    """
    side, size = bank.layers.shape[2], side_of(bank)
    near = (np.arange(size) * 2 + 1) * side // (2 * size)
    layers = np.array(bank.layers[place][:, near][:, :, near])
    for later in range(1, len(layers)):
        for earlier in range(later):
            layers[later][layers[later] == layers[earlier]] = 0
    return layers


def ceiling(tally: Tally, pixels: int) -> Floats:
    """The largest intersection over union that each concept can reach, ``[concepts]``: by their sizes alone.

    ``pixels`` is the number of all pixels. A concept much larger than what a unit is on for cannot be
    detected.
    """
    share = tally.labelled.sum(0) / pixels
    found: Floats = np.minimum(share, QUANTILE) / np.maximum(share, QUANTILE)
    return found


def best(iou: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Each unit's best concept, and its intersection over union."""
    return iou.argmax(1), iou.max(1)


def as_csv(tally: Tally, made: Mapping[str, NDArray[np.float32]], bank: Annotated) -> bytes:
    """One row for each unit, with the columns of NetDissect: unit, category, label, score, and its counts."""
    labels, scores = best(tally.iou())
    shared, on, truth = (part.sum(0) for part in tally[:3])
    head = ("layer", "unit", "category", "label", "score", "truth", "activation", "intersect", "iou", "dead")
    rows: list[tuple[object, ...]] = []
    names = [(layer, unit) for layer, array in made.items() for unit in range(array.shape[1])]
    for k, ((layer, unit), label, score) in enumerate(zip(names, labels, scores, strict=True)):
        what = bank.categories[label], bank.names[label]
        iou, counts = f"{score:.6g}", (truth[label], on[k], shared[k, label])
        rows.append((layer, unit + 1, *what, iou, *counts, iou, int(tally.dead[k])))
    return csv_bytes(head, rows)
