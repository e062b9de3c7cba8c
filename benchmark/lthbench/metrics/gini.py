"""How sparse saliency maps are."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value


def measure(context: Context) -> list[Value]:
    """The Gini index of each kind of map, of other reductions over channels, and of random maps."""
    import numpy as np

    from lthbench.functional.saliency_maps import gini, random_maps
    from lthbench.scoring import defined_value

    maps = context.maps("explained")
    shown = {
        ("gradient_gini", ""): maps.gradient,
        ("gradient_gini", "sum over channels"): maps.gradient_sum,
        ("ig_gini", ""): maps.ig,
        ("ig_gini", "signed sum over channels"): np.abs(maps.ig_signed),
        ("gradcam_gini", ""): maps.gradcam,
    }
    values = [defined_value(s, gini(m), "a map of zeros or none", variant=v) for (s, v), m in shown.items()]
    for score, kind in (
        ("gradient_gini", maps.gradient),
        ("ig_gini", maps.ig),
        ("gradcam_gini", maps.gradcam),
    ):
        values.append(defined_value(score, gini(random_maps(kind.shape)), "", variant="random attribution"))
    gaps = maps.gaps.astype(np.float64)
    values.append(defined_value("ig_gap", gaps, "no finite gap"))
    values.append(
        defined_value(
            "ig_gap",
            np.where(np.isnan(gaps), np.nan, gaps > 0.05),
            "no finite gap",
            variant="share above 5 %",
        )
    )
    return values


METRIC = Metric(
    name="gini",
    version=2,
    title="sparsity of saliency maps",
    formula="Gini index of |map|: sum_i (2i - n - 1) v_(i) / (n sum v), v ascending; 0 is even, 1 - 1/n one "
    "pixel",
    source=(
        "Chalasani et al. 2020; Hurley & Rickard 2009. Maps for the label: vanilla gradient (largest over "
        "channels), integrated gradients (sum of absolute values), Grad-CAM on its grid. A collapsed network "
        "has sparse maps, too: read it beside accuracy. Gap: |sum of the map - change in the logit| / "
        "|change|"
    ),
    scores=(
        Score("gradient_gini", "gradient Gini", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("ig_gini", "integrated gradients Gini", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("gradcam_gini", "Grad-CAM Gini", "fraction", True, 0.0, 1.0, "interpretability"),
        Score("ig_gap", "IG completeness gap", "fraction", False, 0.0, float("inf"), "interpretability"),
    ),
    needs=(),
    maps=("explained",),
    nulls=True,
    measure=measure,
    relative=True,
)
