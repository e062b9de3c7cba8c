"""Non-inferiority of a score over seeds and images: bound, p-value, and how many seeds it would take.

A sparse network of each seed is compared with the dense one of that seed, on the same images. The differences
vary for two reasons: another seed gives another pair of networks, and other images would give another
difference of the same pair. The first is seen between the seeds; the second comes from the paired bootstrap
over images, of the mean over seeds, because all seeds see the same images. The variance of the mean is taken
as the sum of both,

    V = s^2 / S + v,        s^2: variance between S seeds,  v: that of the mean over seeds, over the images,

a little too much, as s^2 holds the images' own part that seeds do not share. With few seeds a bootstrap over
seeds gives intervals that are too short (three seeds: its 5 % quantile is nearly the smallest of them), so
the bound is a t bound, its degrees of freedom by Satterthwaite 1946: those of the seeds' part, more where the
images' part dominates. Simulated in the tests: an inferior network passes in at most 5 % of cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

#: One minus the level of bounds and tests.
ALPHA = 0.05
#: The greatest number of seeds that it is worth while to name.
MOST_SEEDS = 100


@dataclass(frozen=True)
class Difference:
    """How much worse than its dense parents: the mean over seeds, and the two parts of its variance.

    ``between`` is the variance between seeds (not of their mean), ``shared`` that of the mean over images.
    """

    mean: float
    between: float
    shared: float
    seeds: int

    @property
    def variance(self) -> float:
        """The variance of the mean."""
        return self.between / self.seeds + self.shared

    @property
    def freedom(self) -> float:
        """Degrees of freedom: ``seeds - 1``, more as the images' part grows."""
        part = self.between / self.seeds
        return (self.seeds - 1) * (self.variance / part) ** 2 if part > 0.0 else math.inf

    def bound(self, alpha: float = ALPHA) -> float:
        """The value that the true difference is below, at level ``1 - alpha``."""
        from scipy.special import ndtri, stdtrit

        known = math.isfinite(self.freedom)
        reach = stdtrit(self.freedom, 1.0 - alpha) if known else ndtri(1.0 - alpha)
        return self.mean + float(reach) * math.sqrt(self.variance)

    def p_value(self, margin: float) -> float:
        """The p-value of the hypothesis that the true difference is ``margin`` or more."""
        from scipy.special import ndtr, stdtr

        if self.variance == 0.0:
            return 0.0 if self.mean < margin else 1.0
        distance = (self.mean - margin) / math.sqrt(self.variance)
        return float(stdtr(self.freedom, distance) if math.isfinite(self.freedom) else ndtr(distance))

    def seeds_needed(self, margin: float, alpha: float = ALPHA) -> int | None:
        """How many seeds would show it at this mean and these variances; None where 100 would not.

        The images' part is taken as it is: it shrinks with more seeds only as far as these do not share it.
        """
        if self.mean >= margin:
            return None
        for seeds in range(max(self.seeds, 2), MOST_SEEDS + 1):
            if Difference(self.mean, self.between, self.shared, seeds).p_value(margin) <= alpha:
                return seeds
        return None


def difference(worse_by: Sequence[float], shared_error: float) -> Difference:
    """From each seed's difference, positive where the network is worse, and the error over images."""
    seeds = len(worse_by)
    mean = math.fsum(worse_by) / seeds
    between = math.fsum((d - mean) ** 2 for d in worse_by) / (seeds - 1) if seeds > 1 else math.nan
    return Difference(mean, between, shared_error**2, seeds)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm 1979: p-values adjusted for being the smallest of several, in their order.

    The smallest of n is multiplied by n, the next by n - 1 and so on; none may be below the one before, or
    above 1. Not by statsmodels, which collects garbage at each call: 55 ms, where a site has thousands.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = largest
    return adjusted
