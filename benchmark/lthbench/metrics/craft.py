"""Concepts of a layer: how coherent, pure, redundant and complete they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Context, Metric, Score, Value

if TYPE_CHECKING:
    from lthbench.functional.craft import Concepts, Crops

#: Classes whose images are looked at, and images of each for the importance of concepts.
CLASSES, IMPORTANT = 3, 4


def concepts_of(context: Context) -> tuple[Crops, Concepts, float]:
    """The crops of a few classes' images, the concepts of the layer on them, and its largest activation."""
    import numpy as np

    from lthbench.functional import craft
    from lthbench.functional.unit_activations import activations

    shown = context.images("pictured")
    chosen = classes_of(shown.labels)
    where = np.flatnonzero(np.isin(shown.labels, chosen))
    crops = craft.cropped(np.ascontiguousarray(shown.pixels[where]), shown.labels[where])
    layer = context.layers()[-1]
    means = activations(context.network(), (layer,), crops.pixels)[layer].mean((2, 3))
    return crops, craft.factored(means), max(float(means.max()), 1e-30)


def classes_of(labels: object) -> list[int]:
    """The classes that are looked at: spread over those there are."""
    import numpy as np

    there = np.unique(np.asarray(labels))
    return [int(there[len(there) * k // CLASSES]) for k in range(min(CLASSES, len(there)))]


def measure(context: Context) -> list[Value]:
    """Coherence by importance, purity, redundancy, what is lost, and how even the importance is."""
    import numpy as np

    from lthbench.functional import craft
    from lthbench.functional.image_similarity import embedded
    from lthbench.functional.saliency_maps import gini
    from lthbench.scoring import mean_and_error

    crops, found, scale = concepts_of(context)
    shown = context.images("pictured")
    model, layer = context.network(), context.layers()[-1]
    weights = np.zeros(craft.CONCEPTS)
    for label in classes_of(shown.labels):
        some = np.flatnonzero(shown.labels == label)[:IMPORTANT]
        weights += craft.importance(model, layer, shown.pixels[some], label, found, scale)
    shares = weights / weights.sum() if weights.sum() > 0 else np.full(craft.CONCEPTS, 1 / craft.CONCEPTS)
    coherent, pure = craft.coherence(found, crops, embedded(crops.pixels)), craft.purity(found, crops)
    n = len(np.unique(crops.image))
    evenness = float(gini(shares[None])[0])
    return [
        Value("concept_coherence", float(coherent @ shares), mean_and_error(coherent)[1], n),
        Value("concept_purity", *mean_and_error(pure), n),
        Value("concept_redundancy", craft.redundancy(found), float("nan"), n),
        Value("concept_loss", found.lost, float("nan"), n),
        Value("concept_focus", evenness, float("nan"), n),
    ]


METRIC = Metric(
    name="craft",
    version=1,
    title="concepts of a layer (CRAFT)",
    formula="A = U W by NMF with 10 concepts, A: mean activations on crops. Coherence: how much more alike "
    "the top 10 crops of a concept are than any, weighted by importance; purity: 1 - entropy of their "
    "classes; redundancy: mean largest cosine with another concept; loss: |A - UW| / |A|; focus: Gini index "
    "of total Sobol indices",
    source=(
        "Fel et al. 2023, CRAFT; Suwal et al. Crops of images of three classes together, of 2/7 of the side. "
        "Sobol indices by Jansen's estimator from 128 scrambled Sobol points (the released sampler is biased "
        "low). Similarity of crops by colours and edges"
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
        ),
        Score("concept_purity", "concept purity", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("concept_redundancy", "concept redundancy", "ratio", False, -1.0, 1.0, "interpretability"),
        Score("concept_loss", "concept reconstruction loss", "fraction", False, 0.0, 1.0, "interpretability"),
        Score("concept_focus", "concept focus", "fraction", True, 0.0, 1.0, "interpretability"),
    ),
    needs=(),
    looks=("pictured",),
    nulls=True,
    passes=60.0,
    measure=measure,
)
