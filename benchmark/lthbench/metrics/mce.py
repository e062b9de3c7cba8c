"""Mean corruption error, relative to the dense parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.corruptions import EXTRA, FIFTEEN, STAND_INS
from lthbench.kinds import Context, Metric, Score, Value

if TYPE_CHECKING:
    from lthbench.scoring import Floats

#: The published selections of kinds, by the name of their variant.
SELECTIONS = {"15": FIFTEEN, "19": (*FIFTEEN, *EXTRA)}


def measure(context: Context) -> list[Value]:
    """The mCE and the relative mCE with their published selections of kinds, and the corruption error."""
    import numpy as np

    from lthbench.scoring import apart, mean_and_error, mean_over_sets

    own, dense = _errors(context), _errors(context.reference)
    ours, theirs = np.stack(list(own.values())), np.stack(list(dense.values()))
    n, alone = ours.shape[1], apart(context.sets("corrupted").values())
    # [1, images], or [kinds, images] where each kind has images of its own.
    clean, clean_dense = _clean(context).reshape(-1, n), _clean(context.reference).reshape(-1, n)
    kinds = list(own)
    values = []
    for variant, chosen in {"": kinds, **_selections(kinds)}.items():
        rows = [kinds.index(k) for k in chosen]
        values.append(_ratio("mce", variant, chosen, ours[rows], theirs[rows], alone, "makes no error"))
        base, base_dense = (c[rows] if alone else c for c in (clean, clean_dense))
        lost, lost_dense = ours[rows] - base, theirs[rows] - base_dense
        values.append(_ratio("relative_mce", variant, chosen, lost, lost_dense, alone, "loses no accuracy"))
    values.append(Value("corruption_error", *mean_over_sets(ours, alone), n * len(kinds) if alone else n))
    values += [Value("corruption_error", *mean_and_error(e), n, kind) for kind, e in own.items()]
    return values


def _errors(context: Context) -> dict[str, Floats]:
    """For each kind, each image's error: the share of severities at which it is misclassified."""
    from lthbench.scoring import hits

    sets = context.sets("corrupted").items()
    return {kind: 1.0 - hits(logits.values, logits.labels).mean(0) for kind, logits in sets}


def _clean(context: Context) -> Floats:
    """Whether each image is misclassified as it is: the same images, in the same order, kind by kind."""
    from lthbench.scoring import hits

    logits = context.logits("uncorrupted")
    return 1.0 - hits(logits.values, logits.labels)


def _selections(kinds: list[str]) -> dict[str, list[str]]:
    """The published selections all of whose kinds (or what stands in for them) are there, by variant."""
    found = {}
    for variant, names in SELECTIONS.items():
        chosen = [name if name in kinds else STAND_INS.get(name, name) for name in names]
        if set(chosen) <= set(kinds):
            found[variant] = chosen
    return found


def _ratio(
    score: str, variant: str, kinds: list[str], ours: Floats, theirs: Floats, alone: bool, lack: str
) -> Value:
    """The mean over kinds of sum of ours / sum of theirs (``[kinds, images]``), with its bootstrap error.

    Kinds that have images of their own (``alone``) are resampled apart. Undefined unless all sums of the
    dense parent's are positive. Where those of some resample are not, as of a parent with a handful of errors
    under a kind, a ratio changes with each image as its linear part says (the delta method).
    """
    from lthbench.scoring import resampled_apart, resamples

    n, shown = ours.shape[1], ours.size if alone else ours.shape[1]
    # Sums of shares of severities: what is below a share of one image is rounding.
    least = 1e-9
    empty = [kind for kind, total in zip(kinds, theirs.sum(1), strict=True) if total <= least]
    if empty:
        reason = f"undefined: the dense parent {lack} under {', '.join(empty)}"
        return Value(score, float("nan"), float("nan"), shown, variant, reason)
    counts = resamples(n)
    found, below = ours.sum(1) / theirs.sum(1), counts @ theirs.T
    if (below > least).all():
        ratios = (counts @ ours.T) / below
    else:
        ratios = found + counts @ (ours - found[:, None] * theirs).T / theirs.sum(1)
    draws = (resampled_apart(ratios) if alone else ratios).mean(1)
    return Value(score, float(found.mean()), float(draws.std(ddof=1)), shown, variant, draws=draws)


METRIC = Metric(
    name="mce",
    version=4,
    values_since=3,
    title="mean corruption error",
    formula="mean over corruptions of (sum over severities of the error) / (the same of the dense parent); "
    "relative mCE: the same of the error minus that on the uncorrupted images. Variants 15 and 19: the "
    "published kinds without and with the extra ones, frost_procedural for frost where they are generated",
    source="Hendrycks & Dietterich 2019, section 4.1, with the dense parent of the same seed as reference",
    scores=(
        Score(
            "mce",
            "mCE (dense = 1)",
            "ratio",
            False,
            0.0,
            float("inf"),
            "generalization",
            verdict=True,
            spread_of="corruption_error",
            margin=0.05,
            margin_reason="a twentieth of the dense parent's error (lthbench's choice)",
        ),
        Score(
            "relative_mce",
            "relative mCE (dense = 1)",
            "ratio",
            False,
            float("-inf"),
            float("inf"),
            "generalization",
        ),
        Score("corruption_error", "corruption error", "fraction", False, 0.0, 1.0, "generalization"),
    ),
    needs=("corrupted", "uncorrupted"),
    measure=measure,
    relative=True,
)
