"""Whether the images that excite a unit the most look alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lthbench.kinds import Context, Metric, Score, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def measure(context: Context) -> list[Value]:
    """The mean share of right choices over units, hard and soft, and how units spread."""
    from lthbench.functional.image_similarity import embedded

    return chosen(context, embedded, "mis")


def chosen(
    context: Context, embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]], name: str
) -> list[Value]:
    """The scores ``name`` and ``name_soft`` by the similarity of what ``embed`` makes of images."""
    import numpy as np

    from lthbench.functional import mis
    from lthbench.functional.unit_activations import pooled
    from lthbench.scoring import mean_and_error, none_of

    pixels = np.ascontiguousarray(context.images("mis").pixels[:])
    means = np.concatenate([*pooled(context.network(), context.layers(), pixels).values()], axis=1)
    found = mis.choices(means, embed(pixels))
    hard, soft = found.hard(), found.soft()
    there = ~np.isnan(hard)
    constant = int((~there).sum())
    n = len(pixels)
    reason = f"{constant} of {len(hard)} units are constant and left out" if constant else ""
    if not there.any():
        return [none_of(s, n, reason) for s in (name, f"{name}_soft")]
    values = [
        Value(name, *mean_and_error(hard[there]), n, reason=reason),
        Value(f"{name}_soft", *mean_and_error(soft[there]), n, reason=reason),
    ]
    values += [
        Value(name, float(np.quantile(hard[there], q)), float("nan"), n, f"{100 * q:.0f}th percentile")
        for q in (0.05, 0.95)
    ]
    return [*values, Value(name, 0.5, float("nan"), n, "chance")]


METRIC = Metric(
    name="mis",
    version=1,
    title="machine interpretability of units (MIS-like)",
    formula="share of right choices, which of two images belongs to 9 that excite a unit: the mean "
    "similarity to them less that to 9 that do not; 20 choices a unit, mean over units. Soft: logistic of "
    "the margin / 0.16",
    source=(
        "Zimmermann et al. 2024; von Rad & Seuffert 2024. The similarity is of colours and edges, not "
        "DreamSim's: not to be compared with published values. Units by their spatial mean. No score of "
        "quality by itself: collapsed networks have it as well; errors are over units"
    ),
    scores=(
        Score("mis", "MIS-like", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("mis_soft", "MIS-like, soft", "fraction", True, 0.0, 1.0, "interpretability"),
    ),
    needs=(),
    looks=("mis",),
    nulls=True,
    passes=1.0,
    measure=measure,
)
