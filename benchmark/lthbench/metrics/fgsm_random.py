"""Accuracy under FGSM with a random start."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Accuracy on attacked test images; those whose gradient is zero everywhere are counted."""
    from lthbench.scoring import attacked_accuracy

    return [attacked_accuracy("fgsm_random_accuracy", context.logits("fgsm-random"))]


METRIC = Metric(
    name="fgsm-random",
    version=1,
    title="accuracy under FGSM with a random start",
    formula="accuracy on FGSM from a random start in the box of 8/255, clipped back to it",
    source="the default of the published code of Chen et al. 2022, whose text has no random start",
    scores=(
        Score(
            "fgsm_random_accuracy",
            "FGSM accuracy, random start",
            "fraction",
            True,
            0.0,
            1.0,
            "generalization",
        ),
    ),
    needs=("fgsm-random",),
    measure=measure,
)
