"""Tests that look at the data several times: at which level each look may test, so that all keep theirs.

Seeds are added where a score is still open, and each look tests again. Tested at 5 % each time, a true
hypothesis would be rejected more often than that. Lan & DeMets 1983 spend the level instead: by the time that
a share t of the most seeds has been seen, ``level * log(1 + (e - 1) t)`` may have been used, and the level of
each look follows from what is left by the joint distribution of the looks. This function, near to the equal
levels of Pocock 1977, spends much of the level early: where most networks are clearly good or clearly bad it
takes the fewest seeds (docs/verdict.md has the numbers).

Means of growing numbers of independent seeds have independent increments: Z_k sqrt(t_k) is a Brownian motion
seen at t_1 < ... < t_K, t_k = seeds_k / most (Jennison & Turnbull 2000, chapter 3). The levels are exact for
it, by numerical integration (Armitage, McPherson & Rowe 1969). What all looks have in common (the mean of a
calibration, the images) only makes them more alike, and by Slepian's inequality that makes a false rejection
at any of them rarer: the level is kept. Where a variance is estimated, p-values take the place of Z (the
significance level approach, Jennison & Turnbull 2000, section 11.5); the tests simulate that.

The numbers of seeds at the looks are fixed before the first of them is trained, and a test that has rejected
at one look has rejected. Looks may be left out, or end early for whatever reason: that wins nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from lthbench.verdict.noninferiority import ALPHA, Difference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Nodes of the integration over one look's statistic, and how far below zero they reach, in SD.
_NODES, _REACH = 256, 9.0
#: The smallest level that is worked out; below, one is in proportion to it. Levels worked out from there on.
_LEAST, _KNOTS = 1e-9, 40


@dataclass(frozen=True)
class Looks:
    """When a run looks at its results: numbers of seeds, the last of them the most; its seeds in order."""

    counts: tuple[int, ...]
    seeds: tuple[int, ...]

    def seen(self) -> list[frozenset[int]]:
        """The seeds at each look that was taken."""
        return [frozenset(self.seeds[:count]) for count in self.counts if count <= len(self.seeds)]


def spent(share: float, level: float) -> float:
    """How much of the level may be used by the time that this share of the most seeds has been seen."""
    return level * math.log1p((math.e - 1.0) * min(share, 1.0))


@lru_cache(maxsize=1024)
def levels(looks: tuple[int, ...], level: float) -> tuple[float, ...]:
    """The level of a one-sided test at each look, so that what is true is rejected at any with ``level``.

    ``looks`` are growing numbers of seeds, the last of them the most.
    """
    import numpy as np
    from scipy.optimize import brentq
    from scipy.special import ndtr, ndtri

    shares = [count / looks[-1] for count in looks]
    found = [spent(shares[0], level)]
    edge = -float(ndtri(found[0])) * math.sqrt(shares[0])
    nodes, weights = _grid(edge, shares[0])
    density = np.exp(-(nodes**2) / (2.0 * shares[0])) / math.sqrt(2.0 * math.pi * shares[0])
    for before, share in pairwise(shares):
        step, new = math.sqrt(share - before), spent(share, level) - spent(before, level)
        mass = weights * density  # of not having rejected so far, by place

        edge = brentq(_beyond, -_REACH, _REACH, (nodes, mass, step, new), xtol=1e-12)
        found.append(float(ndtr(-edge / math.sqrt(share))))
        earlier = nodes
        nodes, weights = _grid(edge, share)
        kernel = np.exp(-((nodes[:, None] - earlier) ** 2) / (2.0 * step**2))
        density = kernel @ mass / (step * math.sqrt(2.0 * math.pi))
    return tuple(found)


def _beyond(
    edge: float, nodes: NDArray[np.float64], mass: NDArray[np.float64], step: float, wanted: float
) -> float:
    """By how much the chance of passing an edge at the next look is more than ``wanted``."""
    from scipy.special import ndtr

    return float(mass @ ndtr((nodes - edge) / step)) - wanted


def _grid(edge: float, share: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Nodes and weights of Gauss and Legendre, from far below up to the boundary."""
    low = -_REACH * math.sqrt(share)
    nodes, weights = _nodes()
    half = (edge - low) / 2.0
    return low + half * (nodes + 1.0), half * weights


@lru_cache(maxsize=1)
def _nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    import numpy as np

    return np.polynomial.legendre.leggauss(_NODES)


def predicted(mean: float, now: float, then: float, edge: float) -> float:
    """The chance that a mean falls below ``edge`` once its variance has shrunk from ``now`` to ``then``.

    Of what is known now alone: the true difference is taken as normal around the mean with variance ``now``
    (predictive power: Spiegelhalter, Freedman & Blackburn 1986). The later mean is then normal around the
    present one with variance ``now - then``.
    """
    from scipy.special import ndtr

    left = now - then
    if left <= 0.0:
        return 1.0 if mean < edge else 0.0
    return float(ndtr((edge - mean) / math.sqrt(left)))


def chances(found: Difference, margin: float, counts: tuple[int, ...]) -> tuple[float, float]:
    """The chances of what the most seeds would show: worse by less than the margin; and worse than dense."""
    then, level = replace(found, seeds=counts[-1]), levels(counts, ALPHA)[-1]
    now, later, reach = found.variance, then.variance, then.reach(level)
    matches = predicted(found.mean, now, later, margin - reach)
    return matches, predicted(-found.mean, now, later, -reach)


def over_looks(p_values: Sequence[float], counts: tuple[int, ...]) -> float:
    """One p-value of those at the looks so far: the least level of all looks at which one of them rejects.

    It is at most any level with at most that chance where the hypothesis is true, whatever number of looks is
    taken (sequential p-values: Liu & Anderson 2008), and so may be corrected for others as any p-value.
    """
    return min([1.0, *(_whole(p, look, counts) for look, p in enumerate(p_values) if not math.isnan(p))])


def _whole(p: float, look: int, counts: tuple[int, ...]) -> float:
    """The level of all looks of which this look has ``p``."""
    import numpy as np

    if len(counts) == 1:
        return p
    whole, parts = _table(counts)
    own = parts[:, look]
    if p <= own[0]:
        return float(p * whole[0] / own[0])
    return float(np.exp(np.interp(math.log(p), np.log(own), np.log(whole)))) if p <= own[-1] else 1.0


@lru_cache(maxsize=64)
def _table(counts: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels of all looks, growing, and of each look by them."""
    import numpy as np

    whole = np.unique([*np.geomspace(_LEAST, 0.9, _KNOTS), ALPHA])
    return whole, np.array([levels(counts, float(level)) for level in whole])
