"""Brier score."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Mean squared distance between the probabilities and the one-hot label."""
    import numpy as np

    from lthbench.scoring import log_softmax, mean_and_error

    logits = context.logits("test")
    probabilities = np.exp(log_softmax(logits.values))
    truth = np.eye(probabilities.shape[1])[logits.labels]
    return [Value("brier", *mean_and_error(((probabilities - truth) ** 2).sum(1)), len(truth))]


METRIC = Metric(
    name="brier",
    version=1,
    title="Brier score",
    formula="mean over test images of the sum over classes of (p_k - [k = label])^2; between 0 and 2",
    source="Brier 1950, Verification of Forecasts Expressed in Terms of Probability",
    scores=(Score("brier", "Brier score", "squared probability", False, 0.0, 2.0, "uncertainty"),),
    needs=("test",),
    measure=measure,
)
