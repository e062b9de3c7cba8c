"""Accuracy under the fast gradient sign attack."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Accuracy on attacked test images. Counts those that could not be attacked (zero gradient)."""
    from lthbench.scoring import attacked_accuracy

    return [attacked_accuracy("fgsm_accuracy", context.logits("fgsm"))]


METRIC = Metric(
    name="fgsm",
    version=2,
    title="accuracy under FGSM",
    formula="accuracy on clip(x + eps * sign(grad_x CE), 0, 1), eps = 8/255 in pixel units, no random start",
    source="Goodfellow et al. 2015; Chen et al. 2022, section 3.1",
    scores=(
        Score(
            "fgsm_accuracy",
            "FGSM accuracy",
            "fraction",
            True,
            0.0,
            1.0,
            "generalization",
            verdict=True,
            margin=0.02,
            margin_reason="two percentage points, twice that of clean accuracy (lthbench's choice)",
            short="FGSM",
        ),
    ),
    needs=("fgsm",),
    measure=measure,
)
