"""Whether a network looks where its dense parent looks."""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value

#: Shares of most relevant pixels that are compared; the first is the headline.
SHARES = (0.1, 0.05, 0.2)
#: Maps that are compared, or judged, by the beginning of their scores' names.
KINDS = {"gradient": "gradient", "ig": "integrated gradients", "gradcam": "Grad-CAM"}
#: Why a dense network has no score that compares it with another one.
ALONE = "the network itself: give two seeds or more, to compare two dense networks"


def measure(context: Context) -> list[Value]:
    """Rank correlation, overlap and similarity of maps for the class that the dense parent predicts."""
    from lthbench.functional.saliency_maps import overlap, overlap_by_chance, similarity, spearman
    from lthbench.scoring import defined_value, none_of

    ours, theirs = context.maps("explained", "reference"), context.reference.maps("explained", "reference")
    values = []
    for kind in KINDS:
        a, b = getattr(ours, kind), getattr(theirs, kind)
        chance = overlap_by_chance(a[0].size, SHARES[0])
        values.append(Value(f"{kind}_iou", chance, float("nan"), len(a), "chance"))
        if context.own:
            names = (f"{kind}_rho", f"{kind}_iou", f"{kind}_ssim")
            values += [none_of(name, len(a), ALONE) for name in names]
            continue
        lack = "a map of zeros or none"
        values.append(defined_value(f"{kind}_rho", spearman(a, b), lack))
        for share in SHARES:
            variant = "" if share == SHARES[0] else f"top {100 * share:.0f} %"
            values.append(defined_value(f"{kind}_iou", overlap(a, b, share), lack, variant=variant))
        small = min(a.shape[1:]) < 3
        lack = (
            f"a grid of {a.shape[1]} x {a.shape[2]}, too small for windows" if small else "a map of one value"
        )
        values.append(defined_value(f"{kind}_ssim", similarity(a, b), lack))
    return values


def _scores(kind: str, title: str) -> tuple[Score, ...]:
    return (
        Score(f"{kind}_rho", f"{title}: rank agreement", "ratio", True, -1.0, 1.0, "interpretability"),
        Score(f"{kind}_iou", f"{title}: overlap", "fraction", True, 0.0, 1.0, "interpretability"),
        Score(f"{kind}_ssim", f"{title}: similarity", "ratio", True, -1.0, 1.0, "interpretability"),
    )


METRIC = Metric(
    name="agreement",
    version=3,
    title="agreement of saliency maps with the dense parent",
    formula="Spearman correlation; intersection over union of the 10 % most relevant pixels; SSIM",
    source=(
        "lthbench, after Ghosh & Batmanghelich. Maps for the class that the dense parent predicts. What "
        "stands for dense is the dense network of the next seed beside it: the difference to it is the "
        "excess over the agreement of two trainings. Untrained networks and chance are variants"
    ),
    scores=tuple(score for kind, title in KINDS.items() for score in _scores(kind, title)),
    needs=(),
    maps=("explained",),
    nulls=True,
    rival=True,
    measure=measure,
    relative=True,
)
