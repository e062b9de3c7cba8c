"""What metrics over logits share: float64 probabilities, resampling, areas under curves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from lthbench.kinds import Logits, Value

Floats = NDArray[np.float64]

#: Resamples behind a bootstrap standard error.
RESAMPLES = 200
#: Temperatures are searched between these, and further for far smaller or larger logits: ``search_range``.
COLDEST, HOTTEST = 0.05, 20.0


def log_softmax(logits: NDArray[np.floating]) -> Floats:
    """Log probabilities over the last axis, in float64: finite however far apart the logits are."""
    from scipy import special

    return special.log_softmax(logits.astype(np.float64), axis=-1)  # type: ignore[no-any-return]


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


def jackknife_error(without: Floats) -> float:
    """The jackknife standard error of a score from its values without each image in turn, ``[n]``.

    It is too large rather than too small in the mean, also for scores that are not smooth, such as counts
    (Efron & Stein 1981, The jackknife estimate of variance).
    """
    n = len(without)
    return float(np.sqrt((n - 1) / n * np.square(without - without.mean()).sum())) if n > 1 else float("nan")


def apart(sets: Iterable[Logits]) -> bool:
    """Whether sets are of different images: those of the same ones have the same labels in the same order."""
    labels = [logits.labels for logits in sets]
    return any(not np.array_equal(labels[0], other) for other in labels[1:])


def mean_over_sets(values: Floats, alone: bool) -> tuple[float, float]:
    """The mean over sets of the means of images ``[sets, images]``, and its standard error.

    Sets are of the same images, or each has its own (``alone``): then their errors are independent.
    """
    if not alone:
        return mean_and_error(values.mean(0))
    errors = [mean_and_error(own)[1] for own in values]
    return float(values.mean()), float(np.sqrt(np.square(errors).sum()) / len(errors))


def resampled_apart(draws: Floats) -> Floats:
    """Draws ``[RESAMPLES, sets]`` of sets that each have images of their own, as those of independent sets.

    ``resamples`` are the same for all sets, and the draws of one resample would go together. So set i gets
    those of i resamples later.
    """
    return np.stack([np.roll(own, -i) for i, own in enumerate(draws.T)], axis=1)


def mean_value(score: str, values: Floats, *, reason: str = "") -> Value:
    """The mean over images, with its standard error and its bootstrap."""
    draws = resamples(len(values)) @ values / len(values)
    return Value(score, *mean_and_error(values), len(values), reason=reason, draws=draws)


def batched_value(score: str, values: Floats, size: int, *, reason: str = "") -> Value:
    """The same where each ``size`` images in a row share what was drawn at random, and err together.

    Batches are resampled whole, and the error is that of a mean over clusters (Liang & Zeger 1986) with the
    factor B / (B - 1) for B of them. One batch alone has neither.
    """
    n, starts = len(values), np.arange(0, len(values), size)
    mean, batches = float(values.mean()), len(starts)
    if batches < 2:
        return Value(score, mean, float("nan"), n, reason=reason)
    # How far each batch, the last of fewer images too, moves the mean.
    moved = np.add.reduceat(values - mean, starts) / n * np.sqrt(batches / (batches - 1))
    draws = mean + resamples(batches) @ moved
    return Value(score, mean, float(np.sqrt(np.square(moved).sum())), n, reason=reason, draws=draws)


def none_of(score: str, n: int, reason: str) -> Value:
    """A score that n images do not have."""
    return Value(score, float("nan"), float("nan"), n, reason=reason)


def defined_value(score: str, values: Floats, what: str, *, variant: str = "") -> Value:
    """The mean over the images for which it is defined (not NaN); the others are counted in the reason.

    ``what`` says what the others have: "a map of zeros".
    """
    n, there = len(values), ~np.isnan(values)
    lacking = n - int(there.sum())
    reason = f"{lacking} of {n} images have {what}" if lacking else ""
    if lacking == n:
        return Value(score, float("nan"), float("nan"), n, variant, reason)
    mean, error = mean_and_error(values[there])
    counts = resamples(n)
    shown = counts @ there
    draws = None
    if (shown > 0).all():
        draws = counts @ np.where(there, values, 0.0) / shown
    return Value(score, mean, error, n - lacking, variant, reason, draws)


@lru_cache(maxsize=16)
def resamples(n: int) -> Floats:
    """How often each of n images stands in each bootstrap resample: ``[RESAMPLES, n]``, the same always.

    All metrics get the same array, so it cannot be written to.
    """
    draw = np.random.Generator(np.random.PCG64(n)).integers(0, n, (RESAMPLES, n))
    rows = np.repeat(np.arange(RESAMPLES), n)
    counts = np.zeros((RESAMPLES, n))
    np.add.at(counts, (rows, draw.ravel()), 1.0)
    counts.setflags(write=False)
    return counts


def resamples_of_both(m: int, n: int) -> tuple[Floats, Floats]:
    """The same for two sets of m and n images that are drawn apart: ``[RESAMPLES, m]``, ``[RESAMPLES, n]``.

    Sets of equally many images would be resampled alike, and what their order shares would count as common
    to both: the second set has the draws of one resample before.
    """
    return resamples(m), np.roll(resamples(n), 1, axis=0)


def calibration_bins(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """The bin of each confidence in [0, 1]: equal ones without their lower edges (0 is in the first)."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def bins_of(confidence: Floats, correct: Floats, bins: int) -> Iterator[tuple[str, Floats, Floats]]:
    """For each bin that is not empty: its edges as a name, what was right in it, and how sure."""
    member = calibration_bins(confidence, bins)
    for b in range(bins):
        inside = member == b
        if inside.any():
            yield f"{b / bins:.3f}-{(b + 1) / bins:.3f}", correct[inside], confidence[inside]


