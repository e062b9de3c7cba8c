"""Levels of looks: published boundaries, the multivariate normal, and how often what is true is rejected."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from lthbench.verdict import sequential
from lthbench.verdict.sequential import first_below, levels, predicted


@pytest.fixture(autouse=True)
def _fresh():
    """No boundary of another spending function stays."""
    levels.cache_clear()
    yield
    levels.cache_clear()


@pytest.mark.parametrize(
    ("spent", "published"),
    [
        # Lan & DeMets 1983, five equal looks at one-sided 2.5 %: as the program ldbounds gives them.
        (lambda t, a: a * math.log(1 + (math.e - 1) * t), (2.4380, 2.4268, 2.4102, 2.3966, 2.3860)),
        (lambda t, a: 2 * norm.sf(norm.isf(a / 2) / math.sqrt(t)), (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
    ],
)
def test_boundaries_are_those_published(monkeypatch, spent, published):
    monkeypatch.setattr(sequential, "spent", spent)
    np.testing.assert_allclose(norm.isf(levels((1, 2, 3, 4, 5), 0.025)), published, atol=2e-4)


@pytest.mark.parametrize("looks", [(3,), (3, 5), (3, 5, 7, 10), (2, 3, 20)])
@pytest.mark.parametrize("level", [0.05, 0.005])
def test_all_looks_together_spend_the_level(looks, level):
    """By the multivariate normal distribution of the looks' statistics."""
    bars = norm.isf(levels(looks, level))
    for count in range(1, len(looks) + 1):
        seeds = np.array(looks[:count], float)
        correlation = np.sqrt(np.minimum.outer(seeds, seeds) / np.maximum.outer(seeds, seeds))
        inside = multivariate_normal(np.zeros(count), correlation).cdf(bars[:count])
        assert 1 - inside == pytest.approx(level * looks[count - 1] / looks[-1], rel=2e-3)


def test_one_look_has_the_whole_level():
    assert levels((7,), 0.05) == (0.05,)


def test_what_looks_have_in_common_makes_false_rejections_rarer():
    """The calibration's mean and the images are the same at all looks."""
    looks, draws = (3, 5, 7, 10), 200_000
    random = np.random.default_rng(0)
    seeds = random.standard_normal((draws, 10))
    common = random.standard_normal(draws) * math.sqrt(1 / 40 + 0.05)
    bars = levels(looks, 0.05)
    rates = []
    for shared in (0.0, 1.0):
        rejected = np.zeros(draws, bool)
        for bar, count in zip(bars, looks, strict=True):
            error = math.sqrt(1 / count + shared * (1 / 40 + 0.05))
            rejected |= norm.cdf((seeds[:, :count].mean(1) + shared * common) / error) <= bar
        rates.append(rejected.mean())
    assert rates[0] == pytest.approx(0.05, abs=0.0015)
    assert 0.03 < rates[1] < rates[0]


def test_the_first_look_that_rejects_is_found():
    looks = (3, 5, 7, 10)
    bars = levels(looks, 0.05)
    assert first_below([0.5, bars[1], 0.0], looks, 0.05) == 1
    assert first_below([0.04, 0.04], looks, 0.05) is None
    assert first_below([], looks, 0.05) is None


def test_what_is_predicted_is_what_more_seeds_give():
    """From three seeds to ten, where nothing is known of the true mean beforehand."""
    random, now, then = np.random.default_rng(0), 1 / 3, 1 / 10
    truth = 0.4 + math.sqrt(now) * random.standard_normal(
        400_000
    )  # flat prior: around the mean that was seen
    later = 0.3 * 0.4 + 0.7 * (truth + random.standard_normal(len(truth)) / math.sqrt(7))
    assert predicted(0.4, now, then, 0.1) == pytest.approx((later < 0.1).mean(), abs=0.003)
    assert (predicted(0.4, then, then, 0.5), predicted(0.4, then, then, 0.3)) == (1.0, 0.0)
