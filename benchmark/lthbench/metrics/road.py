"""Whether pixels that a saliency map ranks high matter: remove and debias (ROAD)."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.agreement import KINDS
from lthbench.metrics.deletion import LACK


def measure(context: Context) -> list[Value]:
    """Areas between and under the curves of each kind of map, the curves, and those of a random order."""
    import numpy as np
    import torch

    from lthbench.functional import faithfulness
    from lthbench.functional.saliency_maps import random_maps, ranked
    from lthbench.inference.batches import as_pixels
    from lthbench.inference.folding import folded
    from lthbench.scoring import mean_and_error, mean_value, none_of

    model, shown, maps = folded(context.network()), context.images("explained"), context.maps("explained")
    device = next(model.parameters()).device
    x, labels = as_pixels(shown.pixels[:], device), torch.from_numpy(shown.labels).to(device)
    n, _, height, width = x.shape

    def curves(kind: str, array: np.ndarray) -> list[tuple[str, np.ndarray]]:
        order = torch.from_numpy(ranked(array)).to(device)
        orders = {"MoRF": order} if kind == "random" else {"MoRF": order, "LeRF": order.flip(1)}
        return [
            (name, faithfulness.in_parts(faithfulness.road, model, x, labels, o))
            for name, o in orders.items()
        ]

    values = []
    steps = [f"{100 * share:.0f} %" for share in (0.0, *faithfulness.SHARES)]
    for kind in KINDS:
        array = faithfulness.resized(getattr(maps, kind), height, width)
        if np.isnan(array).all():
            values += [none_of(f"{kind}_road_{score}", n, LACK) for score in ("gap", "aopc")]
            continue
        (_, most), (_, least) = curves(kind, array)
        areas = {"MoRF": faithfulness.area(most), "LeRF": faithfulness.area(least)}
        reason = faithfulness.undefined(array)
        values.append(mean_value(f"{kind}_road_gap", areas["LeRF"] - areas["MoRF"], reason=reason))
        values += [Value(f"{kind}_road_gap", *mean_and_error(a), n, name) for name, a in areas.items()]
        values.append(mean_value(f"{kind}_road_aopc", faithfulness.mean_fall(most), reason=reason))
        for name, curve in (("MoRF", most), ("LeRF", least)):
            values += [
                Value("road_accuracy", *mean_and_error(c), n, f"{kind} {name} {step}")
                for step, c in zip(steps, curve, strict=True)
            ]
    ((_, chance),) = curves("random", random_maps((n, height, width)))
    values.append(mean_value("road_random", faithfulness.area(chance)))
    values += [
        Value("road_accuracy", *mean_and_error(c), n, f"random {step}")
        for step, c in zip(steps, chance, strict=True)
    ]
    return values


def _scores(kind: str, title: str) -> tuple[Score, ...]:
    judged = {
        "verdict": True,
        "margin": 0.05,
        "margin_reason": "five points of accuracy between the curves: twice what a change of the noise makes "
        "of them (lthbench's choice)",
        "short": "ROAD gap",
        "shortest": "ROAD",
    }
    return (
        Score(
            f"{kind}_road_gap",
            f"{title}: ROAD gap",
            "fraction",
            True,
            -1.0,
            1.0,
            "interpretability",
            **(judged if kind == "ig" else {}),  # type: ignore[arg-type]
        ),
        Score(f"{kind}_road_aopc", f"{title}: ROAD AOPC", "fraction", True, -1.0, 1.0, "interpretability"),
    )


METRIC = Metric(
    name="road",
    version=2,
    title="faithfulness of saliency maps (ROAD)",
    formula="area between the accuracies after removing the least and the most relevant pixels (LeRF - "
    "MoRF), 0 to 90 % by trapezoids, over 0.9; imputed by neighbours plus noise 0.01 x 3 draws; AOPC: mean "
    "over k of accuracy(0) - MoRF accuracy(k)",
    source=(
        "Rong et al. 2022, ROAD; AOPC on its curve as in Suwal et al. Maps and accuracy for the label. The "
        "gap takes out that a brittle network loses accuracy by any removal; the area under the curve of a "
        "random order is road_random"
    ),
    scores=(
        *(score for kind, title in KINDS.items() for score in _scores(kind, title)),
        Score("road_random", "ROAD, random order", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("road_accuracy", "ROAD curve", "fraction", True, 0.0, 1.0, "interpretability"),
    ),
    needs=(),
    looks=("explained",),
    maps=("explained",),
    nulls=True,
    passes=196.0,
    measure=measure,
    relative=True,
)
