"""Whether a unit's strongest images look alike: the machine interpretability score.

A two-alternative forced choice, as in experiments with people: of two query images, the one that excites a
unit the most and one that does so the least, which belongs to K other images that excite it, and not to K
that do not (Zimmermann et al. 2024)? A machine decides by similarity.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lthbench.errors import StepFailed
from lthbench.scoring import Floats

#: Choices for each unit, and reference images on each side.
TASKS, REFERENCES = 20, 9
#: The temperature of the soft score.
TEMPERATURE = 0.16
#: As many images are needed on each side; the two must not meet.
NEEDED = TASKS * (REFERENCES + 1)


class Choices(NamedTuple):
    """For each unit and choice, float64 ``[units, TASKS]``: how much more alike the right pairing is.

    NaN for units that are constant over the images.
    """

    margins: Floats

    def hard(self) -> Floats:
        """The share of right choices of each unit; a tie is half right. NaN for constant units."""
        right = (self.margins > 0) + 0.5 * (self.margins == 0)
        return np.where(np.isnan(self.margins).any(1), np.nan, right.mean(1))

    def soft(self) -> Floats:
        """The mean of the logistic function of the margins over ``TEMPERATURE``."""
        found: Floats = (1.0 / (1.0 + np.exp(-self.margins / TEMPERATURE))).mean(1)
        return found


def choices(
    activations: NDArray[np.float32], vectors: NDArray[np.float32], *, relative: bool = False
) -> Choices:
    """The choices by units' mean activations ``[images, units]`` and the images' vectors ``[images,
    features]``.

    A unit is constant where its values differ by less than 1e-8 or, ``relative``, a millionth of the largest.
    Choice t has the images of ranks t (query), TASKS + t, 2 TASKS + t, ... (references), from either end.
    Equal values, such as the zeros of a unit that is seldom on, are ranked in the order of the images. Where
    that is the order of classes, as of a whole test split, the images that stand for such a unit's zeros are
    of few classes, and alike for that: a unit that knows nothing scored .4 to .7 in simulations, not .5.
    Raises StepFailed for fewer images than two sides need.
    """
    if len(activations) < 2 * NEEDED:
        raise StepFailed(f"{len(activations)} images are too few: {2 * NEEDED} are needed")
    found = np.full((activations.shape[1], TASKS), np.nan)
    for unit, values in enumerate(activations.T):
        if np.ptp(values) < (1e-6 * np.abs(values).max() or 1e-30 if relative else 1e-8):
            continue
        order = np.argsort(-values, kind="stable")
        high = vectors[order[:NEEDED].reshape(REFERENCES + 1, TASKS)]
        low = vectors[order[::-1][:NEEDED].reshape(REFERENCES + 1, TASKS)]
        apart = high[1:].mean(0) - low[1:].mean(0)
        found[unit] = ((high[0] - low[0]) * apart).sum(1)
    return Choices(found)
