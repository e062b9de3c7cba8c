"""Calibration, temperature, shift and detection against scikit-learn, torchmetrics and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.special import softmax as probabilities
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from torchmetrics.classification import MulticlassCalibrationError

from lthbench import registry, scoring
from lthbench.kinds import Logits, Metric


class Given:
    """A context that holds logits by name."""

    def __init__(self, **sets):
        self.held = {
            k.replace("__", "/"): Logits(np.array(v, np.float32), np.array(y, np.int64), {})
            for k, (v, y) in sets.items()
        }

    def logits(self, name):
        """Those of this name."""
        return self.held[name]

    def sets(self, prefix):
        """Those under the prefix."""
        return {n.rpartition("/")[2]: v for n, v in self.held.items() if n.split("/")[0] == prefix}


def measure(metric, context):
    return {(v.score, v.variant): v for v in registry.get(Metric, metric).measure(context)}


def sample(n=600, classes=5, seed=0, scale=2.5):
    """Logits, and labels drawn by their probabilities: calibrated by construction."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (n, classes)).astype(np.float32)
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


# ---------------------------------------------------------------------------------------- calibration


def test_adaptive_bins_hold_equally_many_images():
    confidence = np.random.default_rng(0).random(101)
    member = scoring.equal_mass_bins(confidence, 15)
    sizes = np.bincount(member, minlength=15)
    assert sizes.max() - sizes.min() <= 1
    assert all(confidence[member == b].max() <= confidence[member == b + 1].min() for b in range(14))


def test_adaptive_ece_is_the_plain_formula_over_quantile_bins():
    logits, labels = sample()
    p = torch.from_numpy(logits).double().softmax(1).numpy()
    confidence, hit = p.max(1), (p.argmax(1) == labels).astype(float)
    parts = np.array_split(np.argsort(confidence), 15)  # 600 = 15 * 40
    expected = sum(abs(hit[i].mean() - confidence[i].mean()) * len(i) for i in parts) / 600
    assert measure("calibration", Given(test=(logits, labels)))["adaptive_ece", ""].value == pytest.approx(
        expected
    )


def test_sce_is_the_mean_over_classes_of_the_ece_of_each_probability():
    logits, labels = sample()
    p = torch.from_numpy(logits).double().softmax(1).numpy()
    total = 0.0
    for k in range(5):
        for low in np.arange(15) / 15:
            inside = (p[:, k] > low) & (p[:, k] <= low + 1 / 15 + 1e-15)
            if inside.any():
                total += abs((labels[inside] == k).mean() - p[inside, k].mean()) * inside.mean()
    assert measure("calibration", Given(test=(logits, labels)))["sce", ""].value == pytest.approx(
        total / 5, abs=1e-9
    )


def test_the_debiased_error_of_calibrated_networks_is_smaller_than_the_plain_one():
    """Labels drawn by the probabilities: the truth is 0; the plain squared error is biased by noise."""
    plain, debiased = [], []
    for seed in range(30):
        logits, labels = sample(seed=seed)
        found = measure("calibration", Given(test=(logits, labels)))
        debiased.append(found["debiased_calibration_error", ""].value ** 2)
        p = torch.from_numpy(logits).double().softmax(1).numpy()
        hit, member = (p.argmax(1) == labels).astype(float), scoring.equal_mass_bins(p.max(1), 15)
        plain.append(
            np.mean([(hit[member == b].mean() - p.max(1)[member == b].mean()) ** 2 for b in range(15)])
        )
    assert np.mean(debiased) < 0.5 * np.mean(plain)


def test_the_debiased_error_by_hand():
    """One bin of four images with confidence 0.9, of which two are right."""
    confidence, correct = np.full(4, 0.9), np.array([1.0, 1.0, 0.0, 0.0])
    value, _ = scoring.debiased_error(confidence, correct, np.zeros(4, dtype=np.int64), 1)
    assert value == pytest.approx(math.sqrt(0.4**2 - 0.25 / 3))


def test_the_diagram_adds_up_to_the_ece():
    logits, labels = sample()
    found = measure("calibration", Given(test=(logits, labels)))
    bins = [v for (score, v), _ in found.items() if score == "bin_accuracy"]
    gap = sum(
        found["bin_accuracy", b].n * abs(found["bin_accuracy", b].value - found["bin_confidence", b].value)
        for b in bins
    )
    oracle = MulticlassCalibrationError(5, n_bins=15, norm="l1")
    expected = oracle(torch.from_numpy(logits).double().softmax(1), torch.from_numpy(labels))
    assert sum(found["bin_accuracy", b].n for b in bins) == 600
    assert gap / 600 == pytest.approx(float(expected), abs=1e-6)


# ---------------------------------------------------------------------------------------- temperature


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_that_made_logits_too_sure_is_found(true):
    logits, labels = sample(6000, seed=1)
    test, truth = sample(600, seed=2)
    found = measure("temperature", Given(val=(logits * true, labels), test=(test * true, truth)))
    assert found["temperature", ""].value == pytest.approx(true, rel=0.06)
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(test * true).double() / found["temperature", ""].value, torch.from_numpy(truth)
    )
    assert found["nll_scaled", ""].value == pytest.approx(float(expected), rel=1e-6)
    assert found["ece_scaled", ""].value < 0.08


