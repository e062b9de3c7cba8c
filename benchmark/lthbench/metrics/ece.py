"""Expected calibration error."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value

BINS = 15


def measure(context: Context) -> list[Value]:
    """ECE of the largest softmax probability on test images."""
    import numpy as np

    from lthbench.scoring import hits, log_confidence, resampled_ece

    logits = context.logits("test")
    confidence = np.exp(log_confidence(logits.values))
    value, *draws = resampled_ece(confidence, hits(logits.values, logits.labels), BINS)
    spread = np.asarray(draws)
    return [Value("ece", float(value), float(spread.std(ddof=1)), len(logits.labels), draws=spread)]


METRIC = Metric(
    name="ece",
    version=2,
    title="expected calibration error",
    formula="sum over 15 equal-width bins of n_b / N * |accuracy_b - confidence_b|, on clean test images",
    source="Guo et al. 2017, equation 3; 15 true bins (15 edges give 14, a fault of published code)",
    scores=(
        Score(
            "ece",
            "ECE",
            "fraction",
            False,
            0.0,
            1.0,
            "uncertainty",
            verdict=True,
            margin=0.01,
            margin_reason="one percentage point of confidence, as of accuracy (lthbench's choice)",
        ),
    ),
    needs=("test",),
    measure=measure,
)
