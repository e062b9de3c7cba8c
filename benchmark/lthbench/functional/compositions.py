"""Compositional explanations of units: the formula of concepts that matches best where a unit is on.

Formulas of up to three concepts by OR, AND and AND NOT, found by beam search (Mu & Andreas 2020,
Compositional Explanations of Neurons): each formula in the beam is joined with each candidate concept. Masks
are packed into bits; for a formula F, a concept L and a unit M the counts |F & L| and |M & F & L| give all
three operations. Of concepts only the bits of images that have them are kept: few images have any one of a
thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lthbench.functional.dissection import GROUPS, active, labels_of, side_of, thresholds
from lthbench.kinds import Annotated
from lthbench.scoring import Floats

#: Formulas that are kept at each length, the longest length, and
#: concepts that are tried: those that match best alone.
BEAM, LENGTH, CANDIDATES = 5, 3, 50
#: Images of concepts whose bits are counted at once.
BLOCK = 4096

Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Formula:
    """A formula: its words for people, its pixels as bits, and its intersection over union with the unit."""

    text: str
    bits: Words
    iou: float


class Packed:
    """Where units are on as bits, ``units`` ``[units, words]``, and where ``concepts`` are.

    Images are in an order of groups, so that ``groups`` ``[GROUPS + 1]`` are the first words of each.
    """

    def __init__(self, activations: NDArray[np.float32], bank: Annotated):
        n, size = len(bank.layers), side_of(bank)
        order = np.argsort(np.arange(n) % GROUPS, kind="stable")
        each = -(-size * size // 64)
        units = np.zeros((activations.shape[1], n, each * 8), dtype=np.uint8)
        bits = np.zeros((len(units), each * 64), dtype=np.bool_)
        ordered = (np.ascontiguousarray(activations[k]) for k in order)
        for place, on in active(ordered, thresholds(activations), size):
            bits[:, : size * size] = on.reshape(len(on), -1)
            units[:, place] = np.packbits(bits, axis=1)
        self.units: Words = units.reshape(len(units), -1).view(np.uint64)
        self.concepts = Places(bank, order, each)
        self.names = bank.names
        self.groups = np.searchsorted(np.sort(np.arange(n) % GROUPS), np.arange(GROUPS + 1)) * each


class Places:
    """Where the concepts of a bank are, its images in ``order``: bits in ``each`` words of an image.

    ``places[k]`` are the words of concept k over all images; ``sizes`` ``[concepts]`` counts their bits.
    """

    def __init__(self, bank: Annotated, order: NDArray[np.int64], each: int):
        depth, size = bank.layers.shape[1], side_of(bank)
        flat = np.zeros((depth, each * 64), dtype=np.int16)
        found: list[tuple[int, int]] = []
        bits: list[NDArray[np.uint8]] = []
        for place, image in enumerate(order):
            labels = labels_of(bank, int(image))
            flat[:, : size * size] = labels.reshape(depth, -1)
            for concept in np.unique(labels):
                if concept:
                    found.append((int(concept) - 1, place))
                    bits.append(np.packbits((flat == concept).any(0)))
        self._shape = len(order), each
        self._concepts = len(bank.names)
        self._concept, self._image = np.array(found, dtype=np.int64).reshape(-1, 2).T
        self._words: Words = np.array(bits, dtype=np.uint8).reshape(-1, each * 8).view(np.uint64)
        self.sizes = self._added(count(self._words))

    def __getitem__(self, concept: int) -> Words:
        found = np.zeros(self._shape, dtype=np.uint64)
        mine = self._concept == concept
        found[self._image[mine]] = self._words[mine]
        return found.reshape(-1)

    def shared(self, bits: Words) -> NDArray[np.int64]:
        """How many of the ``bits`` ``[words]`` each concept has as well: ``[concepts]``."""
        rows = bits.reshape(self._shape)
        counts = np.empty(len(self._words), dtype=np.int64)
        for start in range(0, len(counts), BLOCK):
            some = slice(start, start + BLOCK)
            counts[some] = count(self._words[some] & rows[self._image[some]])
        return self._added(counts)

    def _added(self, counts: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum over images for each concept; whole numbers below 2^53 are exact as floats."""
        added = np.bincount(self._concept, weights=counts, minlength=self._concepts)
        return added.astype(np.int64)


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
    sizes, shared = packed.concepts.sizes, packed.concepts.shared(on)
    alone = shared / np.maximum(size + sizes - shared, 1)
    order = np.argsort(-alone, kind="stable")
    tried = [int(k) for k in order[: candidates or None] if sizes[k] > 0]
    if not tried:
        nothing = Formula("nothing", np.zeros_like(on), 0.0)
        return dict.fromkeys(range(1, LENGTH + 1), nothing)
    beam = [Formula(packed.names[k], packed.concepts[k], float(alone[k])) for k in tried[:BEAM]]
    found = {1: beam[0]}
    leaf_sizes, leaf_shared = sizes[tried], shared[tried]
    for length in range(2, LENGTH + 1):
        joined: list[tuple[float, int, int, int]] = []
        for place, formula in enumerate(beam):
            inner = formula.bits & on
            f, m = int(count(formula.bits)), int(count(inner))
            fl, mfl = (packed.concepts.shared(bits)[tried] for bits in (formula.bits, inner))
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
            _joined(beam[place], op, packed.concepts[tried[k]], packed.names[tried[k]], iou)
            for iou, place, op, k in joined[:BEAM]
        ]
        # Shorter formulas stay in the beam: what does not gain by a third concept keeps two.
        beam = sorted([*longer, *beam], key=lambda formula: -formula.iou)[:BEAM]
        found[length] = beam[0]
    return found


def _joined(formula: Formula, op: int, leaf: Words, name: str, iou: float) -> Formula:
    word = ("OR", "AND", "AND NOT")[op]
    bits = (formula.bits | leaf, formula.bits & leaf, formula.bits & ~leaf)[op]
    return Formula(f"({formula.text} {word} {name})", bits, iou)


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