def test_the_temperature_is_a_minimum():
    logits, labels = sample(500, seed=3)
    best = scoring.best_temperature(logits * 4, labels)

    def loss(t):
        scaled = torch.from_numpy(logits).double() * 4 / t
        return float(torch.nn.functional.cross_entropy(scaled, torch.from_numpy(labels)))

    assert loss(best) <= min(loss(best * 1.01), loss(best / 1.01))


@pytest.mark.parametrize("scale", [1e-4, 1e6])
def test_the_temperature_of_logits_of_any_scale_is_found(scale):
    logits, labels = sample(500, seed=3)
    best = scoring.best_temperature(logits, labels)
    assert scoring.best_temperature(logits * scale, labels) == pytest.approx(best * scale, rel=1e-3)
    found = measure("temperature", Given(val=(logits * scale, labels), test=(logits, labels)))
    assert (np.isfinite(found["temperature", ""].se), found["temperature", ""].reason) == (True, "")


def test_one_image_with_large_logits_does_not_hide_the_best_temperature():
    logits, labels = sample(500, seed=3)
    best = scoring.best_temperature(logits[1:], labels[1:])
    small = logits * 1e-3
    small[0] = 0.0
    small[0, labels[0]] = 5.0  # right, by a distance of 5
    assert scoring.best_temperature(small, labels) == pytest.approx(best * 1e-3, rel=1e-2)
    small[1:] = 0.0  # most logits are all the same: they say nothing of a scale
    assert scoring.search_range(small) == (scoring.COLDEST, scoring.HOTTEST)
    assert scoring.search_range(small[1:] * 0.0) == (scoring.COLDEST, scoring.HOTTEST)


@pytest.mark.parametrize("turn", [1, -1])
def test_where_no_temperature_is_best_that_is_said(turn):
    """Logits that are always right ask for less without end, logits that are always wrong for more."""
    logits, labels = 5.0 * np.eye(4), np.arange(4)[::turn]
    found = measure("temperature", Given(val=(logits, labels), test=(logits, labels)))["temperature", ""]
    assert np.isnan(found.se)
    assert found.reason == "of temperatures from 0.05 to 20, none has less NLL than those on both sides of it"


# -------------------------------------------------------------------------------------- under corruption


def test_uncertainty_under_corruption_is_the_mean_over_severities_and_kinds():
    sets = {
        f"corrupted__{k}": (np.stack([sample(200, seed=s + i)[0] for s in (0, 1)]), sample(200, seed=i)[1])
        for i, k in enumerate(("fog", "snow"))
    }
    context = Given(**sets)
    found = measure("shift", context)
    oracle = MulticlassCalibrationError(5, n_bins=15, norm="l1")
    eces, losses = {}, {}
    for kind in ("fog", "snow"):
        logits = context.logits(f"corrupted/{kind}")
        truth = torch.from_numpy(logits.labels)
        wide = torch.from_numpy(logits.values).double()
        eces[kind] = np.mean([float(oracle(one.softmax(1), truth)) for one in wide])
        losses[kind] = np.mean([float(torch.nn.functional.cross_entropy(one, truth)) for one in wide])
        assert found["corrupted_ece", kind].value == pytest.approx(eces[kind], abs=1e-6)
        assert found["corrupted_nll", kind].value == pytest.approx(losses[kind], rel=1e-6)
    assert found["corrupted_ece", ""].value == pytest.approx(np.mean(list(eces.values())), abs=1e-6)
    assert found["corrupted_nll", ""].value == pytest.approx(np.mean(list(losses.values())), rel=1e-6)
    assert 0 < found["corrupted_ece", ""].se < 0.1


def test_the_brier_score_under_corruption_is_summed_over_classes():
    fog = np.log([[[0.7, 0.2, 0.1]], [[0.5, 0.25, 0.25]]])
    found = measure("shift", Given(corrupted__fog=(fog, [0])))
    assert found["corrupted_brier", ""].value == pytest.approx((0.14 + 0.375) / 2)


# --------------------------------------------------------------------------------------------- detection


def test_detection_agrees_with_scikit_learn_for_every_score():
    inside, labels = sample(300, seed=1)
    outside, strange = sample(200, seed=2, scale=1.5)
    found = measure("ood", Given(test=(inside, labels), ood__other=(outside, strange)))
    wide = [torch.from_numpy(x).double() for x in (inside, outside)]
    truth = np.r_[np.ones(300), np.zeros(200)]
    for variant, scores in {
        "": [x.softmax(1).amax(1) for x in wide],
        "energy": [x.logsumexp(1) for x in wide],
        "max logit": [x.amax(1) for x in wide],
    }.items():
        both = torch.cat(scores).numpy()
        assert found["ood_auroc", variant].value == pytest.approx(roc_auc_score(truth, both))
        assert found["ood_aupr_in", variant].value == pytest.approx(average_precision_score(truth, both))
        assert found["ood_aupr_out", variant].value == pytest.approx(
            average_precision_score(1 - truth, -both)
        )
        false, right, _ = roc_curve(truth, both, drop_intermediate=False)
        assert found["ood_fpr95", variant].value == pytest.approx(false[np.argmax(right >= 0.95)])


