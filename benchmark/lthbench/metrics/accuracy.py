"""Test accuracy."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Share of test images whose largest logit is the label's."""
    from lthbench.scoring import hits, mean_value

    logits = context.logits("test")
    return [mean_value("accuracy", hits(logits.values, logits.labels))]


METRIC = Metric(
    name="accuracy",
    version=2,
    title="test accuracy",
    formula="share of test images whose largest logit is the label's",
    source="Chen et al. 2022, section 3; slack of one percentage point: their region I",
    scores=(
        Score(
            "accuracy",
            "accuracy",
            "fraction",
            True,
            0.0,
            1.0,
            "generalization",
            verdict=True,
            slack=0.01,
            margin=0.01,
            margin_reason="one percentage point: region I of Chen et al. 2022, section 4.1",
            shortest="acc",
        ),
    ),
    needs=("test",),
    measure=measure,
)
