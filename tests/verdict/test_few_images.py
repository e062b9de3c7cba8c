"""The level of a share of the images, where few are lost, and some of them by all seeds."""

import numpy as np
import pytest

from lthbench.verdict.noninferiority import (
    ALPHA,
    Difference,
    least_common,
    moderated,
    shared_part,
    spread,
)

#: The digits' task: test images, dense error, margin, and dense trainings of its calibration.
IMAGES, ERROR, MARGIN, TRAININGS = 540, 0.01, 0.01, 60


def drawn(seeds, alike, lost, rng):
    """Hits and misses on fresh images: errors of dense trainings, of parents, and of pruned networks.

    Images differ in how hard they are. Pruned networks lose the share ``lost`` of them besides; ``alike`` of
    these are lost by all seeds.
    """
    hard = rng.beta(0.05, 0.05 * (1 - ERROR) / ERROR, IMAGES)
    dense = rng.random((TRAININGS, IMAGES)) < hard
    parents, pruned = rng.random((2, seeds, IMAGES)) < hard
    share = lost / (1 - ERROR)
    pruned |= rng.random(IMAGES) < share * alike
    pruned |= rng.random((seeds, IMAGES)) < share * (1 - alike) / (1 - share * alike)
    return dense.mean(1), parents, pruned


def p_values(seeds, alike, lost, least, trials=1500):
    """Of being worse by the margin, each on images of its own."""
    rng = np.random.default_rng([seeds, int(100 * alike), int(1000 * lost)])
    found = []
    for _ in range(trials):
        dense, parents, pruned = drawn(seeds, alike, lost, rng)
        change = pruned.astype(float) - parents
        own = np.sqrt(change.var(1) / IMAGES)
        shared = shared_part(own, float(np.sqrt(change.mean(0).var() / IMAGES)), least)
        mean, between = spread(pruned.mean(1))
        center, variance = spread(dense)
        between = moderated(between, seeds - 1, 1.25 * variance, 4.0)
        found.append(
            Difference(mean - center, between, shared, seeds, 4.0, variance / TRAININGS, TRAININGS - 1)
        )
    return np.array([f.p_value(MARGIN) for f in found])


@pytest.mark.parametrize("seeds", [5, 10])
def test_the_level_holds_where_seeds_lose_few_images_alike(seeds):
    """A fifth of what is lost by all: what the published tables of the digits have near the margin."""
    without, level = (
        (p_values(seeds, 0.2, MARGIN, s) <= ALPHA).mean() for s in (0.0, least_common("accuracy"))
    )
    assert without > 0.07, "nothing to mend"
    assert level <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / 1500)


def test_what_is_as_good_as_dense_still_matches():
    assert (p_values(5, 0.2, 0.0, least_common("accuracy"), trials=400) <= ALPHA).mean() > 0.97


def test_only_shares_of_the_images_have_a_least_common_part():
    assert least_common("fgsm_accuracy") == least_common("accuracy") > 0.0
    assert least_common("nll") == 0.0
    assert shared_part([0.004] * 4, 0.002, 0.1) == pytest.approx(0.1 * 0.004**2)
    assert shared_part([0.004] * 4, 0.003, 0.1) == pytest.approx(shared_part([0.004] * 4, 0.003))


@pytest.mark.parametrize("near", [True, False])
def test_the_level_holds_for_a_single_network_near_its_parent_or_apart(near):
    """Of 4,000 images. Beside dense trainings it varies with the images as its parent does, and by itself."""
    rng, images, trials, found = np.random.default_rng(7), 4000, 800, []
    for _ in range(trials):
        hard = rng.beta(0.05, 0.05 * (1 - ERROR) / ERROR, images)
        parent, other = rng.random((2, images)) < hard
        pruned = (parent if near else other) | (rng.random(images) < MARGIN / (1 - ERROR))
        own = (pruned.astype(float) - parent).var() / images
        apart = (other.astype(float) - (rng.random(images) < hard)).var() / images
        mean = pruned.mean() - hard.mean()
        errors = max(own, apart / 2), own + apart / 2
        found.append([Difference(mean, 0.0, v, 1).p_value(MARGIN) for v in errors])
    greater, both = (np.array(found) <= ALPHA).mean(0)
    assert both <= ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / trials)
    assert not near or greater > 0.08, "the greater of the two is too little for a network near its parent"
