"""Compositional explanations of units: the formula of concepts that matches best where a unit is on.

Formulas of up to three concepts by OR, AND and AND NOT, found by beam search (Mu & Andreas 2020,
Compositional Explanations of Neurons): each formula in the beam is joined with each candidate concept. Masks
are packed into bits; for a formula F, a concept L and a unit M the counts |F & L| and |M & F & L| give all
three operations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lthbench.functional.dissection import GROUPS, active, masks_of, thresholds
from lthbench.kinds import Annotated
from lthbench.scoring import Floats

#: Formulas that are kept at each length, the longest length, and
#: concepts that are tried: those that match best alone.
BEAM, LENGTH, CANDIDATES = 5, 3, 50

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Formula:
    """A formula: its words for people, its pixels as bits, and its intersection over union with the unit."""

    text: str
    bits: Words
    iou: float
    length: int


class Packed:
    """Where concepts and units are on, as bits: ``concepts`` ``[concepts, words]``, ``units`` ``[units,
    words]``.

    Images are in an order of groups, so that ``groups`` ``[GROUPS + 1]`` are the first words of each.
    """

    def __init__(self, activations: NDArray[np.float32], bank: Annotated):
        layers = masks_of(bank)
        n, _, size, _ = layers.shape
        order = np.argsort(np.arange(n) % GROUPS, kind="stable")
        each = -(-size * size // 64)
        where = np.zeros((activations.shape[1], n, each * 64), dtype=bool)
        for place, on in active(activations[order], thresholds(activations), size):
            where[:, place, : size * size] = on.reshape(len(on), -1)
        self.units = _packed(where)
        self.concepts = _packed_concepts(layers[order], len(bank.names), each * 64)
        self.names = bank.names
        self.groups = np.searchsorted(np.sort(np.arange(n) % GROUPS), np.arange(GROUPS + 1)) * each


def _packed(bits: NDArray[np.bool_]) -> Words:
    """Bits ``[many, images, pixels]`` as words ``[many, words]``; pixels a multiple of 64."""
    found: Words = np.packbits(bits.reshape(len(bits), -1), axis=1).view(np.uint64)
    return found


def _packed_concepts(layers: NDArray[np.int16], concepts: int, pixels: int) -> Words:
    """Where each concept is, as words ``[concepts, words]``, of layers ``[images, layers, h, w]``.

    Each image is looked at for the few concepts that it has, and not for all.
    """
    n, depth = layers.shape[:2]
    found = np.zeros((concepts, n, pixels // 8), dtype=np.uint8)
    flat = np.zeros((depth, pixels), dtype=np.int16)
    for image, labelled in enumerate(layers):
        flat[:, : labelled[0].size] = labelled.reshape(depth, -1)
        for concept in np.unique(labelled):
            if concept:
                found[concept - 1, image] = np.packbits((flat == concept).any(0))
    words: Words = found.reshape(concepts, -1).view(np.uint64)
    return words


def count(bits: Words) -> NDArray[np.int64]:
    """The number of ones along the last axis."""
    found: NDArray[np.int64] = np.bitwise_count(bits).sum(-1, dtype=np.int64)
    return found


def search(packed: Packed, unit: int, candidates: int = CANDIDATES) -> dict[int, Formula]:
    """The best formula for a unit of each length up to ``LENGTH``: a longer one is never worse.

    It is made of the concepts that match best alone, so many ``candidates`` (0: all).
    """
    on = packed.units[unit]
    size = int(count(on))
    sizes, shared = count(packed.concepts), count(packed.concepts & on)
    alone = shared / np.maximum(size + sizes - shared, 1)
    order = np.argsort(-alone, kind="stable")
    tried = [int(k) for k in order[: candidates or None] if sizes[k] > 0]
    if not tried:
        nothing = Formula("nothing", np.zeros_like(on), 0.0, 0)
        return dict.fromkeys(range(1, LENGTH + 1), nothing)
    beam = [Formula(packed.names[k], packed.concepts[k], float(alone[k]), 1) for k in tried[:BEAM]]
    found = {1: beam[0]}
    leaves, leaf_sizes, leaf_shared = packed.concepts[tried], sizes[tried], shared[tried]
    for length in range(2, LENGTH + 1):
        joined: list[tuple[float, int, int, int]] = []
        for place, formula in enumerate(beam):
            both = leaves & formula.bits
            f, m = int(count(formula.bits)), int(count(formula.bits & on))
            fl, mfl = count(both), count(both & on)
            for op, (inside, outside) in enumerate(
                (
                    (m + leaf_shared - mfl, f + leaf_sizes - fl),  # OR
                    (mfl, fl),  # AND
                    (m - mfl, f - fl),  # AND NOT
                )
            ):
                ious = inside / np.maximum(size + outside - inside, 1)
                joined += [(float(iou), place, op, k) for k, iou in enumerate(ious)]
        joined.sort(key=lambda one: -one[0])
        longer = [
            _joined(beam[place], op, leaves[k], packed.names[tried[k]], iou)
            for iou, place, op, k in joined[:BEAM]
        ]
        # Shorter formulas stay in the beam: what does not gain by a third concept keeps two.
        beam = sorted([*longer, *beam], key=lambda formula: -formula.iou)[:BEAM]
        found[length] = beam[0]
    return found


def _joined(formula: Formula, op: int, leaf: Words, name: str, iou: float) -> Formula:
    word = ("OR", "AND", "AND NOT")[op]
    bits = (formula.bits | leaf, formula.bits & leaf, formula.bits & ~leaf)[op]
    text = f"({formula.text} {word} {name})" if formula.length else name
    return Formula(text, bits, iou, formula.length + 1)


def by_group(packed: Packed, unit: int, formula: Formula) -> tuple[Floats, Floats]:
    """Pixels in the intersection and in the union of a unit and a formula, by group of images."""
    on = packed.units[unit]
    starts = packed.groups[:-1]
    filled = np.diff(packed.groups) > 0
    sums = []
    for bits in (on & formula.bits, on | formula.bits):
        words = np.bitwise_count(bits).astype(np.float64)
        total = np.zeros(GROUPS)
        total[filled] = np.add.reduceat(words, starts[filled])
        sums.append(total)
    return sums[0], sums[1]
