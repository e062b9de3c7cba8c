"""Uncertainty under corruption: does the network know less when it sees less?"""

from __future__ import annotations

from lthbench.kinds import Context, Metric, Score, Value
from lthbench.metrics.ece import BINS


def measure(context: Context) -> list[Value]:
    """ECE, NLL and Brier score, mean over severities: over all kinds, and of each kind."""
    import numpy as np

    from lthbench import scoring

    eces, losses, briers = {}, {}, {}
    sure, right = [], []
    alone = scoring.apart(context.sets("corrupted").values())
    for kind, logits in context.sets("corrupted").items():
        n = len(logits.labels)
        p = scoring.log_softmax(logits.values)
        truth = np.eye(p.shape[2])[logits.labels]
        losses[kind] = -np.take_along_axis(p, logits.labels[None, :, None], 2)[:, :, 0].mean(0)
        briers[kind] = ((np.exp(p) - truth) ** 2).sum(2).mean(0)
        confidence = np.exp(scoring.log_confidence(logits.values))
        correct = scoring.hits(logits.values, logits.labels)
        pairs = zip(confidence, correct, strict=True)
        eces[kind] = np.mean([scoring.resampled_ece(c, h, BINS) for c, h in pairs], axis=0)
        sure.append(confidence.ravel())
        right.append(correct.ravel())
    values = []
    for variant, kinds in [("", list(losses)), *((k, [k]) for k in losses)]:
        value, *spread = np.mean([eces[k] for k in kinds], axis=0)
        if alone:
            spread = scoring.resampled_apart(np.stack([eces[k][1:] for k in kinds], axis=1)).mean(1)
        shown = n * len(kinds) if alone else n
        values.append(Value("corrupted_ece", float(value), float(np.std(spread, ddof=1)), shown, variant))
        for score, found in (("corrupted_nll", losses), ("corrupted_brier", briers)):
            own = np.stack([found[k] for k in kinds])
            values.append(Value(score, *scoring.mean_over_sets(own, alone), shown, variant))
    # An image is in here once for each corruption, so that the images' errors are not independent.
    for name, hit, told in scoring.bins_of(np.concatenate(sure), np.concatenate(right), BINS):
        values.append(Value("corrupted_bin_accuracy", float(hit.mean()), float("nan"), len(hit), name))
        values.append(Value("corrupted_bin_confidence", float(told.mean()), float("nan"), len(told), name))
    return values


def _bin(name: str, title: str, *, higher: bool = False) -> Score:
    return Score(name, title, "fraction", higher, 0.0, 1.0, "uncertainty")


METRIC = Metric(
    name="shift",
    version=2,
    title="uncertainty under corruption",
    formula="ECE (15 bins), NLL and Brier score of each corrupted set, mean over severities and kinds; "
    "reliability diagram of all of them together",
    source="Ovadia et al. 2019, Can You Trust Your Model's Uncertainty?; as in the code of Chen et al. 2022",
    scores=(
        Score("corrupted_ece", "ECE under corruption", "fraction", False, 0.0, 1.0, "uncertainty"),
        Score("corrupted_nll", "NLL under corruption", "nats", False, 0.0, float("inf"), "uncertainty"),
        Score(
            "corrupted_brier",
            "Brier score under corruption",
            "squared probability",
            False,
            0.0,
            2.0,
            "uncertainty",
        ),
        _bin("corrupted_bin_accuracy", "accuracy in a bin of confidence, under corruption", higher=True),
        _bin("corrupted_bin_confidence", "confidence in a bin, under corruption"),
    ),
    needs=("corrupted",),
    measure=measure,
)
