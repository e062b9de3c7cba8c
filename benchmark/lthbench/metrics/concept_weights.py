"""Whether the concepts that speak for a class are those of the dense parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.agreement import ALONE

if TYPE_CHECKING:
    from lthbench.scoring import Floats


def measure(context: Context) -> list[Value]:
    """Overlap of each class's top concepts in the bottlenecks of a network and of dense, and rank
    correlation.
    """
    import numpy as np

    from lthbench.functional.concept_bottleneck import overlap_by_chance, top_overlap
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
            values.append(_overlap(top_overlap(ours.weights, theirs.weights, k), n, variant))
    if values:
        chance = _overlap(overlap_by_chance(ours.weights, theirs.weights, TOPS[0]), n, "chance")
        values.append(chance._replace(se=float("nan")))
    else:
        values = nothing(f"the dense parent tells {concepts} concepts")[:1]
    ranks = [rankdata(h.weights, axis=1) for h in (ours, theirs)]
    a, b = (r - r.mean(1, keepdims=True) for r in ranks)
    below = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    rho = (a * b).sum(1)[below > 0] / below[below > 0]
    error = mean_and_error(rho) if len(rho) else (float("nan"), float("nan"))
    return [*values, Value("concept_rho", *error, n, reason="" if len(rho) else "no class has two weights")]


def _overlap(classes: Floats, n: int, variant: str) -> Value:
    """The mean over the classes that concepts speak for."""
    import numpy as np

    from lthbench.scoring import mean_and_error

    there = classes[~np.isnan(classes)]
    lacking = len(classes) - len(there)
    reason = f"{lacking} of {len(classes)} classes have no concept with a weight above 0" if lacking else ""
    found = mean_and_error(there) if len(there) else (float("nan"), float("nan"))
    return Value("concept_overlap", *found, n, variant, reason=reason)


METRIC = Metric(
    name="concept-weights",
    version=3,
    # Version 2 gives no value of fewer than five training images a class, version 3 counts weights above 0
    # alone: neither changes a value of the published tables, whose networks tell three concepts or fewer.
    values_since=1,
    title="concepts that speak for a class, as in dense",
    formula="mean over classes of intersection over union of the 3 concepts with the largest weights above 0 "
    "in the bottleneck; Spearman correlation of all weights",
    source=(
        "Ghosh & Batmanghelich, made numeric. What stands for dense is the dense network of the next seed "
        "beside it. Errors are over classes; a class that no concept speaks for in either is left out"
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
