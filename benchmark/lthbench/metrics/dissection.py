"""How many units of a layer detect a concept, and which."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lthbench.kinds import Context, Metric, Score, UnitFile, UnitRow, Value


def measure(context: Context) -> list[Value]:
    """Interpretable units and unique concepts, by category too; with shuffled masks as a null."""
    import numpy as np

    from lthbench.functional import dissection
    from lthbench.functional.unit_activations import activations, dead_without
    from lthbench.scoring import jackknife_error, resamples

    bank = context.concepts()
    made = activations(context.network(), context.layers(), bank.pixels)
    counted = dissection.tally_layers(made, bank)
    chance = dissection.tally_layers(made, bank, shift=1 + len(bank.pixels) // 2)
    images, units = len(bank.pixels), len(counted.dead)
    categories = np.array(bank.categories)
    context.attach("units.csv", dissection.as_csv(counted, made, bank))

    def scores(iou: np.ndarray) -> dict[tuple[str, str], float]:
        labels, tops = dissection.best(iou)
        found = {("mean_best_iou", ""): float(tops.mean())}
        for threshold in dissection.THRESHOLDS:
            on = tops > threshold
            variant = "" if threshold == dissection.THRESHOLDS[0] else f"IoU {threshold}"
            found["interpretable_units", variant] = float(on.sum())
            found["unique_concepts", variant] = float(len(np.unique(labels[on])))
        on = tops > dissection.THRESHOLDS[0]
        for category in dict.fromkeys(bank.categories):
            found["interpretable_units", category] = float((on & (categories[labels] == category)).sum())
        return found

    plain, null = scores(counted.iou()), scores(chance.iou())
    drawn = [scores(counted.iou(counts)) for counts in resamples(dissection.GROUPS)]
    values = []
    for (score, variant), value in plain.items():
        draws = np.array([d[score, variant] for d in drawn])
        values.append(Value(score, value, float(draws.std(ddof=1)), images, variant, draws=draws))
        if not variant:
            values.append(Value(score, null[score, ""], float("nan"), images, "shuffled masks"))
    reach = dissection.ceiling(counted, images * dissection.side_of(bank) ** 2)
    beyond = [n for n, c in zip(bank.names, reach, strict=True) if c <= dissection.THRESHOLDS[0]]
    reason = f"too large or too small to be detected: {', '.join(beyond)}" if beyond else ""
    many = float(len(bank.names) - len(beyond))
    values.append(Value("unique_concepts", many, float("nan"), images, "at most", reason))
    dead = float(counted.dead.sum())
    without = sum(dead_without(layer).astype(np.float64) for layer in made.values())
    error = jackknife_error(np.asarray(without))
    values.append(Value("dead_units", dead, error, images, reason=f"of {units} units"))
    return values


def _units(rows: Sequence[Mapping[Any, Any]]) -> Iterator[UnitRow]:
    """The best concept of each unit and its intersection over union; 0 for a dead one."""
    for row in rows:
        value = 0.0 if row["dead"] == "1" else float(row["iou"])
        yield UnitRow(row["layer"], int(row["unit"]), row["label"], row["category"], value)


METRIC = Metric(
    name="dissection",
    units=UnitFile("units.csv", _units, 0.0, 1.0 + 1e-6),  # rounding may go beyond
    version=2,
    values_since=1,
    title="network dissection",
    formula="units whose map, where it exceeds its 0.995 quantile, has an intersection over union above 0.05 "
    "with a concept's masks; and how many different concepts these are",
    source=(
        "Bau et al. 2017, Network Dissection; Frankle & Bau 2019 (threshold 0.05; 0.04 as a variant). Union "
        "over all images; errors by resampling 20 groups of images, that of dead units by leaving out one "
        "image at a time. A concept that takes more than a tenth "
        "of all pixels cannot reach the threshold"
    ),
    scores=(
        Score(
            "interpretable_units", "interpretable units", "count", True, 0.0, float("inf"), "interpretability"
        ),
        Score("unique_concepts", "unique concepts", "count", True, 0.0, float("inf"), "interpretability"),
        Score(
            "mean_best_iou",
            "units: mean best IoU",
            "ratio",
            True,
            0.0,
            1.0,
            "interpretability",
            verdict=True,
            margin=0.1,
            relative_margin=True,
            margin_reason="a tenth of the dense parent's (lthbench's choice); a count of few units has no "
            "power",
            short="units: IoU",
            shortest="IoU",
        ),
        Score("dead_units", "dead units", "count", False, 0.0, float("inf"), "interpretability"),
    ),
    needs=(),
    looks=("concepts",),
    nulls=True,
    passes=1.0,
    measure=measure,
)
