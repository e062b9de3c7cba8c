"""The draws of scores: each metric on resampled images, image by image."""

import numpy as np
import pytest

from lthbench import registry, scoring
from lthbench.kinds import Logits, Metric


class Given:
    """A context that holds logits by name; images may stand in it several times."""

    def __init__(self, held, reference=None):
        self.held, self.reference = held, reference

    def logits(self, name):
        """Those of this name."""
        return self.held[name]

    def sets(self, prefix):
        """Those under the prefix."""
        return {n.rpartition("/")[2]: v for n, v in self.held.items() if n.split("/")[0] == prefix}

    def resampled(self, r):
        """The same with every image as often as it is in a resample; other images are drawn apart."""
        held = {}
        for name, logits in self.held.items():
            both = scoring.resamples_of_both(len(logits.labels), len(logits.labels))
            times = both[name.startswith("ood/")][r].astype(int)
            values = np.repeat(logits.values, times, axis=logits.values.ndim - 2)
            held[name] = Logits(values, np.repeat(logits.labels, times), logits.notes)
        return Given(held, self.reference and self.reference.resampled(r))


def given(seed, quality):
    """Logits of a network: test and out-of-distribution images (with ties), attacked and corrupted ones."""
    rng = np.random.default_rng(100)
    labels = rng.integers(0, 4, 150)
    rng = np.random.default_rng(seed)

    def logits(n, truth, levels=(), coarse=False):
        values = rng.normal(0, 1, (*levels, n, 4))
        values += quality * np.eye(4)[truth] if truth is not None else 0.0
        return np.float32(np.round(values) if coarse else values)

    strange = np.zeros(90, np.int64)
    held = {
        "test": Logits(logits(150, labels, coarse=True), labels, {}),
        "ood/other": Logits(logits(90, None, coarse=True), strange, {}),
        "fgsm": Logits(logits(150, labels, (1,)), labels, {"zero_gradients": 0.0}),
        "uncorrupted": Logits(logits(150, labels), labels, {}),
        **{f"corrupted/{k}": Logits(logits(150, labels, (3,)), labels, {}) for k in ("fog", "snow")},
    }
    return Given(held)


def measured(metric, context):
    return {v.score: v for v in registry.get(Metric, metric).measure(context) if v.variant == ""}


def test_scores_of_the_test_images_are_tied_with_those_of_other_images():
    held = given(1, 1.0).held
    inside, outside = (scoring.log_confidence(held[n].values).round(9) for n in ("test", "ood/other"))
    assert len(np.intersect1d(inside, outside)) > 20


CASES = [("accuracy", "accuracy"), ("nll", "nll"), ("ece", "ece"), ("fgsm", "fgsm_accuracy")]
CASES += [("ood", "ood_auroc"), ("mce", "mce"), ("calibration", "sce")]


@pytest.mark.parametrize(("metric", "score"), CASES)
def test_draws_are_the_score_of_resampled_images(metric, score):
    context = given(1, 1.0)
    context.reference = given(2, 1.5)
    draws = measured(metric, context)[score].draws
    assert draws.shape == (scoring.RESAMPLES,)
    for r in (0, 7, 199):
        again = measured(metric, context.resampled(r))[score].value
        assert draws[r] == pytest.approx(again, abs=1e-12)
    assert draws.std() > 0


def test_every_score_of_the_verdict_has_a_margin_and_says_why():
    for metric in registry.every(Metric):
        for score in metric.scores:
            if score.verdict:
                assert score.margin > 0, score.name
                assert len(score.margin_reason) > 15, score.name
            else:
                assert (score.margin, score.margin_reason) == (0.0, "")
