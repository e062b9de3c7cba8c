"""Negative log-likelihood."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Mean of -log p(label) over test images, from log-softmax in float64, so never infinite."""
    import numpy as np

    from lthbench.scoring import log_softmax, mean_value

    logits = context.logits("test")
    losses = -np.take_along_axis(log_softmax(logits.values), logits.labels[:, None], 1)[:, 0]
    return [mean_value("nll", losses)]


METRIC = Metric(
    name="nll",
    version=2,
    title="negative log-likelihood",
    formula="mean of -log p(label) over test images, natural logarithm, float64",
    source="Chen et al. 2022, section 3.2 (their figure divides by the dense network's)",
    scores=(
        Score(
            "nll",
            "NLL",
            "nats",
            False,
            0.0,
            float("inf"),
            "uncertainty",
            verdict=True,
            margin=0.1,
            relative_margin=True,
            margin_reason="a tenth of the dense parent's: its scale is the task's (lthbench's choice)",
        ),
    ),
    needs=("test",),
    measure=measure,
)
