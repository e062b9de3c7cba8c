"""The test behind the headline rule: against SciPy's, by simulation, and on real resamples of images."""

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from lthbench import scoring
from lthbench.verdict.noninferiority import (
    ALPHA,
    Difference,
    difference,
    hommel,
    moderated,
    shared_part,
)

MARGIN = 0.01


def test_with_all_images_there_are_it_is_the_t_test_over_seeds():
    gaps = [0.004, -0.001, 0.006, 0.002]
    found = difference(gaps, 0.0)
    oracle = stats.ttest_1samp(gaps, MARGIN, alternative="less")
    assert found.p_value(MARGIN) == pytest.approx(oracle.pvalue, rel=1e-12)
    high = oracle.confidence_interval(0.95).high
    assert found.bound() == pytest.approx(high, rel=1e-12)


def test_where_seeds_do_not_differ_it_is_the_normal_test_over_images():
    found = difference([2**-8] * 3, 0.002)
    assert found.freedom == math.inf
    assert found.p_value(MARGIN) == pytest.approx(stats.norm.sf((MARGIN - 2**-8) / 0.002), rel=1e-9)
    assert found.bound() == pytest.approx(2**-8 + stats.norm.isf(0.05) * 0.002, rel=1e-9)


def test_degrees_of_freedom_are_satterthwaites():
    """Parts of 3e-6 with 2 degrees of freedom and 1e-6 with none to lose: (4e-6)^2 / ((3e-6)^2 / 2)."""
    assert Difference(0.0, 9e-6, 1e-6, 3).freedom == pytest.approx(2 * (4 / 3) ** 2)


@pytest.mark.parametrize(("mean", "p"), [(0.0099, 0.0), (0.01, 1.0), (0.0101, 1.0)])
def test_without_any_spread_the_mean_decides(mean, p):
    assert difference([mean, mean], 0.0).p_value(MARGIN) == p


def test_the_bound_is_at_the_margin_where_the_p_value_is_at_alpha():
    found = difference([0.001, 0.004, -0.002], 0.0015)
    assert found.p_value(found.bound()) == pytest.approx(ALPHA, rel=1e-9)


def test_hommel_by_hand():
    """Of two the larger decides if it is enough, else the smaller must be half as large (Simes)."""
    assert hommel([0.03, 0.04]) == pytest.approx([0.04, 0.04])
    assert hommel([0.02, 0.9]) == pytest.approx([0.04, 0.9])
    assert hommel([0.03]) == [0.03]
    assert hommel([]) == []


@pytest.mark.parametrize("seed", range(20))
def test_hommel_is_that_of_statsmodels_and_never_beyond_holm(seed):
    draw = np.random.default_rng(seed)
    p_values = [*(draw.uniform(0, 1, draw.integers(1, 12)) ** 3), 0.02, 0.02, 1.0]
    found = hommel(p_values)
    assert found == pytest.approx(list(multipletests(p_values, method="hommel")[1]), rel=1e-12)
    assert (np.array(found) <= multipletests(p_values, method="holm")[1] + 1e-12).all()


def simulated(seeds, seed_part, own_part, shared_part, truth, trials=4000):
    """How often it passes: the true difference, and the deviations of seeds, of the images by themselves in
    each seed, and of those in all seeds alike; the error over images is known to a bootstrap's accuracy."""
    rng = np.random.default_rng(seeds)
    passed = 0
    for _ in range(trials):
        gaps = truth + rng.normal(0, seed_part, seeds) + rng.normal(0, own_part, seeds)
        gaps += rng.normal(0, shared_part)
        known = math.sqrt(shared_part**2 + own_part**2 / seeds)
        error = known * math.sqrt(rng.chisquare(scoring.RESAMPLES - 1) / (scoring.RESAMPLES - 1))
        passed += difference(list(gaps), error).p_value(MARGIN) <= ALPHA
    return passed / trials


@pytest.mark.parametrize("seeds", [2, 3, 5])
@pytest.mark.parametrize(
    "parts",
    [(0.004, 0.0, 0.0), (0.0, 0.004, 0.0), (0.0, 0.0, 0.004), (0.003, 0.003, 0.003), (0.001, 0.002, 0.004)],
)
def test_a_network_at_the_margin_passes_in_at_most_five_per_cent_of_cases(seeds, parts):
    noise = 3 * math.sqrt(ALPHA * (1 - ALPHA) / 4000)
    by_seed, own, shared = parts
    assert simulated(seeds, by_seed, own, shared, MARGIN) <= ALPHA + noise


def test_a_plain_bootstrap_over_three_seeds_would_pass_far_too_many():
    """Why it is a t bound: the 95 % quantile of means of resampled seeds is below the margin too often."""
    rng = np.random.default_rng(0)
    choices = np.array(np.meshgrid([0, 1, 2], [0, 1, 2], [0, 1, 2])).reshape(3, -1)
    gaps = rng.normal(MARGIN, 0.004, (4000, 3))
    means = gaps[:, choices].mean(1)
    assert (np.quantile(means, 0.95, axis=1) < MARGIN).mean() > 0.1


