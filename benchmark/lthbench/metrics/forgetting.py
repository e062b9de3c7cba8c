"""What pruning forgets: test images and classes that the dense parent gets right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.agreement import ALONE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def measure(context: Context) -> list[Value]:
    """Shares of images that one of the two alone gets right, and the loss of the class that loses most."""
    import numpy as np

    from lthbench.scoring import hits, mean_value, none_of, resamples

    logits = context.logits("test")
    n = len(logits.labels)
    if context.own:
        return [none_of(score.name, n, ALONE) for score in METRIC.scores]
    before = context.reference.logits("test")
    ours, theirs = hits(logits.values, logits.labels), hits(before.values, before.labels)
    forgotten, learned = theirs * (1.0 - ours), ours * (1.0 - theirs)
    classes, member = np.unique(logits.labels, return_inverse=True)
    inside = np.eye(len(classes))[member]
    images = inside.sum(0)
    losses = inside.T @ (forgotten - learned) / images
    _attach(context, logits.labels, forgotten, before.values.argmax(-1), logits.values.argmax(-1))
    counts = resamples(n)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = np.nanmax((counts * (forgotten - learned)) @ inside / (counts @ inside), axis=1)
    most = int(losses.argmax())
    return [
        mean_value("forgotten", forgotten),
        mean_value("learned", learned),
        Value(
            "class_loss",
            float(losses[most]),
            float(drawn.std(ddof=1)),
            n,
            reason=f"class {classes[most]}, {images[most]:.0f} images",
            draws=drawn,
        ),
    ]


def _attach(
    context: Context, labels: NDArray[np.int64], forgotten: NDArray[np.float64], *predicted: NDArray[np.int64]
) -> None:
    """The images that are forgotten, by their places in the test set's files, with both predictions."""
    import numpy as np

    from lthbench.textfiles import csv_bytes

    rows = np.stack([context.numbers("test"), labels, *predicted], 1)[forgotten > 0]
    rows = rows[np.argsort(rows[:, 0])]
    context.attach("forgotten.csv", csv_bytes(("image", "label", "dense", "pruned"), rows.tolist()))


METRIC = Metric(
    name="forgetting",
    version=2,
    title="images and classes that pruning forgets",
    formula="share of test images that the dense parent classifies right and the network wrong; the reverse; "
    "the largest loss of accuracy of a class",
    source=(
        "Hooker et al. 2019, What Do Compressed Deep Neural Networks Forget?, sections 3 and 4, image by "
        "image against the dense parent. What stands for dense is the dense network of the next seed beside "
        "it: two trainings disagree without any pruning. The largest of several losses is above 0 by chance; "
        "only what exceeds that of two trainings is pruning's"
    ),
    scores=(
        Score("forgotten", "images forgotten", "fraction", False, 0.0, 1.0, "generalization"),
        Score("learned", "images right that dense gets wrong", "fraction", True, 0.0, 1.0, "generalization"),
        Score("class_loss", "largest loss of a class", "fraction", False, -1.0, 1.0, "generalization"),
    ),
    needs=("test",),
    measure=measure,
    relative=True,
    rival=True,
    values_since=1,  # version 2 numbers the images of forgotten.csv by file where a budget takes some of them
)
