"""On which scale a score is compared: as it is, or its logarithm, so that a difference is a ratio."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean


@dataclass(frozen=True)
class Scale:
    """``relative``: differences are of logarithms. Larger is worse on the scale, whichever way is better.

    Scores whose margin is a share of the dense parent's (NLL, Hessian trace), and mCE, which is a ratio, have
    skewed distributions over seeds; their logarithms have not, and a share is a difference there.
    """

    higher_is_better: bool
    relative: bool = False

    @property
    def sign(self) -> float:
        """1.0 where lower is better."""
        return -1.0 if self.higher_is_better else 1.0

    def fits(self, values: Iterable[float]) -> bool:
        """Whether values can be placed on it."""
        return not self.relative or all(v > 0.0 for v in values)

    def fitted(self, *values: Iterable[float]) -> Scale:
        """This scale, or where not all of these values can be placed on it, that of scores as they are."""
        return self if all(map(self.fits, values)) else Scale(self.higher_is_better)

    def place(self, value: float) -> float:
        """A score's place on the scale. A logarithm needs a positive value."""
        return self.sign * (math.log(value) if self.relative else value)

    def value(self, place: float) -> float:
        """The score at a place."""
        return math.exp(self.sign * place) if self.relative else self.sign * place

    def middle(self, values: Iterable[float]) -> float:
        """The mean on the scale, as a score: geometric where differences are ratios, so that they follow."""
        return self.value(fmean(map(self.place, values)))

    def error(self, error: float, *values: float) -> float:
        """A standard error of a difference of these values on the scale.

        That of a logarithm is a share of the value; of the smallest of the values, which is never too little
        where errors grow with values.
        """
        return error / min(values) if self.relative else error

    def margin(self, margin: float) -> float:
        """How far a margin, in the score's unit or as a share, reaches on the scale."""
        if not self.relative:
            return margin
        return -math.log1p(-margin) if self.higher_is_better else math.log1p(margin)

    def shown(self, difference: float) -> float:
        """A difference as people read it: in the score's unit, or as a share of what is compared with."""
        if not self.relative or math.isnan(difference):
            return difference
        try:
            return -math.expm1(-difference) if self.higher_is_better else math.expm1(difference)
        except OverflowError:
            return math.copysign(math.inf, difference)
