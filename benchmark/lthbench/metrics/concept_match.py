"""Whether a network has the concepts of its dense parent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lthbench.kinds import CROPS, Context, Metric, Score, Value
from lthbench.metrics.agreement import ALONE
from lthbench.metrics.craft import passes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lthbench.functional.craft import Concepts, Crops

#: How many concepts are shown, and crops of each.
SHOWN, EACH = 4, 5


def _pictured(
    crops: Crops, ours: Concepts, theirs: Concepts, partners: NDArray[np.int64], chosen: NDArray[np.int64]
) -> bytes:
    """The top crops of the dense parent's largest concepts and of their partners, as image and corner."""
    import numpy as np

    from lthbench.functional import craft

    def places(top: NDArray[np.int64]) -> list[list[int]]:
        return [[int(chosen[crops.image[c]]), *map(int, crops.corners[c])] for c in top[:EACH]]

    own, dense = craft.tops(ours, crops), craft.tops(theirs, crops)
    partner = {int(d): o for o, d in enumerate(partners)}
    largest = np.argsort(-theirs.amounts.sum(0), kind="stable")[:SHOWN]
    pairs = [{"dense": places(dense[d]), "own": places(own[partner[int(d)]])} for d in largest]
    return (json.dumps({"side": crops.side, "concepts": pairs}) + "\n").encode()


def measure(context: Context) -> list[Value]:
    """The correlation of concepts matched one to one, over the same crops."""
    import numpy as np

    from lthbench.functional import craft
    from lthbench.metrics.craft import activations_of, chosen, crops_of, too_few
    from lthbench.scoring import none_of

    labels = context.images("pictured").labels
    shown = chosen(labels)
    if context.own:
        return [none_of("concept_match", len(labels), ALONE)]
    if why := too_few(labels):
        return [none_of("concept_match", len(shown), why)]
    crops = crops_of(context)
    mine, dense = activations_of(context, crops), activations_of(context.reference, crops)
    ours, theirs = craft.factored(mine), craft.factored(dense)
    value, partners = craft.matched(ours, theirs)
    context.attach(CROPS, _pictured(crops, ours, theirs, partners, shown))
    shuffled = np.random.Generator(np.random.PCG64(0)).permutation(len(ours.amounts))
    chance, _ = craft.matched(ours._replace(amounts=ours.amounts[shuffled]), theirs)
    n = len(shown)
    parts = [craft.part(crops, half)[1] for half in craft.halves(labels[shown])]
    apart = [craft.matched(craft.factored(mine[k]), craft.factored(dense[k]))[0] for k in parts]
    return [
        Value("concept_match", value, float(np.std(apart, ddof=1)), n),
        Value("concept_match", chance, float("nan"), n, "chance"),
    ]


METRIC = Metric(
    name="concept-match",
    version=4,
    values_since=1,  # version 4 gives no value of fewer than 30 images
    title="concepts shared with the dense parent (CRAFT)",
    formula="mean Pearson correlation, over crops, of the amounts of concepts, matched one to one with those "
    "of dense",
    source=(
        "lthbench, after Suwal et al. What stands for dense is the dense network of the next seed beside it. "
        "Matched by the Hungarian algorithm. Errors from 8 halves of the images, each with concepts of its "
        "own"
    ),
    scores=(
        Score("concept_match", "concepts shared with dense", "ratio", True, -1.0, 1.0, "interpretability"),
    ),
    needs=(),
    looks=("by-class",),
    nulls=True,
    rival=True,
    passes=34.0,
    passes_of=lambda family, images: passes(34.0, images),
    measure=measure,
    relative=True,
)
