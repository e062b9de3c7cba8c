"""Expected calibration error."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value

BINS = 15


def measure(context: Context) -> list[Value]:
    """ECE of the largest softmax probability on test images."""
    import numpy as np

    from lthbench.scoring import expected_calibration_error, hits, log_confidence

    logits = context.logits("test")
    confidence = np.exp(log_confidence(logits.values))
    value, error = expected_calibration_error(confidence, hits(logits.values, logits.labels), BINS)
    return [Value("ece", value, error, len(logits.labels))]


METRIC = Metric(
    name="ece",
    version=1,
    title="expected calibration error",
    formula="sum over 15 equal-width bins of n_b / N * |accuracy_b - confidence_b|, on clean test images",
    source="Guo et al. 2017, equation 3; 15 true bins (15 edges give 14, a fault of published code)",
    scores=(Score("ece", "ECE", "fraction", False, 0.0, 1.0, "uncertainty", verdict=True),),
    needs=("test",),
    measure=measure,
)
