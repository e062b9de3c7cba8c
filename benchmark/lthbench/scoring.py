"""What metrics over logits share: float64 probabilities, resampling, areas under curves. NumPy only."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Resamples behind a bootstrap standard error.
RESAMPLES = 200


def log_softmax(logits: NDArray[np.floating]) -> Floats:
    """Log probabilities over the last axis, in float64: finite however far apart the logits are."""
    wide = logits.astype(np.float64)
    shifted = wide - wide.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))  # type: ignore[no-any-return]


def log_confidence(logits: NDArray[np.floating]) -> Floats:
    """Log of the largest probability, over the last axis: exact where the probability itself rounds to 1."""
    wide = logits.astype(np.float64)
    top = wide.argmax(-1)[..., None]
    others = np.exp(wide - np.take_along_axis(wide, top, -1))
    np.put_along_axis(others, top, 0.0, -1)
    return -np.log1p(others.sum(-1))  # type: ignore[no-any-return]


def hits(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> Floats:
    """1 where the largest logit is the label's, else 0; the first of equal logits counts."""
    correct: Floats = (logits.argmax(-1) == labels).astype(np.float64)
    return correct


def mean_and_error(values: Floats) -> tuple[float, float]:
    """The mean, and its standard error (sample standard deviation over the root of n)."""
    n = len(values)
    return float(values.mean()), float(values.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan")


@lru_cache(maxsize=16)
def resamples(n: int) -> Floats:
    """How often each of n images stands in each bootstrap resample: ``[RESAMPLES, n]``, the same always."""
    draw = np.random.Generator(np.random.PCG64(n)).integers(0, n, (RESAMPLES, n))
    rows = np.repeat(np.arange(RESAMPLES), n)
    counts = np.zeros((RESAMPLES, n))
    np.add.at(counts, (rows, draw.ravel()), 1.0)
    return counts


def calibration_bins(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin of each confidence in [0, 1]: equal ones without their lower edges (0 is in the first)."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def expected_calibration_error(confidence: Floats, correct: Floats, bins: int) -> tuple[float, float]:
    """Sum over bins of |sum of (correct - confidence)| / n, and its bootstrap standard error."""
    member = np.eye(bins)[calibration_bins(confidence, bins)]
    excess = member * (correct - confidence)[:, None]
    n = len(confidence)
    spread = np.abs(resamples(n) @ excess).sum(1) / n
    return float(np.abs(excess.sum(0)).sum() / n), float(spread.std(ddof=1))


def roc_auc(positive: Floats, negative: Floats) -> tuple[float, float]:
    """The chance that a positive scores above a negative (ties count half), and its standard error.

    The error is that of DeLong et al. 1988, from the placements of each score among the other kind.
    """
    m, n = len(positive), len(negative)
    both = _midranks(np.concatenate([positive, negative]))
    above = (both[:m] - _midranks(positive)) / n
    below = 1.0 - (both[m:] - _midranks(negative)) / m
    variance = (above.var(ddof=1) / m if m > 1 else 0.0) + (below.var(ddof=1) / n if n > 1 else 0.0)
    return float(above.mean()), float(np.sqrt(variance))


def _midranks(values: Floats) -> Floats:
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    middle = last - (counts - 1) / 2.0
    return middle[place]
