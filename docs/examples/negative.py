"""A metric that brings an image set of its own: negatives of the test images."""

from lthbench.kinds import ImageSet, Metric, Score


def negative(model, images, labels, generator):
    """Black for white: images are float32 [N, C, H, W] in [0, 1]."""
    return 1.0 - images


def measure(context):
    """The share of negatives that are classified correctly, with its error over the images."""
    from lthbench.scoring import hits, mean_value

    shown = context.logits("negative")
    return [mean_value("negative_accuracy", hits(shown.values, shown.labels))]


METRIC = Metric(
    name="negative",
    version=1,
    title="accuracy on negatives",
    formula="share of test images that are classified correctly when x becomes 1 - x",
    source="Hosseini & Poovendran 2017, Deep Neural Networks Do Not Recognize Negative Images",
    scores=(
        Score("negative_accuracy", "accuracy on negatives", "fraction", True, 0.0, 1.0, "generalization"),
    ),
    needs=("negative",),
    measure=measure,
    sets=(ImageSet("negative", count="test_images", perturb=negative),),
)
