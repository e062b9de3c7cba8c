"""Concepts of a layer: how coherent, pure, redundant and complete they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Context, Metric, Score, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from lthbench.functional.craft import Crops
    from lthbench.scoring import Floats

#: Classes whose images are looked at, and images of each for the importance of concepts.
CLASSES, IMPORTANT = 3, 4
#: Images of these classes that are needed: of few, the top crops of each concept are of almost all of them.
LEAST = 30


def crops_of(context: Context) -> Crops:
    """The crops of a few classes' images."""
    import numpy as np

    from lthbench.functional import craft

    shown = context.images("pictured")
    where = chosen(shown.labels)
    return craft.cropped(np.ascontiguousarray(shown.pixels[where]), shown.labels[where])


def activations_of(context: Context, crops: Crops, model: nn.Module | None = None) -> NDArray[np.float32]:
    """The mean activations of the layer's units on crops: ``[crops, units]``."""
    from lthbench.functional.unit_activations import pooled

    layer, model = context.layers()[-1], context.network() if model is None else model
    return pooled(model, (layer,), crops.pixels)[layer]


def classes_of(labels: object) -> list[int]:
    """The classes that are looked at: spread over those there are."""
    import numpy as np

    there = np.unique(np.asarray(labels))
    return [int(there[len(there) * k // CLASSES]) for k in range(min(CLASSES, len(there)))]


def too_few(labels: NDArray[np.int64]) -> str:
    """Why images of these labels say nothing of concepts, or ""."""
    there = len(chosen(labels))
    return f"{there} images of {CLASSES} classes; {LEAST} are needed" if there < LEAST else ""


def passes(each: float, images: int) -> float:
    """Forward passes for so many images that are looked at, of which those of three classes are shown.

    Of a thousand these are three in ten; of more there are more classes, and as many images of each.
    """
    return each * min(images, 1000)


def chosen(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of the images that are looked at, among all."""
    import numpy as np

    return np.flatnonzero(np.isin(labels, classes_of(labels)))


def _scores(
    context: Context,
    model: nn.Module,
    crops: Crops,
    means: NDArray[np.float32],
    vectors: NDArray[np.float32],
    kept: NDArray[np.bool_],
    iterations: int = 1000,
) -> Floats:
    """Coherence, purity, redundancy, loss and focus on some of the images, bool ``[images]``."""
    import numpy as np

    from lthbench.functional import craft
    from lthbench.functional.saliency_maps import gini

    shown, (few, where) = context.images("pictured"), craft.part(crops, kept)
    found, scale = craft.factored(means[where], iterations), max(float(means[where].max()), 1e-30)
    there = chosen(shown.labels)[kept]
    weights = np.zeros(craft.CONCEPTS)
    for label in classes_of(shown.labels):
        some = np.intersect1d(np.flatnonzero(shown.labels == label)[:IMPORTANT], there)
        if len(some):
            pixels = shown.pixels[some]
            weights += craft.importance(model, context.layers()[-1], pixels, label, found, scale)
    shares = weights / weights.sum() if weights.sum() > 0 else np.full(craft.CONCEPTS, 1 / craft.CONCEPTS)
    coherent = craft.coherence(found, few, vectors[where])
    return np.array(
        [
            float(coherent @ shares),
            float(craft.purity(found, few).mean()),
            craft.redundancy(found),
            found.lost,
            float(gini(shares[None])[0]),
        ]
    )


def measure(context: Context) -> list[Value]:
    """Coherence by importance, purity, redundancy, what is lost, and how even the importance is."""
    import numpy as np

    from lthbench.functional import craft
    from lthbench.functional.image_similarity import embedded
    from lthbench.scoring import none_of

    labels = context.images("pictured").labels
    names = ("coherence", "purity", "redundancy", "loss", "focus")
    if why := too_few(labels):
        return [none_of(f"concept_{name}", len(chosen(labels)), why) for name in names]
    crops, model = crops_of(context), context.network()  # read once: it is asked for many times
    means, vectors = activations_of(context, crops, model), embedded(crops.pixels)
    labels = labels[chosen(labels)]
    whole = _scores(context, model, crops, means, vectors, np.ones(len(labels), dtype=np.bool_))
    apart = [
        _scores(context, model, crops, means, vectors, half, craft.HASTY) for half in craft.halves(labels)
    ]
    errors = np.std(apart, axis=0, ddof=1)
    return [
        Value(f"concept_{name}", float(value), float(error), len(labels))
        for name, value, error in zip(names, whole, errors, strict=True)
    ]


METRIC = Metric(
    name="craft",
    version=4,
    values_since=1,  # version 4 gives no value of fewer than 30 images
    title="concepts of a layer (CRAFT)",
    formula="A = U W by NMF with 10 concepts, A: mean activations on crops. Coherence: how much more alike "
    "the top 10 crops of a concept are than any, weighted by importance; purity: 1 - entropy of their "
    "classes / log of how many there are; redundancy: mean largest cosine with another concept; loss: |A - "
    "UW| / |A|; focus: Gini index of total Sobol indices",
    source=(
        "Fel et al. 2023, CRAFT; Suwal et al. Crops of images of three classes together, of 2/7 of the side. "
        "Importance is that of four images of each class. "
        "Sobol indices by Jansen's estimator from 128 scrambled Sobol points (the released sampler is biased "
        "low). Similarity of crops by colours and edges. Errors from 8 halves of the images, each with "
        "concepts of its own"
    ),
    scores=(
        Score(
            "concept_coherence",
            "concept coherence",
            "ratio",
            True,
            -1.0,
            1.0,
            "interpretability",
            verdict=True,
            margin=0.025,
            margin_reason="the standard error of one network's, over its ten concepts (measured on c10-r20s)",
            short="coherence",
            shortest="coh",
        ),
        Score("concept_purity", "concept purity", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("concept_redundancy", "concept redundancy", "ratio", False, -1.0, 1.0, "interpretability"),
        Score("concept_loss", "concept reconstruction loss", "fraction", False, 0.0, 1.0, "interpretability"),
        Score("concept_focus", "concept focus", "fraction", True, 0.0, 1.0, "interpretability"),
    ),
    needs=(),
    looks=("by-class",),
    nulls=True,
    passes=60.0,
    passes_of=lambda family, images: passes(60.0, images),
    measure=measure,
)
