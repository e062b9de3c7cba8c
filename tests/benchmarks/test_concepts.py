"""Counting units against concepts, and searching formulas, against going through boolean masks."""

import time

import numpy as np
import pytest

from lthbench.functional import compositions, dissection
from lthbench.kinds import Annotated

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(timer=time.process_time)]

SIZE = 56


def setting(images, units, concepts):
    """A bank of rectangles, each of one of many concepts, and units of smooth noise."""
    draw = np.random.Generator(np.random.PCG64(0))
    layers = np.zeros((images, 2, SIZE, SIZE), dtype=np.int16)
    for k in range(images):
        for layer in range(2):
            for _ in range(4):
                y, x = draw.integers(0, SIZE - 12, 2)
                layers[k, layer, y : y + 12, x : x + 12] = draw.integers(1, concepts + 1)
    names = tuple(f"c{k}" for k in range(concepts))
    bank = Annotated(np.zeros((images, 3, SIZE, SIZE), dtype=np.uint8), layers, names, ("object",) * concepts)
    return bank, draw.random((images, units, 7, 7)).astype(np.float32)


def masks(bank, activations):
    """Where units and concepts are on, as booleans."""
    units = np.stack(
        [on for _, on in dissection.active(activations, dissection.thresholds(activations), SIZE)], 1
    )
    labels = np.stack([(bank.layers == k + 1).any(1) for k in range(len(bank.names))])
    return units, labels


@pytest.fixture(scope="module")
def dissected():
    bank, activations = setting(400, 64, 300)
    return bank, activations, dissection.tally(activations, bank).iou()


@pytest.mark.benchmark(group="dissection, 64 units x 300 concepts, 400 images")
def test_dissection_by_looking_up(benchmark, dissected):
    bank, activations, iou = dissected
    found = benchmark(lambda: dissection.tally(activations, bank).iou())
    np.testing.assert_array_equal(found, iou)


@pytest.mark.benchmark(group="dissection, 64 units x 300 concepts, 400 images")
def test_dissection_by_unit_and_concept(benchmark, dissected):
    bank, activations, iou = dissected
    units, labels = masks(bank, activations)

    def each():
        return np.array([[(u & c).sum() / max((u | c).sum(), 1) for c in labels] for u in units])

    np.testing.assert_allclose(benchmark.pedantic(each, rounds=1), iou)


@pytest.fixture(scope="module")
def composed():
    bank, activations = setting(300, 6, 60)
    packed = compositions.Packed(activations, bank)
    return packed, *masks(bank, activations)


@pytest.mark.benchmark(group="compositions of 6 units, 60 concepts, 300 images")
def test_search_over_bits(benchmark, composed):
    packed, units, _ = composed
    found = benchmark(lambda: [compositions.search(packed, u)[3].iou for u in range(len(units))])
    assert len(found) == 6


@pytest.mark.benchmark(group="compositions of 6 units, 60 concepts, 300 images")
def test_search_over_booleans(benchmark, composed):
    packed, units, labels = composed

    def iou(formula, unit):
        return (formula & unit).sum() / max((formula | unit).sum(), 1)

    def search(unit):
        alone = [iou(label, unit) for label in labels]
        order = np.argsort([-a for a in alone], kind="stable")[: compositions.CANDIDATES]
        leaves = [labels[k] for k in order]
        beam = [(alone[k], labels[k]) for k in order[: compositions.BEAM]]
        for _ in range(2):
            longer = []
            for _, formula in beam:
                for leaf in leaves:
                    for joined in (formula | leaf, formula & leaf, formula & ~leaf):
                        longer.append((iou(joined, unit), joined))
            beam = sorted([*longer, *beam], key=lambda one: -one[0])[: compositions.BEAM]
        return beam[0][0]

    found = benchmark.pedantic(lambda: [search(unit) for unit in units], rounds=1)
    assert found[0] == pytest.approx(compositions.search(packed, 0)[3].iou, abs=1e-3)
