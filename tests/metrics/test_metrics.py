"""Every shipped metric on hand-made logits, against torch, scikit-learn, torchmetrics or a closed form."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, brier_score_loss, roc_auc_score
from torchmetrics.classification import MulticlassCalibrationError

from lthbench import registry
from lthbench.kinds import Context, Logits, Metric, Value


@dataclass
class Given:
    """A context that holds the logits it is given."""

    held: dict[str, Logits]
    reference: Context | None = field(default=None)

    def logits(self, name):
        """The logits held under this name."""
        return self.held[name]

    def sets(self, prefix):
        """Those held under the prefix, by last name."""
        return {n.rpartition("/")[2]: v for n, v in self.held.items() if n.split("/")[0] == prefix}


def given(values, labels, name="test", notes=None):
    return Given({name: Logits(np.asarray(values, np.float32), np.asarray(labels, np.int64), notes or {})})


def measure(metric, context):
    return {(v.score, v.variant): v for v in registry.get(Metric, metric).measure(context)}


def only(metric, context) -> Value:
    values = list(measure(metric, context).values())
    assert len(values) == 1
    return values[0]


def sample(n=500, classes=6, seed=0, scale=2.5):
    """Logits, and labels drawn by their probabilities."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, scale, (n, classes)).astype(np.float32)
    return logits, (logits + rng.gumbel(size=logits.shape)).argmax(1)


def right(count, n):
    """Logits of two classes for label 0: the first ``count`` of n images are classified right."""
    return np.where((np.arange(n) < count)[:, None], [1.0, 0.0], [0.0, 1.0])


def binomial_error(p, n):
    return math.sqrt(p * (1 - p) / (n - 1))


# ------------------------------------------------------------------------------------------------ accuracy


def test_accuracy_is_that_of_scikit_learn_with_the_binomial_error():
    logits, labels = sample()
    value = only("accuracy", given(logits, labels))
    expected = accuracy_score(labels, logits.argmax(1))
    assert (value.score, value.n) == ("accuracy", 500)
    assert value.value == pytest.approx(expected, rel=1e-14)
    assert value.se == pytest.approx(binomial_error(expected, 500), rel=1e-12)


@pytest.mark.parametrize(("count", "expected"), [(0, 0.0), (3, 0.75), (4, 1.0)])
def test_accuracy_of_cases_by_hand(count, expected):
    assert only("accuracy", given(right(count, 4), [0] * 4)).value == expected


def test_the_gap_is_training_minus_test_accuracy_and_errors_add_in_squares():
    context = Given({**given(right(90, 100), [0] * 100, "train").held, **given(right(30, 40), [0] * 40).held})
    value = only("generalization-gap", context)
    assert value.value == pytest.approx(0.90 - 0.75, rel=1e-12)
    errors = binomial_error(0.9, 100), binomial_error(0.75, 40)
    assert value.se == pytest.approx(math.hypot(*errors), rel=1e-12)
    assert value.n == 40


def test_fgsm_accuracy_is_that_of_the_first_strength():
    values = np.stack([right(1, 4), right(4, 4)])
    value = only("fgsm", given(values, [0] * 4, "fgsm", {"zero_gradients": 0}))
    assert (value.value, value.n, value.reason) == (0.25, 4, "")


def test_images_that_could_not_be_attacked_are_counted():
    value = only("fgsm", given(right(2, 4)[None], [0] * 4, "fgsm", {"zero_gradients": 3.0}))
    assert value.reason.startswith("3 images have a zero gradient")


# --------------------------------------------------------------------------------------------- uncertainty


@pytest.mark.parametrize("seed", range(3))
def test_ece_is_that_of_torchmetrics_with_fifteen_bins(seed):
    logits, labels = sample(seed=seed)
    oracle = MulticlassCalibrationError(num_classes=6, n_bins=15, norm="l1")
    expected = oracle(torch.from_numpy(logits).double().softmax(1), torch.from_numpy(labels))
    assert only("ece", given(logits, labels)).value == pytest.approx(float(expected), abs=1e-6)


