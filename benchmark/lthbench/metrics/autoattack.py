"""Accuracy under AutoAttack."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Accuracy on attacked test images; those whose gradient is zero everywhere are counted."""
    from lthbench.scoring import attacked_accuracy

    return [attacked_accuracy("autoattack_accuracy", context.logits("autoattack"))]


METRIC = Metric(
    name="autoattack",
    version=1,
    title="accuracy under AutoAttack",
    formula="accuracy under APGD-CE, APGD-T, FAB-T and Square together, within 8/255",
    source="Croce & Hein 2020, Reliable Evaluation of Adversarial Robustness; package pyautoattack",
    scores=(
        Score("autoattack_accuracy", "AutoAttack accuracy", "fraction", True, 0.0, 1.0, "generalization"),
    ),
    needs=("autoattack",),
    measure=measure,
    usual=False,
    package="pyautoattack",
    extra="robust",
)
