"""Making a calibration of the score table of many dense networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from lthbench.errors import BadInput
from lthbench.verdict.calibration import FEWEST, RATIO, Calibration, DenseScore, margin
from lthbench.verdict.noninferiority import spread
from lthbench.verdict.observed import Observed

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.verdict.aspect import Aspect


def calibrate(
    table: pd.DataFrame,
    aspects: Sequence[Aspect],
    keys: Mapping[str, str],
    pair_errors: Mapping[str, float],
    task: str,
    budget: str,
    command: str = "",
) -> Calibration:
    """The calibration out of a table's dense networks.

    ``keys`` are those of the steps that measure the dense network of seed 0, by score; ``pair_errors`` the
    standard errors, over images, of the difference of two dense networks. Raises BadInput for too few
    networks, or for a score that cannot be compared.
    """
    observed = Observed(table)
    measured = [a for a in aspects if observed.dense(a.score)]
    if not measured:
        raise BadInput("the table has no score of the verdict of a dense network.")
    seeds = tuple(sorted({r.seed for a in measured for r in observed.dense(a.score)}))
    if len(seeds) < FEWEST:
        raise BadInput(f"a calibration needs at least {FEWEST} dense networks; these are {len(seeds)}.")
    kinds = _corruptions(observed, seeds)
    found = Calibration(task, budget, seeds, {}, kinds, command)
    scores = {}
    for aspect in measured:
        values = _values(observed, aspect, seeds, found)
        relative, scale = aspect.relative, aspect.scale
        bad = [s for s, v in zip(seeds, values, strict=True) if not math.isfinite(v) or (relative and v <= 0)]
        if bad:
            raise BadInput(f"{aspect.score} of the dense network of seed {bad[0]} cannot be compared.")
        rounded = tuple(float(f"{v:.6g}") for v in values)
        variance = spread([scale.place(v) for v in rounded])[1]
        scores[aspect.score] = DenseScore(
            aspect.score,
            keys[aspect.score],
            aspect.higher_is_better,
            relative,
            aspect.margin,
            margin(scale, aspect.margin, variance),
            rounded,
            pair_errors.get(aspect.score),
        )
    return Calibration(task, budget, seeds, scores, kinds, command)


def _corruptions(observed: Observed, seeds: Sequence[int]) -> dict[str, float]:
    """The mean error of the dense networks under each corruption; none where not all seeds have all."""
    errors = [observed.corruption_errors("dense", 0.0, s) for s in seeds]
    kinds = [k for k in errors[0] if all(k in e and math.isfinite(e[k]) for e in errors)]
    means = {k: math.fsum(e[k] for e in errors) / len(errors) for k in kinds}
    return {k: float(f"{m:.6g}") for k, m in means.items() if m > 0.0}


def _values(observed: Observed, aspect: Aspect, seeds: Sequence[int], found: Calibration) -> list[float]:
    if aspect.score == RATIO:
        return [found.ratio(observed.corruption_errors("dense", 0.0, s)) for s in seeds]
    by_seed = {r.seed: r.value for r in observed.dense(aspect.score)}
    return [by_seed.get(s, math.nan) for s in seeds]