def equal_mass_bins(confidence: Floats, bins: int) -> NDArray[np.int64]:
    """Bins of equally many images (to within one), in the order of confidence; ties in file order."""
    member = np.empty(len(confidence), dtype=np.int64)
    member[np.argsort(confidence, kind="stable")] = np.arange(len(confidence)) * bins // len(confidence)
    return member


def expected_calibration_error(confidence: Floats, correct: Floats, bins: int) -> tuple[float, float]:
    """Sum over bins of |sum of (correct - confidence)| / n, and its bootstrap standard error."""
    return binned_error(confidence, correct, calibration_bins(confidence, bins), bins)


def resampled_ece(confidence: Floats, correct: Floats, bins: int) -> Floats:
    """The ECE, then that of each bootstrap resample: ``[1 + RESAMPLES]``."""
    return _binned(confidence, correct, calibration_bins(confidence, bins), bins)


def binned_error(
    confidence: Floats, correct: Floats, member: NDArray[np.int64], bins: int
) -> tuple[float, float]:
    """The same for given bins."""
    value, *spread = _binned(confidence, correct, member, bins)
    return float(value), float(np.std(spread, ddof=1))


def _binned(confidence: Floats, correct: Floats, member: NDArray[np.int64], bins: int) -> Floats:
    excess = np.eye(bins)[member] * (correct - confidence)[:, None]
    sums = np.concatenate([excess.sum(0)[None], resamples(len(confidence)) @ excess])
    result: Floats = np.abs(sums).sum(1) / len(confidence)
    return result


