"""Calibration beyond the plain ECE: adaptive bins, without bias, over all classes; reliability diagram."""

from __future__ import annotations

from typing import Any

from lthbench.kinds import Context, Metric, Score, Value

BINS = 15
#: From so many classes on the verdict asks for SCE, too: ECE sees the largest probability of an image alone.
MANY = 100


def measure(context: Context) -> list[Value]:
    """Three calibration errors on test images, and accuracy and confidence in each bin."""
    import numpy as np

    from lthbench import scoring

    logits = context.logits("test")
    probabilities = np.exp(scoring.log_softmax(logits.values))
    confidence = np.exp(scoring.log_confidence(logits.values))
    correct = scoring.hits(logits.values, logits.labels)
    n = len(correct)
    equal = scoring.equal_mass_bins(confidence, BINS)
    sce = scoring.resampled_sce(probabilities, logits.labels, BINS)
    spread = float(np.std(sce[1:], ddof=1))
    values = [
        Value("adaptive_ece", *scoring.binned_error(confidence, correct, equal, BINS), n),
        Value("debiased_calibration_error", *scoring.debiased_error(confidence, correct, equal, BINS), n),
        Value("sce", float(sce[0]), spread, n, draws=sce[1:]),
    ]
    for name, right, sure in scoring.bins_of(confidence, correct, BINS):
        values.append(Value("bin_accuracy", *scoring.mean_and_error(right), len(right), name))
        values.append(Value("bin_confidence", *scoring.mean_and_error(sure), len(sure), name))
    return values


def _score(name: str, title: str, *, higher: bool = False, **verdict: Any) -> Score:
    return Score(name, title, "fraction", higher, 0.0, 1.0, "uncertainty", **verdict)


METRIC = Metric(
    name="calibration",
    version=2,
    values_since=1,
    title="calibration, further measures",
    formula=(
        "adaptive: ECE over 15 bins of equally many images; debiased: root of sum n_b/N * ((acc - conf)^2 - "
        "acc (1 - acc) / (n_b - 1)) over the same bins, 0 where negative; SCE: mean over classes of sum over "
        "15 equal-width bins of n_bk/N * |acc - conf|"
    ),
    source=(
        "SCE, and bins of as many images each: Nixon et al. 2019, Measuring Calibration in Deep Learning, "
        "whose ACE is over all classes; adaptive ECE here is of the largest probability alone. Debiased: "
        "Kumar et al. 2019, Verified Uncertainty Calibration, definition 5.1"
    ),
    scores=(
        _score("adaptive_ece", "adaptive ECE"),
        _score("debiased_calibration_error", "debiased calibration error"),
        _score(
            "sce",
            "SCE",
            verdict=True,
            margin=0.1,
            relative_margin=True,
            margin_reason="a tenth of the dense parent's: its scale is the task's (lthbench's choice)",
            fewest_classes=MANY,
        ),
        _score("bin_accuracy", "accuracy in a bin of confidence", higher=True),
        _score("bin_confidence", "confidence in a bin", higher=True),
    ),
    needs=("test",),
    measure=measure,
)
