"""Whether a network has the concepts of its dense parent."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """The correlation of concepts matched one to one, over the same crops."""
    import numpy as np

    from lthbench import craft
    from lthbench.metrics.craft import concepts_of

    if context.own:
        alone = "the network itself: give two seeds or more, to compare two dense networks"
        return [
            Value(
                "concept_match",
                float("nan"),
                float("nan"),
                len(context.images("pictured").labels),
                reason=alone,
            )
        ]
    crops, ours, _ = concepts_of(context)
    _, theirs, _ = concepts_of(context.reference)
    value, _ = craft.matched(ours, theirs)
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(len(ours.amounts))
    chance, _ = craft.matched(ours._replace(amounts=ours.amounts[shuffled]), theirs)
    n = len(np.unique(crops.image))
    return [
        Value("concept_match", value, float("nan"), n),
        Value("concept_match", chance, float("nan"), n, "chance"),
    ]


METRIC = Metric(
    name="concept-match",
    version=1,
    title="concepts shared with the dense parent (CRAFT)",
    formula="mean Pearson correlation, over crops, of the amounts of concepts, matched one to one with those "
    "of dense",
    source=(
        "lthbench, after Suwal et al. What stands for dense is the dense network of the next seed beside it. "
        "Matched by the Hungarian algorithm"
    ),
    scores=(
        Score("concept_match", "concepts shared with dense", "ratio", True, -1.0, 1.0, "interpretability"),
    ),
    needs=(),
    looks=("pictured",),
    nulls=True,
    rival=True,
    passes=34.0,
    measure=measure,
    relative=True,
)