@pytest.mark.parametrize(("share", "power"), [(0.3, 0.96), (0.5, 0.71), (0.7, 0.50), (1.0, 0.32)])
def test_power_of_three_seeds_where_nothing_was_lost(share, power):
    """The deviation of the seeds as a share of the margin; by the noncentral t distribution, and simulated.

    These are the numbers that the documentation gives.
    """
    nc = 1 / (share / math.sqrt(3))
    exact = stats.nct.sf(stats.t.isf(ALPHA, 2), 2, nc)
    assert exact == pytest.approx(power, abs=0.01)
    assert simulated(3, share * MARGIN, 0.0, 0.0, truth=0.0) == pytest.approx(exact, abs=0.025)


def test_as_many_seeds_are_needed_as_then_suffice():
    few = difference([0.001, 0.009, 0.002], 0.001)
    needed = few.seeds_needed(MARGIN)
    assert needed > 3
    assert Difference(few.mean, few.between, few.shared, needed).p_value(MARGIN) <= ALPHA
    assert Difference(few.mean, few.between, few.shared, needed - 1).p_value(MARGIN) > ALPHA


def test_no_number_of_seeds_helps_where_the_mean_is_beyond_the_margin_or_images_are_too_few():
    assert difference([0.02, 0.021], 0.001).seeds_needed(MARGIN) is None
    assert difference([0.001, 0.0011], 0.02).seeds_needed(MARGIN) is None


def test_common_resamples_give_the_error_of_a_paired_difference():
    """Closed form: two networks' hits on the same images; the error of the mean of their differences."""
    rng = np.random.default_rng(1)
    hard = rng.random(2000)
    first, second = ((rng.random(2000) > 0.5 * hard).astype(float) for _ in range(2))
    a, b = (scoring.mean_value("accuracy", x) for x in (first, second))
    expected = (first - second).std(ddof=1) / math.sqrt(2000)
    assert np.std(a.draws - b.draws, ddof=1) == pytest.approx(expected, rel=0.15)
    unpaired = math.hypot(a.se, b.se)
    close = scoring.mean_value("accuracy", np.where(np.arange(2000) < 20, 1 - first, first))
    assert np.std(a.draws - close.draws, ddof=1) < 0.3 * unpaired


def test_better_and_worse_are_the_two_sides_of_zero():
    found = difference([0.004, 0.001, 0.006], 0.001)
    assert found.p_value(0.0) + found.p_above(0.0) == pytest.approx(1.0)
    assert found.p_above(found.lower()) == pytest.approx(ALPHA, rel=1e-9)
    assert found.mean - found.lower() == pytest.approx(found.bound() - found.mean)


def test_freedom_of_several_parts_is_that_of_welch():
    """Two samples with variances of their own: the test of Welch 1947, as SciPy does it."""
    ours, theirs = [0.97, 0.99, 0.98, 0.96], [0.975, 0.985, 0.98, 0.99, 0.97, 0.995, 0.982]
    found = Difference(
        float(np.mean(theirs) - np.mean(ours)),
        float(np.var(ours, ddof=1)),
        0.0,
        len(ours),
        reference=float(np.var(theirs, ddof=1)) / len(theirs),
        reference_freedom=len(theirs) - 1,
    )
    oracle = stats.ttest_ind(theirs, ours, equal_var=False, alternative="greater")
    assert found.freedom == pytest.approx(oracle.df, rel=1e-12)
    assert found.p_above(0.0) == pytest.approx(oracle.pvalue, rel=1e-9)


def test_a_moderated_variance_by_hand():
    """(4 * 2 + 2 * 5) / 6 = 3."""
    assert moderated(5.0, 2, 2.0, 4.0) == pytest.approx(3.0)
    assert moderated(5.0, 2, 2.0, 0.0) == 5.0


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_where_variances_scatter_as_the_prior_says_a_moderated_test_has_its_level(seeds):
    """Smyth 2004: variances are drawn from a scaled inverse chi-square distribution with 4 degrees."""
    rng = np.random.default_rng(seeds)
    trials, prior, expected = 40_000, 4.0, 1.25
    true = prior * expected / rng.chisquare(prior, trials)
    gaps = MARGIN + rng.standard_normal((trials, seeds)) * np.sqrt(true)[:, None] * 0.01
    between = (prior * expected * 1e-4 + (seeds - 1) * gaps.var(1, ddof=1)) / (prior + seeds - 1)
    steps = (gaps.mean(1) - MARGIN) / np.sqrt(between / seeds)
    assert (stats.t.cdf(steps, prior + seeds - 1) <= ALPHA).mean() == pytest.approx(ALPHA, abs=0.004)
    found = Difference(gaps[0].mean(), between[0], 0.0, seeds, prior)
    assert found.p_value(MARGIN) == pytest.approx(stats.t.cdf(steps[0], prior + seeds - 1), rel=1e-9)


def test_what_seeds_share_over_images_is_the_covariance_of_their_differences():
    rng = np.random.default_rng(3)
    common = rng.standard_normal(200_000) * 0.003
    draws = common + rng.standard_normal((4, 200_000)) * 0.005
    own, of_mean = draws.std(1, ddof=1), draws.mean(0).std(ddof=1)
    covariance = np.cov(draws)
    expected = (covariance.sum() - np.trace(covariance)) / 12
    assert shared_part(list(own), of_mean) == pytest.approx(expected, rel=1e-6)
    assert math.sqrt(shared_part(list(own), of_mean)) == pytest.approx(0.003, rel=0.02)
    assert shared_part([0.004] * 4, 0.002) == 0.0, "nothing in common"
    assert shared_part([0.004], 0.004) == pytest.approx(0.004**2), "one seed has no other"
