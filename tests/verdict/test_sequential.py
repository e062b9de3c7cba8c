"""Levels of looks: published boundaries, the multivariate normal, and how often what is true is rejected."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from lthbench.verdict import sequential
from lthbench.verdict.noninferiority import Difference
from lthbench.verdict.sequential import chances, levels, over_looks, predicted


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
        inside = multivariate_normal(np.zeros(count), correlation, seed=0, abseps=1e-5).cdf(bars[:count])
        share = looks[count - 1] / looks[-1]
        assert 1 - inside == pytest.approx(level * math.log(1 + (math.e - 1) * share), abs=5e-5)


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


def test_one_p_value_is_below_a_level_where_a_look_rejects_at_it():
    looks = (3, 5, 7, 10)
    for level in (0.05, 0.01, 0.3, 1e-6):
        for look, bar in enumerate(levels(looks, level)):
            path = [0.9] * look + [bar]
            assert over_looks(path, looks) == pytest.approx(level, rel=0.01)
            assert over_looks([*path, 0.9][:4], looks) == over_looks(path, looks)
    assert over_looks([], looks) == over_looks([1.0, math.nan], looks) == 1.0
    assert over_looks([0.3], (5,)) == 0.3
    assert over_looks([0.0], looks) == 0.0


def test_at_five_percent_it_rejects_just_where_the_looks_do():
    looks = (3, 5, 7, 10)
    for look, bar in enumerate(levels(looks, 0.05)):
        path = [1.0] * look
        assert over_looks([*path, bar * (1 - 1e-9)], looks) <= 0.05 < over_looks([*path, bar * 1.0001], looks)


def test_it_is_a_p_value():
    """Uniform or larger where the hypothesis is true, whatever number of looks is taken."""
    looks, draws = (3, 5, 7, 10), 4000
    seeds = np.random.default_rng(1).standard_normal((draws, 10))
    paths = [norm.cdf(seeds[:, :n].mean(1) * math.sqrt(n)) for n in looks]
    found = np.array([over_looks(path, looks) for path in np.transpose(paths)])
    for level in (0.01, 0.05, 0.2):
        assert (found <= level).mean() == pytest.approx(level, abs=3.5 * math.sqrt(level / draws))


def test_what_is_predicted_is_what_more_seeds_give():
    """From three seeds to ten, where nothing is known of the true mean beforehand."""
    random, now, then = np.random.default_rng(0), 1 / 3, 1 / 10
    truth = 0.4 + math.sqrt(now) * random.standard_normal(
        400_000
    )  # flat prior: around the mean that was seen
    later = 0.3 * 0.4 + 0.7 * (truth + random.standard_normal(len(truth)) / math.sqrt(7))
    assert predicted(0.4, now, then, 0.1) == pytest.approx((later < 0.1).mean(), abs=0.003)
    assert (predicted(0.4, then, then, 0.5), predicted(0.4, then, then, 0.3)) == (1.0, 0.0)


@pytest.mark.parametrize("mean", [0.0, 0.1, 0.3])
def test_the_chances_of_holding_and_of_being_worse_are_those_of_the_last_look(mean):
    found, counts, margin = Difference(mean, 0.04, 0.001, 3), (3, 10), 0.2
    last = replace(found, seeds=10)
    reach, left = last.reach(levels(counts, 0.05)[-1]), math.sqrt(found.variance - last.variance)
    expected = norm.cdf((margin - reach - mean) / left), norm.cdf((mean - reach) / left)
    assert chances(found, margin, counts) == pytest.approx(expected)