def debiased_error(
    confidence: Floats, correct: Floats, member: NDArray[np.int64], bins: int
) -> tuple[float, float]:
    """Root of the squared calibration error, the bias of each bin's estimate taken off; bootstrap error.

    Kumar et al. 2019, Verified Uncertainty Calibration, definition 5.1. Bins with one image say nothing.
    """
    inside = np.eye(bins)[member]
    stacked = np.concatenate([np.ones((1, len(confidence))), resamples(len(confidence))])
    sizes = stacked @ inside
    with np.errstate(divide="ignore", invalid="ignore"):
        accuracy = (stacked @ (inside * correct[:, None])) / sizes
        mean = (stacked @ (inside * confidence[:, None])) / sizes
        terms = (accuracy - mean) ** 2 - accuracy * (1.0 - accuracy) / (sizes - 1.0)
    terms = np.where(sizes > 1, terms, 0.0)
    value, *spread = np.sqrt(np.maximum((sizes * terms).sum(1) / len(confidence), 0.0))
    return float(value), float(np.std(spread, ddof=1))


def static_calibration_error(
    probabilities: Floats, labels: NDArray[np.int64], bins: int
) -> tuple[float, float]:
    """Mean over classes of the binned gap between each class's probability and frequency; bootstrap error."""
    value, *spread = resampled_sce(probabilities, labels, bins)
    return float(value), float(np.std(spread, ddof=1))


def resampled_sce(probabilities: Floats, labels: NDArray[np.int64], bins: int) -> Floats:
    """The SCE, then that of each bootstrap resample: ``[1 + RESAMPLES]``."""
    classes = probabilities.shape[1]
    total = np.zeros(1 + RESAMPLES)
    for k in range(classes):
        p = probabilities[:, k]
        total += _binned(p, (labels == k).astype(np.float64), calibration_bins(p, bins), bins)
    result: Floats = total / classes
    return result


def search_range(logits: NDArray[np.floating]) -> tuple[float, float]:
    """Between which temperatures the best is looked for, by the distances of images' logits.

    How hot, by the largest of them; how cold, by their median, which no single image decides.
    """
    distances = np.ptp(logits.astype(np.float64), axis=1)
    some = distances[distances > 0.0]
    usual = float(np.median(some)) if len(some) else 1.0
    return COLDEST * min(1.0, usual), max(HOTTEST, float(distances.max()))


def best_temperature(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """The temperature in ``search_range`` that logits are divided by for the smallest NLL."""
    from scipy.optimize import minimize_scalar

    wide = logits.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(wide / np.exp(log_temperature))
        return -float(np.take_along_axis(scaled, labels[:, None], 1).mean())

    def search(low: float, high: float) -> float:
        bounds = (np.log(low), np.log(high))
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-4})
        return float(np.exp(found.x))

    best = search(COLDEST, HOTTEST)
    low, high = search_range(logits)
    # The NLL has one valley: what is beyond an end matters only where the search went there.
    if best <= 1.01 * COLDEST and low < COLDEST:
        colder = search(low, 1.02 * COLDEST)
        return colder if colder < COLDEST else best
    if best >= HOTTEST / 1.01 and high > HOTTEST:
        return search(HOTTEST / 1.02, high)
    return best


def temperature_error(logits: NDArray[np.floating], labels: NDArray[np.int64], temperature: float) -> float:
    """The standard error of the best temperature over images; NaN where none between the ends is best.

    Of the logarithm it is that of an M-estimator (Huber 1967): the root of the mean squared slope of an
    image's NLL over the mean of second derivatives, by the root of n. The second derivative is the variance
    of the scaled logits under their softmax, where slopes add up to zero.
    """
    scaled = logits.astype(np.float64) / temperature
    chances = np.exp(log_softmax(scaled))
    means = (chances * scaled).sum(1)
    slopes = np.take_along_axis(scaled, labels[:, None], 1)[:, 0] - means
    low, high = search_range(logits)
    inside = 1.01 * low < temperature < high / 1.01
    if not inside or (slopes >= 0.0).all() or (slopes <= 0.0).all():  # one way is always better
        return float("nan")
    bend = float((chances * np.square(scaled - means[:, None])).sum(1).mean())
    error = float(np.sqrt(np.square(slopes).mean() / len(labels)))
    return temperature * error / bend