def test_ece_of_a_sure_network_is_its_error():
    value = only("ece", given(1000 * right(7, 10), [0] * 10))
    assert value.value == pytest.approx(0.3, rel=1e-12)


def test_ece_of_a_uniform_guess_on_balanced_classes_is_zero():
    assert only("ece", given(np.zeros((10, 5)), np.arange(10) % 5)).value == pytest.approx(0.0, abs=1e-15)


def test_nll_is_the_cross_entropy_of_torch_in_float64():
    logits, labels = sample(scale=20.0)
    losses = torch.nn.functional.cross_entropy(
        torch.from_numpy(logits).double(), torch.from_numpy(labels), reduction="none"
    )
    value = only("nll", given(logits, labels))
    assert value.value == pytest.approx(float(losses.mean()), rel=1e-13)
    assert value.se == pytest.approx(float(losses.std() / 500**0.5), rel=1e-12)


def test_nll_of_a_sure_and_wrong_network_is_the_distance_of_its_logits():
    """The logarithm of a float32 softmax is infinite here."""
    assert only("nll", given([[1e4, 0.0], [0.0, 120.0]], [1, 0])).value == pytest.approx((1e4 + 120.0) / 2)


def test_nll_of_a_uniform_guess_is_the_log_of_the_number_of_classes():
    assert only("nll", given(np.zeros((3, 8)), [0, 3, 7])).value == pytest.approx(math.log(8), rel=1e-14)


def test_brier_is_that_of_scikit_learn():
    logits, labels = sample()
    probabilities = torch.from_numpy(logits).double().softmax(1).numpy()
    expected = brier_score_loss(labels, probabilities, scale_by_half=False, labels=range(6))
    assert only("brier", given(logits, labels)).value == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("logits", "label", "expected"),
    [
        ([1e4, 0.0, 0.0], 0, 0.0),
        ([1e4, 0.0, 0.0], 1, 2.0),
        ([0.0, 0.0, 0.0], 2, 2 / 3),
        ([math.log(3), 0.0], 0, 0.125),
    ],
)
def test_brier_of_cases_by_hand(logits, label, expected):
    assert only("brier", given([logits, logits], [label, label])).value == pytest.approx(expected, abs=1e-7)


# ------------------------------------------------------------------------------- out of distribution


def test_ood_is_the_area_of_scikit_learn_over_the_largest_probability():
    inside, labels = sample(300, seed=1)
    outside, strange = sample(200, seed=2, scale=1.5)
    context = Given({**given(inside, labels).held, **given(outside, strange, "ood/other").held})
    value = measure("ood", context)["ood_auroc", ""]
    sure = [torch.from_numpy(x).double().softmax(1).amax(1).numpy() for x in (inside, outside)]
    expected = roc_auc_score(np.r_[np.ones(300), np.zeros(200)], np.concatenate(sure))
    assert value.value == pytest.approx(expected, abs=1e-12)
    assert (value.n, value.variant) == (500, "")
    assert 0.0 < value.se < 0.05


def test_ood_orders_images_whose_probability_rounds_to_one():
    context = Given(
        {
            **given([[90.0, 0.0], [80.0, 0.0]], [0, 0]).held,
            **given([[60.0, 0.0], [70.0, 0.0]], [0, 0], "ood/o").held,
        }
    )
    assert measure("ood", context)["ood_auroc", ""].value == 1.0


def test_the_first_other_data_set_is_the_headline_and_the_rest_are_variants():
    inside = given([[5.0, 0.0], [6.0, 0.0]], [0, 0]).held
    first, second = given([[1.0, 0.0]], [0], "ood/first").held, given([[9.0, 0.0]], [0], "ood/second").held
    found = measure("ood", Given({**inside, **first, **second}))
    areas = {v.variant: v.value for v in found.values() if v.score == "ood_auroc"}
    assert {k: areas[k] for k in ("", "second", "energy")} == {"": 1.0, "second": 0.0, "energy": 1.0}
    assert areas.keys() == {"", "energy", "max logit", "second", "second energy", "second max logit"}
