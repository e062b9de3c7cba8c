"""What a linear reader of concepts can say of a network, and whether it reads the same as in dense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lthbench.kinds import Context, Metric, Score, UnitFile, UnitRow, Value

if TYPE_CHECKING:
    from lthbench.functional.concept_bottleneck import Head, Vectors
    from lthbench.kinds import Pixels
    from lthbench.scoring import Floats

#: How many concepts of each class reports keep: those with the largest weights.
KEPT = 5
#: How many of a class's concepts are compared; the first is the headline.
TOPS = (3, 5)
#: Training images of each class, on average, that a head is fitted to at least.
LEAST = 5


def too_few(context: Context) -> str:
    """Why a head that is fitted to the training images would say nothing, or ""."""
    images, classes = len(context.images("read").labels), context.logits("pictured").values.shape[1]
    if images >= LEAST * classes:
        return ""
    return f"{images:,} training images of {classes:,} classes; {LEAST} a class are needed (concept_images)"


def read(context: Context) -> tuple[Vectors, Head | None, Floats]:
    """A network's vectors, its head on the concepts that dense tells, and its own hits (1.0, else 0.0)."""
    import numpy as np

    from lthbench.functional import concept_bottleneck
    from lthbench.functional.unit_activations import pooled
    from lthbench.scoring import hits

    bank, layer = context.concepts(), context.layers()[-1]

    def features(of: Context, pixels: Pixels) -> np.ndarray:
        return pooled(of.network(), (layer,), pixels)[layer]

    found = concept_bottleneck.vectors(features(context, bank.pixels), bank)
    dense = (
        found if context.own else concept_bottleneck.vectors(features(context.reference, bank.pixels), bank)
    )
    kept = (dense.auc >= concept_bottleneck.TOLD) & np.isfinite(found.auc)
    logits = context.logits("pictured")
    right = hits(logits.values, logits.labels)
    if kept.sum() < 2 or too_few(context):
        return found, None, right
    train, test = context.images("read"), context.images("pictured")
    pairs = [(features(context, i.pixels), i.labels) for i in (train, test)]
    return found, concept_bottleneck.head(found, kept, *pairs), right


def measure(context: Context) -> list[Value]:
    """How well vectors tell concepts, the accuracy of the head, and the gap to the network."""
    import numpy as np

    from lthbench.functional.concept_bottleneck import as_csv
    from lthbench.scoring import mean_and_error, none_of

    found, head, right = read(context)
    if head is not None:
        context.attach("weights.csv", as_csv(head, context.concepts()))
    known = found.auc[np.isfinite(found.auc)]
    n = len(context.images("pictured").labels)
    few = len(found.auc) - len(known)
    reason = f"{few} of {len(found.auc)} concepts are in too few images, or lacking in too few" if few else ""
    auc = mean_and_error(known) if len(known) else (float("nan"), float("nan"))
    values = [Value("cav_auc", *auc, len(context.concepts().pixels), reason=reason)]
    if head is None:
        why = too_few(context) or "the dense parent tells fewer than two concepts"
        names = ("bottleneck_accuracy", "bottleneck_gap")
        return [*values, *(none_of(name, n, why) for name in names)]
    accuracy = float(head.right.mean())
    gap, error = float(right.mean()) - accuracy, mean_and_error(right - head.right)[1]
    return [
        *values,
        Value("bottleneck_accuracy", accuracy, float(np.sqrt(accuracy * (1 - accuracy) / n)), n),
        Value("bottleneck_gap", gap, error, n),
    ]


def _units(rows: Sequence[Mapping[Any, Any]]) -> Iterator[UnitRow]:
    """For each class the concepts with the largest weights."""
    seen: dict[int, int] = {}
    for row in sorted(rows, key=lambda r: (int(r["class"]), -float(r["weight"]))):
        number = int(row["class"])
        seen[number] = seen.get(number, 0) + 1
        if seen[number] <= KEPT:
            yield UnitRow("", number, row["concept"], row["category"], float(row["weight"]))


METRIC = Metric(
    name="bottleneck",
    units=UnitFile("weights.csv", _units),
    version=3,
    values_since=1,  # version 3 gives no value of fewer than five training images a class
    title="post-hoc concept bottleneck",
    formula="area under the curve of linear SVMs (50 + 50 images) that tell concepts by pooled features; "
    "accuracy of a sparse linear head on the projections; gap: the network's accuracy less the head's",
    source=(
        "Yuksekgonul et al. 2023, Post-hoc Concept Bottleneck Models; Ghosh & Batmanghelich. Concepts that "
        "the dense parent tells with an area of 0.7. Concepts are separated by units over their spreads in "
        "the bank, where the released code takes them as they are. Elastic net by SAGA: the released solver "
        "gives other heads for other seeds. The error of the area is over concepts, those of the head are "
        "over images"
    ),
    scores=(
        Score("cav_auc", "concepts told (CAV AUC)", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("bottleneck_accuracy", "bottleneck accuracy", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("bottleneck_gap", "bottleneck gap", "fraction", False, -1.0, 1.0, "interpretability"),
    ),
    needs=("pictured",),
    looks=("concepts", "read", "pictured"),
    nulls=True,
    passes=2.0,
    measure=measure,
    relative=True,
)
