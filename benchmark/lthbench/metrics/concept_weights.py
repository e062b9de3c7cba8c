"""Whether the concepts that speak for a class are those of the dense parent."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.agreement import ALONE


def measure(context: Context) -> list[Value]:
    """Overlap of each class's top concepts in the bottlenecks of a network and of dense, and rank
    correlation.
    """
    import numpy as np

    from lthbench.functional.concept_bottleneck import top_overlap
    from lthbench.functional.saliency_maps import overlap_by_chance
    from lthbench.metrics.bottleneck import TOPS, read, too_few
    from lthbench.scoring import mean_and_error, none_of

    n = len(context.images("pictured").labels)
    names = ("concept_overlap", "concept_rho")

    def nothing(reason: str) -> list[Value]:
        return [none_of(name, n, reason) for name in names]

    if context.own:
        return nothing(ALONE)
    if why := too_few(context):
        return nothing(why)
    (_, ours, _), (_, theirs, _) = read(context), read(context.reference)
    if ours is None or theirs is None or ours.weights.shape != theirs.weights.shape:
        return nothing("the dense parent tells fewer than two concepts")
    from scipy.stats import rankdata

    values = []
    concepts = ours.weights.shape[1]
    for k in TOPS:
        variant = "" if k == TOPS[0] else f"top {k}"
        if k < concepts:  # of no more concepts than are compared, all are shared
            shared = mean_and_error(top_overlap(ours.weights, theirs.weights, k))
            values.append(Value("concept_overlap", *shared, n, variant))
    if values:
        chance = overlap_by_chance(concepts, TOPS[0] / concepts)
        values.append(Value("concept_overlap", chance, float("nan"), n, "chance"))
    else:
        values = nothing(f"the dense parent tells {concepts} concepts")[:1]
    ranks = [rankdata(h.weights, axis=1) for h in (ours, theirs)]
    a, b = (r - r.mean(1, keepdims=True) for r in ranks)
    below = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    rho = (a * b).sum(1)[below > 0] / below[below > 0]
    error = mean_and_error(rho) if len(rho) else (float("nan"), float("nan"))
    return [*values, Value("concept_rho", *error, n, reason="" if len(rho) else "no class has two weights")]


METRIC = Metric(
    name="concept-weights",
    version=2,
    values_since=1,  # version 2 gives no value of fewer than five training images a class
    title="concepts that speak for a class, as in dense",
    formula="mean over classes of intersection over union of the 3 concepts with the largest weights in the "
    "bottleneck; Spearman correlation of all weights",
    source=(
        "Ghosh & Batmanghelich, made numeric. What stands for dense is the dense network of the next seed "
        "beside it. Errors are over classes"
    ),
    scores=(
        Score("concept_overlap", "top concepts as in dense", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("concept_rho", "concept weights as in dense", "ratio", True, -1.0, 1.0, "interpretability"),
    ),
    needs=("pictured",),
    looks=("concepts", "read", "pictured"),
    rival=True,
    passes=4.0,
    measure=measure,
    relative=True,
)
