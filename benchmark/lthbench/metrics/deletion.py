"""Whether pixels that a saliency map ranks high matter: deletion, insertion and region perturbation."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.agreement import KINDS

_NAMES = ("deletion", "insertion", "aopc")
#: Curves that a report draws, at every other of their 20 steps.
_DRAWN = ("deletion", "insertion")
#: Why there is no score of a kind of map.
LACK = "no image has such a map: the layer that it needs gives none"


def measure(context: Context) -> list[Value]:
    """Areas under the probability of the label, for each kind of map and for a random order."""
    import numpy as np
    import torch

    from lthbench.functional import faithfulness
    from lthbench.functional.faithfulness import in_parts
    from lthbench.functional.saliency_maps import random_maps, ranked
    from lthbench.inference.batches import as_pixels
    from lthbench.inference.folding import folded
    from lthbench.scoring import mean_and_error, mean_value, none_of

    model, shown, maps = folded(context.network()), context.images("explained"), context.maps("explained")
    device = next(model.parameters()).device
    x, labels = as_pixels(shown.pixels[:], device), torch.from_numpy(shown.labels).to(device)
    n, _, height, width = x.shape

    def found(array: np.ndarray) -> list[np.ndarray]:
        order = torch.from_numpy(ranked(array)).to(device)
        return [
            in_parts(faithfulness.deletion, model, x, labels, order),
            in_parts(faithfulness.insertion, model, x, labels, order),
            in_parts(faithfulness.regions, model, x, labels, array),
        ]

    areas = (faithfulness.under, faithfulness.under, faithfulness.mean_fall)
    values = []
    chance = found(random_maps((n, height, width)))
    for kind in KINDS:
        array = faithfulness.resized(getattr(maps, kind), height, width)
        if np.isnan(array).all():
            values += [none_of(f"{kind}_{name}", n, LACK) for name in _NAMES]
            continue
        reason = faithfulness.undefined(array)
        for name, area, curve, random in zip(_NAMES, areas, found(array), chance, strict=True):
            values.append(mean_value(f"{kind}_{name}", area(curve), reason=reason))
            values.append(Value(f"{kind}_{name}", *mean_and_error(area(random)), n, "random attribution"))
            if name in _DRAWN:
                values += [
                    Value("label_probability", *mean_and_error(curve[k]), n, f"{kind} {name} {5 * k} %")
                    for k in range(0, faithfulness.STEPS + 1, 2)
                ]
    return values


def _scores(kind: str, title: str) -> tuple[Score, ...]:
    return (
        Score(f"{kind}_deletion", f"{title}: deletion", "fraction", False, 0.0, 1.0, "interpretability"),
        Score(f"{kind}_insertion", f"{title}: insertion", "fraction", True, 0.0, 1.0, "interpretability"),
        Score(f"{kind}_aopc", f"{title}: region AOPC", "fraction", True, -1.0, 1.0, "interpretability"),
    )


METRIC = Metric(
    name="deletion",
    version=3,
    title="deletion, insertion and region perturbation",
    formula="area under p(label) as the most relevant pixels turn black, or appear on a blurred image, in 20 "
    "steps; AOPC: 1/(L+1) sum_k p(0) - p(k), squares turning black",
    source="Petsiuk et al. 2018, RISE; Samek et al. 2017. Maps for the label",
    scores=(
        *(score for kind, title in KINDS.items() for score in _scores(kind, title)),
        Score("label_probability", "deletion curve", "fraction", True, 0.0, 1.0, "interpretability"),
    ),
    needs=(),
    looks=("explained",),
    maps=("explained",),
    nulls=True,
    passes=236.0,
    measure=measure,
    relative=True,
)
