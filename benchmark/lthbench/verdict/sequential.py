"""Tests that look at the data several times: at which level each look may test, so that all keep theirs.

Seeds are added where a score is still open, and each look tests again. Tested at 5 % each time, a true
hypothesis would be rejected more often than that. Lan & DeMets 1983 spend the level instead: by the time that
a share t of the most seeds has been seen, ``level * t`` may have been used (Kim & DeMets 1987, rho = 1), and
the level of each look follows from what is left by the joint distribution of the looks.

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
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: Nodes of the integration over one look's statistic, and how far below zero they reach, in SD.
_NODES, _REACH = 400, 9.0


def spent(share: float, level: float) -> float:
    """How much of the level may be used by the time that this share of the most seeds has been seen."""
    return level * min(share, 1.0)


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
    import numpy as np

    low = -_REACH * math.sqrt(share)
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    half = (edge - low) / 2.0
    return low + half * (nodes + 1.0), half * weights


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


def first_below(p_values: Sequence[float], looks: tuple[int, ...], level: float) -> int | None:
    """The first look, from 0, at which a p-value is at most the level of the look; None at none of these."""
    bars = levels(looks, level)
    return next((k for k, p in enumerate(p_values) if p <= bars[k]), None)