@pytest.mark.parametrize(("others", "scale"), [(400, 1.0), (600, 0.6)])
def test_the_error_of_the_share_over_a_threshold_is_that_of_drawing_both_kinds_anew(others, scale):
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(1, 1, 600), rng.normal(0, scale, others)) for _ in range(1000)]
    shares = [np.mean(n >= np.sort(p)[-570]) for p, n in pairs]  # 570 of 600 reach the threshold
    found = np.array([scoring.false_positives_at(p, n, 0.95) for p, n in pairs[:60]])
    assert found[:, 0] == pytest.approx(shares[:60])
    # A little too large, as the bootstrap of a quantile is.
    assert 0.97 < np.sqrt(np.square(found[:, 1]).mean()) / np.std(shares, ddof=1) < 1.2


def test_the_share_over_a_threshold_counts_ties_and_may_be_none():
    inside, outside = np.array([3.0, 2.0, 1.0, 1.0]), np.array([1.0, 0.0, 5.0, 0.5])
    assert scoring.false_positives_at(inside, outside, 0.75) == (0.5, pytest.approx(0.22, abs=0.1))
    assert scoring.false_positives_at(inside + 9, outside, 0.95) == (0.0, 0.0)


def test_the_error_of_an_average_precision_is_that_of_resampling_it():
    rng = np.random.default_rng(0)
    positive, negative = np.round(rng.normal(1, 1, 80), 1), np.round(rng.normal(0, 1, 60), 1)
    _, error = scoring.average_precision(positive, negative)
    draws = []
    for p, q in zip(scoring.resamples(80), np.roll(scoring.resamples(60), 1, axis=0), strict=True):
        both = np.concatenate([np.repeat(positive, p.astype(int)), np.repeat(negative, q.astype(int))])
        draws.append(average_precision_score(np.r_[np.ones(80), np.zeros(60)], both))
    assert error == pytest.approx(np.std(draws, ddof=1), rel=1e-9)


def test_out_of_distribution_images_against_some_classes_are_told_from_these_by_their_logits():
    """ImageNet-O as published, by scikit-learn; and without that, as a variant."""
    rng = np.random.default_rng(5)
    inside, labels = rng.normal(0, 3, (400, 6)), rng.integers(0, 6, 400)
    outside, chosen = rng.normal(0, 2, (150, 6)), (4, 1)
    context = Given(test=(inside, labels), ood__o=(outside, np.zeros(150)))
    context.held["ood/o"] = context.held["ood/o"]._replace(against=chosen)
    found = measure("ood", context)
    for among, rows, columns in (
        ("", np.isin(labels, chosen), chosen),
        ("all classes", slice(None), range(6)),
    ):
        known, strange = (
            probabilities(np.float64(np.float32(x))[:, list(columns)], 1) for x in (inside[rows], outside)
        )
        truth = np.r_[np.ones(len(known)), np.zeros(len(strange))]
        both = np.concatenate([known.max(1), strange.max(1)])
        assert found["ood_auroc", among].value == pytest.approx(roc_auc_score(truth, both), abs=1e-9)
        assert found["ood_auroc", among].n == len(both)
    assert found["ood_auroc", ""].value != pytest.approx(found["ood_auroc", "all classes"].value, abs=1e-3)


def test_out_of_distribution_images_against_classes_that_no_test_image_has_are_not_measured():
    context = Given(test=([[1.0, 0.0, 2.0]], [0]), ood__o=([[0.0, 1.0, 0.0]], [0]))
    context.held["ood/o"] = context.held["ood/o"]._replace(against=(1, 2))
    value = measure("ood", context)["ood_auroc", ""]
    assert np.isnan(value.value)
    assert "no test image is of a class" in value.reason


def test_bins_under_corruption_hold_all_corrupted_images_and_give_back_the_error():
    """Closed form: sum over bins of n_b / N |accuracy - confidence| is the ECE of all of them together."""
    sets, labels = {}, sample(200)[1]
    for kind in range(3):
        sets[f"corrupted__k{kind}"] = (
            np.stack([sample(200, seed=10 * kind + s)[0] for s in range(2)]),
            labels,
        )
    found = measure("shift", Given(**sets))
    accuracy = {k[1]: v for k, v in found.items() if k[0] == "corrupted_bin_accuracy"}
    confidence = {k[1]: v for k, v in found.items() if k[0] == "corrupted_bin_confidence"}
    assert sum(v.n for v in accuracy.values()) == 3 * 2 * 200
    error = sum(abs(accuracy[b].value - confidence[b].value) * accuracy[b].n for b in accuracy) / 1200
    flat = np.concatenate([values.reshape(-1, 5) for values, _ in sets.values()])
    truth = np.tile(labels, 6)
    oracle = MulticlassCalibrationError(5, n_bins=15, norm="l1")
    expected = oracle(torch.from_numpy(flat).double().softmax(1), torch.from_numpy(truth))
    assert error == pytest.approx(float(expected), abs=1e-6)
