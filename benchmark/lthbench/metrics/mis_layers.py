"""How alike the images are that excite the units of each layer, and of the softmax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lthbench.kinds import Context, Metric, Score, UnitFile, UnitRow, Value


def measure(context: Context) -> list[Value]:
    """The mean share of right choices over all units, by layer, and of the softmax units of the classes."""
    import numpy as np

    from lthbench.functional import mis
    from lthbench.functional.image_similarity import embedded
    from lthbench.functional.unit_activations import blocks, means
    from lthbench.scoring import hits, mean_and_error
    from lthbench.textfiles import csv_bytes

    pixels = np.ascontiguousarray(context.images("mis").pixels[:])
    model = context.network()
    layers = blocks(model) or context.layers()
    found, softmax = means(model, layers, pixels)
    vectors, n = embedded(pixels), len(pixels)
    logits = context.logits("test")
    right, labels = hits(logits.values, logits.labels), logits.labels
    rows: list[tuple[object, ...]] = []
    every: list[np.ndarray] = []
    values: list[Value] = []

    def value(score: str, hard: np.ndarray, variant: str = "") -> Value:
        alive = hard[~np.isnan(hard)]
        constant = len(hard) - len(alive)
        reason = f"{constant} of {len(hard)} units are constant and left out" if constant else ""
        both = mean_and_error(alive) if len(alive) else (float("nan"), float("nan"))
        return Value(score, *both, n, variant, reason=reason)

    for layer, units in (*found.items(), ("softmax", softmax)):
        chosen = mis.choices(units, vectors, relative=True)
        hard, soft = chosen.hard(), chosen.soft()
        for unit, (a, b) in enumerate(zip(hard, soft, strict=True)):
            of_class = right[labels == unit] if layer == "softmax" else right[:0]
            accuracy = f"{of_class.mean():.6g}" if len(of_class) else ""
            rows.append((layer, unit + 1, f"{a:.6g}", f"{b:.6g}", accuracy))
        if layer == "softmax":
            values.append(value("mis_softmax", hard))
        else:
            values.append(value("mis_layers", hard, layer))
            every.append(hard)
    context.attach("mis.csv", csv_bytes(("layer", "unit", "mis", "mis_soft", "accuracy"), rows))
    return [value("mis_layers", np.concatenate(every)), *values]


def _units(rows: Sequence[Mapping[Any, Any]]) -> Iterator[UnitRow]:
    """The share of right choices of each unit, NaN for a constant one; of the softmax, a class's accuracy."""
    for row in rows:
        accuracy = float(row["accuracy"] or "nan")
        yield UnitRow(row["layer"], int(row["unit"]), "", "", float(row["mis"]), accuracy)


METRIC = Metric(
    name="mis-layers",
    units=UnitFile("mis.csv", _units, -1e-6, 1.0 + 1e-6, unknown=True),  # rounding may go beyond
    version=1,
    title="machine interpretability of units, by layer (MIS-like)",
    formula="as mis, for the units of each block of the network (each stage, each inception block), the mean "
    "over all of them, and for the softmax units of the classes",
    source=(
        "Zimmermann et al. 2024; von Rad & Seuffert 2024. A unit is constant where its values differ by less "
        "than a millionth of the largest, so that untrained networks, whose activations are minute, have a "
        "value. The similarity is of colours and edges, not DreamSim's; errors are over units"
    ),
    scores=(
        Score("mis_layers", "MIS-like, all layers", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("mis_softmax", "MIS-like, softmax", "fraction", True, 0.0, 1.0, "interpretability"),
    ),
    needs=("test",),
    looks=("mis",),
    nulls=True,
    passes=1.0,
    measure=measure,
    usual=False,
)
