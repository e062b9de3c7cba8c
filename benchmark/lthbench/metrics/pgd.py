"""Accuracy under PGD."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Accuracy on attacked test images; those whose gradient is zero everywhere are counted."""
    from lthbench.scoring import attacked_accuracy

    return [attacked_accuracy("pgd_accuracy", context.logits("pgd"))]


METRIC = Metric(
    name="pgd",
    version=1,
    title="accuracy under PGD",
    formula="accuracy under 20 steps of 2/255 along sign(grad_x CE) from a random start, within 8/255",
    source="Madry et al. 2018, Towards Deep Learning Models Resistant to Adversarial Attacks",
    scores=(Score("pgd_accuracy", "PGD accuracy", "fraction", True, 0.0, 1.0, "generalization"),),
    needs=("pgd",),
    measure=measure,
    usual=False,
)
