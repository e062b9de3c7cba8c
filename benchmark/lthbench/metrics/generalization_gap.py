"""Generalization gap."""

from __future__ import annotations

import math

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """Accuracy on training images, unaugmented, minus accuracy on test images."""
    from lthbench.scoring import hits, mean_and_error

    train, test = context.logits("train"), context.logits("test")
    seen, seen_se = mean_and_error(hits(train.values, train.labels))
    unseen, unseen_se = mean_and_error(hits(test.values, test.labels))
    return [Value("generalization_gap", seen - unseen, math.hypot(seen_se, unseen_se), len(test.labels))]


METRIC = Metric(
    name="generalization-gap",
    version=1,
    title="generalization gap",
    formula="accuracy on training images (unaugmented, evaluation mode) minus accuracy on test images",
    source="Chen et al. 2022, section 3.1 (their proxy is test accuracy alone)",
    scores=(
        Score("generalization_gap", "generalization gap", "fraction", False, -1.0, 1.0, "generalization"),
    ),
    needs=("train", "test"),
    measure=measure,
)
