"""How well formulas of concepts explain the units of a layer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lthbench.kinds import STRONGEST, Context, Metric, Score, UnitFile, UnitRow, Value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Units of a layer that are explained, drawn once for a layer of that width; and images kept of each.
UNITS, IMAGES = 32, 5


def measure(context: Context) -> list[Value]:
    """The mean intersection over union of the best formulas of length 3, and of length 1."""
    from lthbench.functional.compositions import CANDIDATES

    return explained(context, UNITS, CANDIDATES, ("composition_iou", "composition_iou_1"))


def explained(context: Context, units: int, candidates: int, names: tuple[str, str]) -> list[Value]:
    """The scores ``names`` by so many units of each layer and so many candidate concepts (0: all)."""
    import numpy as np

    from lthbench.functional import compositions
    from lthbench.functional.dissection import GROUPS
    from lthbench.functional.unit_activations import activations, dead
    from lthbench.scoring import resamples
    from lthbench.textfiles import csv_bytes

    bank = context.concepts()
    made = activations(context.network(), context.layers(), bank.pixels)
    counts = resamples(GROUPS)
    lengths = (compositions.LENGTH, 1)
    means: dict[int, list[float]] = {length: [] for length in lengths}
    drawn: dict[int, list[np.ndarray]] = {length: [] for length in lengths}
    rows: list[tuple[object, ...]] = []
    pictured: list[dict[str, Any]] = []
    for layer, array in made.items():
        order = np.random.Generator(np.random.PCG64(0)).permutation(array.shape[1])
        chosen = np.sort(order[: units or None])
        packed, alive = compositions.Packed(array[:, chosen], bank), ~dead(array[:, chosen])
        pictured += _strongest(layer, array, chosen[alive])
        for place, unit in enumerate(chosen):
            found = compositions.search(packed, place, candidates)
            for length in lengths:
                inside, either = compositions.by_group(packed, place, found[length])
                iou = found[length].iou * alive[place]
                means[length].append(iou)
                drawn[length].append((counts @ inside) / np.maximum(counts @ either, 1.0) * alive[place])
                rows.append((layer, unit + 1, length, found[length].text, f"{iou:.6g}"))
    head = ("layer", "unit", "length", "formula", "iou")
    context.attach("formulas.csv", csv_bytes(head, rows))
    context.attach(STRONGEST, (json.dumps({"units": pictured}) + "\n").encode())
    values = []
    for length in lengths:
        draws = np.mean(drawn[length], axis=0)
        score = names[0] if length > 1 else names[1]
        error = float(draws.std(ddof=1))
        values.append(Value(score, float(np.mean(means[length])), error, len(bank.pixels), draws=draws))
    return values


def _strongest(
    layer: str, activations: NDArray[np.float32], units: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """The images that excite each of some units most, and where, as ``kinds.STRONGEST`` has them."""
    import numpy as np

    from lthbench.functional import dissection

    images, on = dissection.strongest(activations[:, units], IMAGES)
    return [
        {
            "layer": layer,
            "unit": int(unit) + 1,
            "grid": list(on.shape[2:]),
            "images": images[place].tolist(),
            "on": [np.packbits(cells).tobytes().hex() for cells in on[place]],
        }
        for place, unit in enumerate(units)
    ]


def _units(rows: Sequence[Mapping[Any, Any]]) -> Iterator[UnitRow]:
    """The longest formula of each unit and its intersection over union."""
    longest = max((int(row["length"]) for row in rows), default=0)
    for row in rows:
        if int(row["length"]) == longest:
            yield UnitRow(row["layer"], int(row["unit"]), row["formula"], "", float(row["iou"]))


#: What is kept of units; rounding may go beyond 1.
FORMULAS = UnitFile("formulas.csv", _units, 0.0, 1.0 + 1e-6)

METRIC = Metric(
    name="composition",
    units=FORMULAS,
    version=1,
    title="compositional explanations",
    formula="mean over units of the largest intersection over union of the unit's pixels (above its 0.995 "
    "quantile) with a formula of at most 3 concepts joined by OR, AND, AND NOT",
    source=(
        "Mu & Andreas 2020, Compositional Explanations of Neurons; as in Chen et al. 2022, figure 7. Beam of "
        "5, 50 candidate concepts, 32 units of each layer; dead units count as 0"
    ),
    scores=(
        Score(
            "composition_iou",
            "composition IoU",
            "ratio",
            True,
            0.0,
            1.0,
            "interpretability",
            verdict=True,
            margin=0.1,
            relative_margin=True,
            margin_reason="a tenth of the dense parent's (lthbench's choice)",
            short="compositions",
            shortest="comp",
        ),
        Score(
            "composition_iou_1", "composition IoU, one concept", "ratio", True, 0.0, 1.0, "interpretability"
        ),
    ),
    needs=(),
    looks=("concepts",),
    nulls=True,
    passes=1.0,
    measure=measure,
)
