"""A metric that reads the logits of test images."""

from lthbench.kinds import Metric, Score, Value


def measure(context):
    """The share of images whose class is among the two likeliest, with its error over the images."""
    import numpy as np

    from lthbench.scoring import mean_value

    shown = context.logits("test")
    likeliest = np.argsort(-shown.values, axis=1)[:, :2]
    hits = (likeliest == shown.labels[:, None]).any(axis=1)
    found: list[Value] = [mean_value("top2_accuracy", hits.astype(np.float64))]
    return found


METRIC = Metric(
    name="top2",
    version=1,
    title="top-2 accuracy",
    formula="share of test images whose class has one of the two largest logits",
    source="an example",
    scores=(Score("top2_accuracy", "top-2 accuracy", "fraction", True, 0.0, 1.0, "generalization"),),
    needs=("test",),
    measure=measure,
)