def attacked_accuracy(score: str, logits: Logits) -> Value:
    """Accuracy on attacked images at one strength, saying how many had no gradient to attack by."""
    zeros = int(logits.notes.get("zero_gradients", 0))
    reason = f"{zeros} images have a zero gradient and stand unattacked" if zeros else ""
    correct = hits(logits.values[0], logits.labels)
    return mean_value(score, correct, reason=reason)


def average_precision(positive: Floats, negative: Floats) -> tuple[float, float]:
    """The area under the precision-recall curve in steps, ties together, and its bootstrap error."""
    from sklearn.metrics import average_precision_score

    truth = np.concatenate([np.ones(len(positive)), np.zeros(len(negative))])
    both = np.concatenate([positive, negative])
    value = float(average_precision_score(truth, both))
    order = np.argsort(-both, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(both[order]) != 0.0), len(both) - 1)
    weights = np.concatenate(resamples_of_both(len(positive), len(negative)), axis=1)[:, order]
    hit = np.cumsum(weights * truth[order], axis=1)[:, ends]
    shown = np.cumsum(weights, axis=1)[:, ends]
    gained = np.diff(hit, axis=1, prepend=0.0) / hit[:, -1:]
    spread = (gained * hit / np.maximum(shown, 1.0)).sum(1)
    return value, float(spread.std(ddof=1))


def false_positives_at(positive: Floats, negative: Floats, rate: float) -> tuple[float, float]:
    """The share of negatives at or above the highest threshold that ``rate`` of the positives reach.

    The standard error is over bootstrap resamples of both kinds: the positives give the threshold, which
    moves the share more than the draw of the negatives does.
    """
    m, n = len(positive), len(negative)
    ranked, others = np.sort(positive)[::-1], np.sort(negative)[::-1]
    last = int(np.ceil(rate * m))
    above = np.searchsorted(-others, -ranked, side="right")  # the negatives that reach each positive
    # How many of a resample reach each place of the ranking.
    reached, counted = (np.cumsum(counts, axis=1) for counts in resamples_of_both(m, n))
    thresholds = (reached >= last).argmax(axis=1)
    shares = [row[above[t] - 1] / n if above[t] else 0.0 for row, t in zip(counted, thresholds, strict=True)]
    return float(above[last - 1] / n), float(np.std(shares, ddof=1))


def roc_auc(positive: Floats, negative: Floats) -> tuple[float, float]:
    """The chance that a positive scores above a negative (ties count half), and its standard error.

    The error is that of DeLong et al. 1988, from the placements of each score among the other kind.
    """
    from scipy.stats import rankdata

    m, n = len(positive), len(negative)
    both = rankdata(np.concatenate([positive, negative]))
    above = (both[:m] - rankdata(positive)) / n
    below = 1.0 - (both[m:] - rankdata(negative)) / m
    variance = (above.var(ddof=1) / m if m > 1 else 0.0) + (below.var(ddof=1) / n if n > 1 else 0.0)
    return float(above.mean()), float(np.sqrt(variance))


def resampled_auc(positive: Floats, negative: Floats) -> Floats:
    """The same on each bootstrap resample of both kinds: ``[RESAMPLES]``."""
    both = np.concatenate([positive, negative])
    order = np.argsort(both, kind="stable")
    starts = np.append(0, np.flatnonzero(np.diff(both[order]) != 0.0) + 1)
    m, n = len(positive), len(negative)
    kinds = np.zeros((2, m + n))
    kinds[0, :m], kinds[1, m:] = 1.0, 1.0
    found = np.empty(RESAMPLES)
    for r, counts in enumerate(zip(*resamples_of_both(m, n), strict=True)):
        weights = np.concatenate(counts)
        high, low = np.add.reduceat((kinds * weights)[:, order], starts, axis=1)
        found[r] = (high * (np.cumsum(low) - 0.5 * low)).sum() / (m * n)
    return found
