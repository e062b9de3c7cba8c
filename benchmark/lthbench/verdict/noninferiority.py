"""How much worse a score is, and how sure that is: bounds and p-values over seeds and images.

Each seed gives another network, and other images would give another score of the same network. The difference
between the mean of S networks and what they are compared with has the variance

    V = s^2 / S + v + r,

    s^2: between seeds; this holds what each network's images add by themselves;
    v:   what other images would change in the difference of all seeds alike (``shared_part``);
    r:   of the mean that is compared with: 0 where each network has a parent of its own (then s^2 is that of
         paired differences), sigma^2 / N where N trainings of the dense network are the yardstick.

The test is a t test, its degrees of freedom by Satterthwaite 1946. With few seeds s^2 alone is a poor
estimate; a calibrated task knows how dense trainings scatter, and ``moderated`` takes that in as Smyth 2004
does: as if so many more degrees of freedom had been seen.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

#: One minus the level of bounds and tests.
ALPHA = 0.05
#: The greatest number of seeds that it is worth while to name.
MOST_SEEDS = 100
#: Scores that are shares of the images, and how much of the variance over images of a seed's difference all
#: seeds have in common at least (docs/verdict.md says from which tables).
SHARES, COMMON = ("accuracy", "fgsm_accuracy"), 0.1


@dataclass(frozen=True)
class Difference:
    """How much worse than what it is compared with: the mean over seeds, and the parts of its variance.

    ``between`` is the variance between seeds (not of their mean), ``shared`` that of the mean over images.
    ``prior`` are degrees of freedom of ``between`` beyond ``seeds - 1``. ``reference`` is the variance of the
    mean that is compared with, with ``reference_freedom`` degrees of freedom.
    """

    mean: float
    between: float
    shared: float
    seeds: int
    prior: float = 0.0
    reference: float = 0.0
    reference_freedom: float = math.inf

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        return self.between / self.seeds + self.shared + self.reference

    @property
    def freedom(self) -> float:
        """Degrees of freedom by Satterthwaite 1946: those of each part, weighted by its share."""
        parts = (
            (self.between / self.seeds, self.seeds - 1 + self.prior),
            (self.reference, self.reference_freedom),
        )
        lost = math.fsum(part**2 / freedom for part, freedom in parts if part > 0.0)
        return self.variance**2 / lost if lost > 0.0 else math.inf

    def reach(self, alpha: float = ALPHA) -> float:
        """By how much the true difference may lie off the mean, on one side, at level ``1 - alpha``."""
        from scipy.special import ndtri, stdtrit

        known = math.isfinite(self.freedom)
        quantile = stdtrit(self.freedom, 1.0 - alpha) if known else ndtri(1.0 - alpha)
        return float(quantile) * math.sqrt(self.variance)

    def bound(self, alpha: float = ALPHA) -> float:
        """The value that the true difference is below, at level ``1 - alpha``."""
        return self.mean + self.reach(alpha)

    def lower(self, alpha: float = ALPHA) -> float:
        """The value that the true difference is above, at level ``1 - alpha``."""
        return self.mean - self.reach(alpha)

    def p_value(self, margin: float) -> float:
        """The p-value of the hypothesis that the true difference is ``margin`` or more."""
        return _below(self, self.mean - margin)

    def p_above(self, value: float = 0.0) -> float:
        """The p-value of the hypothesis that the true difference is ``value`` or less."""
        return _below(self, value - self.mean)

    def seeds_needed(self, margin: float) -> int | None:
        """How many seeds would show it at this mean and these variances; None where 100 would not."""
        if self.mean >= margin:
            return None
        for seeds in range(max(self.seeds, 2), MOST_SEEDS + 1):
            if replace(self, seeds=seeds).p_value(margin) <= ALPHA:
                return seeds
        return None


def _below(found: Difference, distance: float) -> float:
    """The chance of a t variable below a distance, which is in the unit of the score."""
    from scipy.special import ndtr, stdtr

    if math.isnan(found.variance) or math.isnan(distance):
        return math.nan
    if found.variance == 0.0:
        return 0.0 if distance < 0.0 else 1.0
    steps = distance / math.sqrt(found.variance)
    return float(stdtr(found.freedom, steps) if math.isfinite(found.freedom) else ndtr(steps))


def difference(worse_by: Sequence[float], shared_error: float) -> Difference:
    """From each seed's difference, positive where the network is worse, and the error over images."""
    mean, between = spread(worse_by)
    return Difference(mean, between, shared_error**2, len(worse_by))


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample variance; the variance of one value is NaN, and that of equal ones 0."""
    count = len(values)
    if count > 1 and min(values) == max(values):
        return values[0], 0.0
    mean = math.fsum(values) / count
    return mean, math.fsum((v - mean) ** 2 for v in values) / (count - 1) if count > 1 else math.nan


def least_common(score: str) -> float:
    """The share of a seed's variance over images that all seeds have in common at least.

    A share of the images changes by those that are lost. Where these are few, the few that all seeds lose are
    often missing among the images at hand, and no variance is seen where there is one.
    """
    return COMMON if score in SHARES else 0.0


def shared_part(own: Sequence[float], of_mean: float, least: float = 0.0) -> float:
    """The variance over images that the differences of several seeds have in common.

    ``own`` are the standard errors over images of each seed's difference, ``of_mean`` that of their mean. The
    variance of the mean is shared + (own - shared) / S, so that shared = (S of_mean^2 - own^2) / (S - 1): the
    mean covariance of two seeds' differences. What each seed has by itself is in the variance between seeds.
    It is taken to be ``least`` times that of one seed or more.
    """
    seeds = len(own)
    if seeds < 2:
        return of_mean**2
    each = math.fsum(e * e for e in own) / seeds
    return max(least * each, (seeds * of_mean**2 - each) / (seeds - 1))


def moderated(variance: float, freedom: float, expected: float, prior: float) -> float:
    """A variance seen with ``freedom`` degrees, drawn to the ``expected`` one as if ``prior`` had been seen.

    The posterior mean of Smyth 2004, section 3: (prior expected + freedom variance) / (prior + freedom).
    """
    return (prior * expected + freedom * variance) / (prior + freedom)


def hommel(p_values: Sequence[float]) -> list[float]:
    """Hommel 1988: p-values adjusted for being of several, in their order.

    The closed test in which each intersection of hypotheses is tested by Simes 1986: more is found than by
    Holm 1979, and the level is kept where p-values depend on each other as those of correlated scores do
    (Sarkar 1998; simulated for each calibration). The algorithm of Wright 1992. Not by statsmodels, which
    collects garbage at each call: 55 ms, where a site has thousands.
    """
    count = len(p_values)
    order = sorted(range(count), key=lambda i: p_values[i])
    ranked = [p_values[i] for i in order]
    least = min((count * p / rank for rank, p in enumerate(ranked, 1)), default=1.0)
    adjusted = [least] * count
    for size in range(count - 1, 1, -1):
        head = count - size + 1  # of each intersection of so many, the largest ones are left to be tested
        simes = min(size * p / rank for rank, p in enumerate(ranked[head:], 2))
        parts = [min(size * p, simes) for p in ranked[:head]]
        parts += [parts[-1]] * (count - head)
        adjusted = [max(pair) for pair in zip(adjusted, parts, strict=True)]
    found = [0.0] * count
    for place, p, q in zip(order, ranked, adjusted, strict=True):
        found[place] = min(1.0, max(p, q))
    return found


def corrected(p_values: Sequence[float]) -> list[float]:
    """p-values of a network's scores, adjusted by ``hommel``; NaN is one that could not be tested, and stays.

    It counts as one that was tested and shows nothing: leaving a score out must not help the others.
    """
    found = hommel([1.0 if math.isnan(p) else p for p in p_values])
    return [math.nan if math.isnan(p) else q for p, q in zip(p_values, found, strict=True)]
