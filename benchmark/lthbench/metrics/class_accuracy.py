"""Accuracy of each class, and of the one that is worst off."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value

#: Up to so many classes each class's accuracy is a value of its own; the file ``classes.csv`` has all.
SHOWN = 100


def measure(context: Context) -> list[Value]:
    """Share of each class's test images that are classified right; their mean and their least."""
    import numpy as np

    from lthbench.scoring import hits, mean_and_error, resamples
    from lthbench.textfiles import csv_bytes

    logits = context.logits("test")
    correct = hits(logits.values, logits.labels)
    classes, member = np.unique(logits.labels, return_inverse=True)
    inside = np.eye(len(classes))[member]
    right, images = inside.T @ correct, inside.sum(0)
    shares = right / images
    rows = zip(classes.tolist(), images.tolist(), right.tolist(), shares.tolist(), strict=True)
    shown_rows = ((c, f"{n:.0f}", f"{r:.0f}", f"{s:.6g}") for c, n, r, s in rows)
    context.attach("classes.csv", csv_bytes(("class", "images", "right", "accuracy"), shown_rows))

    counts = resamples(len(correct))
    shown = counts @ inside
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = (counts * correct) @ inside / shown  # NaN where a resample has no image of a class
    n = len(correct)
    worst, balanced = np.nanmin(drawn, axis=1), np.nanmean(drawn, axis=1)
    values = [
        Value("balanced_accuracy", float(shares.mean()), float(balanced.std(ddof=1)), n, draws=balanced),
        Value("worst_class_accuracy", float(shares.min()), float(worst.std(ddof=1)), n, draws=worst),
    ]
    if len(classes) <= SHOWN:
        for place, label in enumerate(classes.tolist()):
            mine = correct[member == place]
            values.append(Value("balanced_accuracy", *mean_and_error(mine), len(mine), f"class {label}"))
    return values


METRIC = Metric(
    name="class-accuracy",
    version=1,
    title="accuracy by class",
    formula="share of each class's test images whose largest logit is the label's: the mean over classes, "
    "the least, and each class",
    source=(
        "Hooker et al. 2019, What Do Compressed Deep Neural Networks Forget?, section 3: pruning costs some "
        "classes more than the mean tells. Errors by resampling images; classes are numbered as the labels "
        "are; a class without test images is left out"
    ),
    scores=(
        Score(
            "balanced_accuracy", "accuracy, mean over classes", "fraction", True, 0.0, 1.0, "generalization"
        ),
        Score(
            "worst_class_accuracy",
            "accuracy of the worst class",
            "fraction",
            True,
            0.0,
            1.0,
            "generalization",
        ),
    ),
    needs=("test",),
    measure=measure,
)
