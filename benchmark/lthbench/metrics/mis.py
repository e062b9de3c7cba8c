"""Whether the images that excite a unit the most look alike."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """The mean share of right choices over units, hard and soft, and how units spread."""
    import numpy as np

    from lthbench import mis
    from lthbench.likeness import embedded
    from lthbench.scoring import mean_and_error
    from lthbench.units import activations

    shown = context.images("mis")
    pixels = np.ascontiguousarray(shown.pixels[:])
    made = activations(context.network(), context.layers(), pixels)
    means = np.concatenate([layer.mean((2, 3)) for layer in made.values()], axis=1)
    found = mis.choices(means, embedded(pixels))
    hard, soft = found.hard(), found.soft()
    there = ~np.isnan(hard)
    constant = int((~there).sum())
    n = len(pixels)
    reason = f"{constant} of {len(hard)} units are constant and left out" if constant else ""
    if not there.any():
        return [Value(s, float("nan"), float("nan"), n, reason=reason) for s in ("mis", "mis_soft")]
    values = [
        Value("mis", *mean_and_error(hard[there]), n, reason=reason),
        Value("mis_soft", *mean_and_error(soft[there]), n, reason=reason),
    ]
    values += [
        Value("mis", float(np.quantile(hard[there], q)), float("nan"), n, f"{100 * q:.0f}th percentile")
        for q in (0.05, 0.95)
    ]
    return [*values, Value("mis", 0.5, float("nan"), n, "chance")]


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
