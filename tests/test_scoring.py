"""What metrics share, against SciPy, scikit-learn, torchmetrics, and arrays checked by eye."""

import statistics

import numpy as np
import pytest
import torch
from scipy.special import log_softmax as scipy_log_softmax
from sklearn.metrics import average_precision_score, roc_auc_score
from torchmetrics.classification import MulticlassCalibrationError

from lthbench import scoring


def random_logits(n=400, classes=7, scale=3.0, seed=0):
    """Logits, and labels drawn by their probabilities: bins fall short and exceed in turn, by chance."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (n, classes)).astype(np.float32)
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


# ------------------------------------------------------------------------------------------ probabilities


def test_log_softmax_is_that_of_scipy_in_float64():
    logits, _ = random_logits()
    found = scoring.log_softmax(logits)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, scipy_log_softmax(logits.astype(np.float64), -1), rtol=1e-13)


@pytest.mark.parametrize("gap", [1e2, 1e4, 1e30])
def test_log_softmax_is_finite_however_far_apart_the_logits_are(gap):
    found = scoring.log_softmax(np.array([[gap, 0.0]], np.float32))
    assert found.tolist() == [[0.0, -float(np.float32(gap))]]


def test_log_confidence_is_the_largest_log_softmax():
    logits, _ = random_logits()
    expected = scipy_log_softmax(logits.astype(np.float64), -1).max(-1)
    np.testing.assert_allclose(scoring.log_confidence(logits), expected, rtol=1e-12)


def test_log_confidence_tells_apart_networks_whose_probability_rounds_to_one():
    """At a gap of 50 the probability is 1 - 2e-22, which float64 cannot hold; its log is -exp(-50)."""
    found = scoring.log_confidence(np.array([[50.0, 0.0], [60.0, 0.0], [0.0, 60.0]], np.float32))
    np.testing.assert_allclose(found, [-np.exp(-50.0), -np.exp(-60.0), -np.exp(-60.0)], rtol=1e-12)
    assert found[0] < found[1]


def test_log_confidence_of_equal_logits_is_that_of_a_uniform_guess():
    np.testing.assert_allclose(scoring.log_confidence(np.zeros((2, 5))), np.log([0.2, 0.2]))


def test_hits_take_the_first_of_equal_logits():
    logits = np.array([[1, 1, 0], [1, 1, 0], [0, 2, 1]], np.float32)
    assert scoring.hits(logits, np.array([0, 1, 1])).tolist() == [1.0, 0.0, 1.0]


def test_hits_keep_a_leading_axis_of_strengths():
    logits = np.array([[[2, 1], [1, 2]], [[1, 2], [1, 2]]], np.float32)
    assert scoring.hits(logits, np.array([0, 1])).tolist() == [[1.0, 1.0], [0.0, 1.0]]


# -------------------------------------------------------------------------------------- errors of a mean


def test_the_error_of_a_mean_is_the_sample_deviation_over_the_root_of_n():
    values = [0.0, 1.0, 1.0, 1.0, 5.0]
    mean, error = scoring.mean_and_error(np.array(values))
    assert mean == statistics.fmean(values)
    assert error == pytest.approx(statistics.stdev(values) / 5**0.5, rel=1e-14)


def test_the_error_of_a_single_value_is_unknown():
    mean, error = scoring.mean_and_error(np.array([0.25]))
    assert mean == 0.25
    assert np.isnan(error)


def test_each_resample_draws_n_images():
    counts = scoring.resamples(37)
    assert counts.shape == (scoring.RESAMPLES, 37)
    assert (counts.sum(1) == 37).all()
    assert counts.max() > 1
    assert len(np.unique(counts, axis=0)) == scoring.RESAMPLES


def test_resamples_are_the_same_when_drawn_again():
    first = scoring.resamples(41).copy()
    scoring.resamples.cache_clear()
    np.testing.assert_array_equal(scoring.resamples(41), first)


def test_resamples_cannot_be_changed_for_others():
    with pytest.raises(ValueError, match="read-only"):
        scoring.resamples(37)[0, 0] += 1.0


def test_the_bootstrap_error_of_a_mean_is_near_the_analytic_one():
    values = np.random.default_rng(1).exponential(size=500)
    _, analytic = scoring.mean_and_error(values)
    bootstrap = (scoring.resamples(500) @ values / 500).std(ddof=1)
    assert bootstrap == pytest.approx(analytic, rel=0.15)


# ------------------------------------------------------------------------------------------- calibration


def test_bins_hold_their_upper_edge_and_the_first_holds_zero():
    confidence = np.array([0.0, 0.05, 0.25, 0.2500001, 0.5, 0.75, 0.99, 1.0])
    assert scoring.calibration_bins(confidence, 4).tolist() == [0, 0, 0, 1, 1, 2, 3, 3]


def test_fifteen_bins_are_fifteen():
    middles = (np.arange(15) + 0.5) / 15
    assert scoring.calibration_bins(middles, 15).tolist() == list(range(15))


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_is_that_of_torchmetrics(seed):
    logits, labels = random_logits(600, seed=seed)
    probabilities = torch.from_numpy(logits).double().softmax(1)
    oracle = MulticlassCalibrationError(num_classes=7, n_bins=15, norm="l1")(
        probabilities, torch.from_numpy(labels)
    )
    found, _ = scoring.expected_calibration_error(
        probabilities.amax(1).numpy(), scoring.hits(logits, labels), 15
    )
    assert found == pytest.approx(float(oracle), abs=1e-6)
    fourteen, _ = scoring.expected_calibration_error(
        probabilities.amax(1).numpy(), scoring.hits(logits, labels), 14
    )
    assert abs(fourteen - float(oracle)) > 1e-4, "the case does not tell 15 bins from 14"


def test_calibration_error_of_a_case_by_hand():
    """Two bins: (0.4, 0.5: none right) is off by 0.9, (0.8, 1.0: one right) by 0.8; 1.7 over 4 images."""
    confidence = np.array([0.4, 0.5, 0.8, 1.0])
    value, _ = scoring.expected_calibration_error(confidence, np.array([0.0, 0.0, 1.0, 0.0]), 2)
    assert value == pytest.approx(1.7 / 4, rel=1e-14)


def test_calibration_error_may_cancel_within_a_bin_but_not_between_bins():
    apart, _ = scoring.expected_calibration_error(np.array([0.25, 0.75]), np.array([1.0, 0.0]), 2)
    together, _ = scoring.expected_calibration_error(np.array([0.25, 0.75]), np.array([1.0, 0.0]), 1)
    assert (apart, together) == (0.75, 0.0)


def test_the_error_of_a_calibration_error_in_one_bin_is_that_of_a_mean():
    """With one bin and everything overconfident, the ECE is the mean excess, whose error is known."""
    rng = np.random.default_rng(2)
    confidence, correct = rng.uniform(0.7, 1.0, 800), (rng.random(800) < 0.3).astype(float)
    value, error = scoring.expected_calibration_error(confidence, correct, 1)
    mean, analytic = scoring.mean_and_error(confidence - correct)
    assert value == pytest.approx(mean, rel=1e-12)
    assert error == pytest.approx(analytic, rel=0.15)


# ------------------------------------------------------------------------------------------------ draws


def test_draws_of_a_mean_over_defined_values_are_means_of_resampled_images():
    values = np.random.default_rng(0).random(40)
    values[::4] = np.nan
    found = scoring.defined_value("s", values, "none")
    assert (found.value, found.n) == (pytest.approx(np.nanmean(values)), 30)
    for r in (0, 7, 199):
        chosen = np.repeat(values, scoring.resamples(40)[r].astype(int))
        assert found.draws[r] == pytest.approx(np.nanmean(chosen))


def test_draws_of_sets_with_images_of_their_own_do_not_go_together():
    own = scoring.resamples(50) @ np.random.default_rng(0).random(50)
    apart = scoring.resampled_apart(np.stack([own, own], 1))
    assert sorted(apart[:, 1]) == sorted(own)
    assert abs(np.corrcoef(apart.T)[0, 1]) < 0.3


def test_batches_of_one_image_have_the_error_of_a_mean():
    values = np.random.default_rng(0).gamma(2.0, size=60)
    found, plain = (
        f("s", values, *of) for f, of in ((scoring.batched_value, (1,)), (scoring.mean_value, ()))
    )
    assert (found.value, found.se, found.n) == (plain.value, pytest.approx(plain.se), plain.n)
    assert found.draws - found.value == pytest.approx((plain.draws - plain.value) * (60 / 59) ** 0.5)


def test_images_that_err_together_count_once():
    """Batches of equal values, as Liang and Zeger have it: the error is that of as many values."""
    of = np.random.default_rng(1).normal(3.0, size=20)
    found = scoring.batched_value("s", np.repeat(of, 16), 16)
    assert (found.value, found.se) == (pytest.approx(of.mean()), pytest.approx(scoring.mean_and_error(of)[1]))


def test_draws_of_an_area_with_ties_are_areas_of_resampled_images():
    random = np.random.default_rng(0)
    positive, negative = random.integers(1, 4, 60).astype(float), random.integers(0, 3, 40).astype(float)
    found = scoring.resampled_auc(positive, negative)
    for r in (0, 7, 199):
        counts = scoring.resamples(60)[r], scoring.resamples(40)[r - 1]
        parts = [np.repeat(x, c.astype(int)) for x, c in zip((positive, negative), counts, strict=True)]
        assert found[r] == pytest.approx(scoring.roc_auc(*parts)[0], abs=1e-12)


# ---------------------------------------------------------------------------------- area under the curve


def scores(kind, seed=0):
    rng = np.random.default_rng(seed)
    positive, negative = rng.normal(0.7, 1.0, 150), rng.normal(0.0, 1.3, 90)
    if kind == "ties":
        positive, negative = np.round(positive), np.round(negative)
    if kind == "confidences":
        positive, negative = -np.exp(-10 * abs(positive)), -np.exp(-10 * abs(negative))
    return positive, negative


@pytest.mark.parametrize("kind", ["plain", "ties", "confidences"])
def test_area_is_that_of_scikit_learn(kind):
    positive, negative = scores(kind)
    truth = np.r_[np.ones(len(positive)), np.zeros(len(negative))]
    area, _ = scoring.roc_auc(positive, negative)
    assert area == pytest.approx(roc_auc_score(truth, np.r_[positive, negative]), abs=1e-13)


@pytest.mark.parametrize("kind", ["plain", "ties"])
def test_the_error_of_the_area_is_that_of_delong_from_all_pairs(kind):
    """S10 / m + S01 / n, with the placements from the table of all pairs rather than from ranks."""
    positive, negative = scores(kind)
    pairs = np.sign(positive[:, None] - negative[None, :]) / 2 + 0.5
    over_positives = statistics.variance(pairs.mean(1).tolist()) / len(positive)
    over_negatives = statistics.variance(pairs.mean(0).tolist()) / len(negative)
    _, error = scoring.roc_auc(positive, negative)
    assert error == pytest.approx((over_positives + over_negatives) ** 0.5, rel=1e-12)


def test_the_error_of_the_area_is_near_that_of_a_bootstrap():
    positive, negative = scores("plain", seed=3)
    rng = np.random.default_rng(4)
    areas = [
        scoring.roc_auc(rng.choice(positive, len(positive)), rng.choice(negative, len(negative)))[0]
        for _ in range(500)
    ]
    assert scoring.roc_auc(positive, negative)[1] == pytest.approx(np.std(areas, ddof=1), rel=0.15)


@pytest.mark.parametrize("others", [400, 380])
def test_sets_in_the_same_order_of_groups_are_resampled_apart(others):
    """Against the error of DeLong, and that of drawing both kinds anew."""
    rng, group = np.random.default_rng(0), np.repeat(np.arange(10), 40)
    levels = rng.normal(size=10) * 1.5
    positive, negative = levels[group] + rng.normal(size=400), levels[group] + rng.normal(size=400) - 1.0
    negative = negative[:others]
    _, error = scoring.roc_auc(positive, negative)
    assert scoring.resampled_auc(positive, negative).std(ddof=1) == pytest.approx(error, rel=0.15)
    truth = np.r_[np.ones(400), np.zeros(others)]
    drawn = [np.r_[rng.choice(positive, 400), rng.choice(negative, others)] for _ in range(150)]
    spread = np.std([average_precision_score(truth, both) for both in drawn], ddof=1)
    assert scoring.average_precision(positive, negative)[1] == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize(
    ("positive", "negative", "area"),
    [([3.0, 4.0], [1.0, 2.0], 1.0), ([1.0, 2.0], [3.0, 4.0], 0.0), ([1.0, 1.0], [1.0, 1.0], 0.5)],
)
def test_area_of_separate_and_of_equal_scores(positive, negative, area):
    assert scoring.roc_auc(np.array(positive), np.array(negative)) == (area, 0.0)


def test_area_of_a_case_by_hand():
    """Pairs won: 2 > 1; 3 > 1, 3 > 2; and 2 = 2 half: 3.5 of 4."""
    assert scoring.roc_auc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))[0] == 3.5 / 4
