"""Whether units that detect a concept in the dense parent still do, and the same one."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.agreement import ALONE


def measure(context: Context) -> list[Value]:
    """Of the dense parent's interpretable units, the share that stay so, and that keep their concept."""
    import numpy as np

    from lthbench.functional import dissection
    from lthbench.functional.unit_activations import activations
    from lthbench.scoring import none_of, resamples

    bank = context.concepts()
    names = ("retained_units", "same_concept_units")
    if context.own:
        return [none_of(n, len(bank.pixels), ALONE) for n in names]
    ours, theirs = (
        dissection.tally_layers(activations(c.network(), c.layers(), bank.pixels), bank)
        for c in (context, context.reference)
    )
    if ours.active.shape != theirs.active.shape:
        widths = f"{ours.active.shape[1]} units, the dense parent {theirs.active.shape[1]}"
        return [none_of(n, len(bank.pixels), f"it has {widths}") for n in names]

    def shares(counts: np.ndarray | None) -> tuple[float, float]:
        (own, mine), (other, yours) = (dissection.best(t.iou(counts)) for t in (ours, theirs))
        were = yours > dissection.THRESHOLDS[0]
        both = were & (mine > dissection.THRESHOLDS[0])
        retained = both.sum() / were.sum() if were.any() else np.nan
        same = (both & (own == other)).sum() / both.sum() if both.any() else np.nan
        return float(retained), float(same)

    plain = shares(None)
    drawn = np.array([shares(counts) for counts in resamples(dissection.GROUPS)])
    lacks = "the dense parent has no interpretable unit", "no unit is interpretable in both"
    values = []
    for name, value, draws, lack in zip(names, plain, drawn.T, lacks, strict=True):
        known = draws if np.isfinite(draws).all() else None
        error = float(draws.std(ddof=1)) if known is not None else float("nan")
        reason = lack if np.isnan(value) else ""
        values.append(Value(name, value, error, len(bank.pixels), reason=reason, draws=known))
    return values


METRIC = Metric(
    name="drift",
    version=1,
    title="units that keep their concept",
    formula="|I_0 and I| / |I_0|, and the share of I_0 and I with the same best concept; I: units with an "
    "intersection over union above 0.05",
    source=(
        "Frankle & Bau 2019, figure 4. Units are told apart by their place in the layer, which every mask "
        "leaves them, structured ones too. What stands for dense is the dense network of the next seed: "
        "units of two trainings have nothing in common but chance"
    ),
    scores=(
        Score("retained_units", "retained units", "fraction", True, 0.0, 1.0, "interpretability"),
        Score(
            "same_concept_units",
            "units with the same concept",
            "fraction",
            True,
            0.0,
            1.0,
            "interpretability",
        ),
    ),
    needs=(),
    looks=("concepts",),
    rival=True,
    passes=2.0,
    measure=measure,
    relative=True,
)
