"""Mean corruption error, relative to the dense parent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Context, Metric, Score, Value

if TYPE_CHECKING:
    from lthbench.scoring import Floats


def _errors(context: Context) -> dict[str, Floats]:
    """For each kind, each image's error: the share of severities at which it is misclassified."""
    from lthbench.scoring import hits

    sets = context.sets("corrupted").items()
    return {kind: 1.0 - hits(logits.values, logits.labels).mean(0) for kind, logits in sets}


def measure(context: Context) -> list[Value]:
    """The mCE, the mean corruption error it is made of, and that of each kind."""
    import numpy as np

    from lthbench.scoring import mean_and_error, resamples

    own, dense = _errors(context), _errors(context.reference)
    ours, theirs = np.stack(list(own.values())), np.stack(list(dense.values()))
    n = ours.shape[1]
    counts = resamples(n)
    if (theirs.sum(1) > 0).all():
        ratio = float((ours.sum(1) / theirs.sum(1)).mean())
        with np.errstate(divide="ignore", invalid="ignore"):
            resampled = ((counts @ ours.T) / (counts @ theirs.T)).mean(1)
        error = float(resampled.std(ddof=1)) if np.isfinite(resampled).all() else float("nan")
        values = [Value("mce", ratio, error, n)]
    else:
        kinds = [k for k, e in dense.items() if not e.any()]
        reason = f"undefined: the dense parent makes no error under {', '.join(kinds)}"
        values = [Value("mce", float("nan"), float("nan"), n, reason=reason)]
    values.append(Value("corruption_error", *mean_and_error(ours.mean(0)), n))
    values += [Value("corruption_error", *mean_and_error(e), n, kind) for kind, e in own.items()]
    return values


METRIC = Metric(
    name="mce",
    version=1,
    title="mean corruption error",
    formula="mean over corruptions of (sum over severities of the error) / (the same of the dense parent)",
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
        ),
        Score("corruption_error", "corruption error", "fraction", False, 0.0, 1.0, "generalization"),
    ),
    needs=("corrupted",),
    measure=measure,
    relative=True,
)
