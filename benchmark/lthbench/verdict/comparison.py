"""One score of one method at a sparsity beside what it is compared with: the dense trainings, or its parents.

A calibrated task knows the mean of many dense trainings: networks are compared with it, and the question is
whether they are as good as another training of the dense network. Without a calibration, and for networks
with parents of their own, each network is compared with the parent of its seed. One network alone says
nothing about what another seed would give: what is found then is of this network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from lthbench.verdict.calibration import RATIO, Calibration, DenseScore, foreign
from lthbench.verdict.noninferiority import Difference, least_common, moderated, shared_part, spread
from lthbench.verdict.observed import Observed, Row
from lthbench.verdict.scale import Scale

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.verdict.aspect import Aspect
    from lthbench.verdict.sequential import Looks

#: What is expected of the variance between seeds of a pruned network, as a multiple of that of dense ones,
#: and the degrees of freedom that this is worth (docs/verdict.md says from which tables).
EXPECTED, PRIOR = 1.25, 4.0
#: A score that scatters so much more than expected is judged by its own variance: in one case of twenty of
#: networks that scatter as expected.
APART = 0.95
#: One that scatters by so much more that chance gives it once in a thousand cases.
WILD = 0.999


@dataclass(frozen=True)
class Scatter:
    """By how much more a method's scores vary over seeds than those of dense networks: variance ratios."""

    ratios: Mapping[str, float] = field(default_factory=dict)

    def whole(self, seeds: int, trainings: int) -> float:
        """The mean over the scores, and at least 1.

        With three seeds the variance of one score says little; that of ten says whether this method's
        trainings are all less sure than dense ones. A score that scatters out of all proportion says nothing
        of the others, and is left out.
        """
        from scipy.special import fdtri

        if len(self.ratios) < 2:
            return max(1.0, *self.ratios.values(), 1.0)
        limit = float(fdtri(seeds - 1, wild_freedom(seeds, trainings, len(self.ratios)), WILD))
        kept = [r for name, r in self.ratios.items() if r <= limit * self._rest(name)]
        return max(1.0, fmean(kept)) if kept else 1.0

    def apart(self, score: str, seeds: int, trainings: int) -> bool:
        """Whether one score scatters more than the others and chance explain: an F test at 5 %."""
        from scipy.special import fdtri

        return self.ratios.get(score, 0.0) > float(fdtri(seeds - 1, trainings - 1, APART)) * self._rest(score)

    def _rest(self, score: str) -> float:
        """The ratio that is expected of a score by all others."""
        rest = [r for name, r in self.ratios.items() if name != score]
        return EXPECTED * (max(1.0, fmean(rest)) if rest else 1.0)


def wild_freedom(seeds: int, trainings: int, scores: int) -> int:
    """The degrees of freedom that the mean ratio of all scores but one has at least."""
    return min(trainings - 1, (scores - 1) * (seeds - 1))


@dataclass(frozen=True)
class Comparison:
    """How much worse one score is than what it is compared with, on its scale, and how much it may be.

    ``mean`` and ``dense`` are in the score's unit. ``population``: compared with the calibration's dense
    trainings, and not with parents. ``images``: whether other images than these are allowed for.
    ``better_than`` is the share of the calibration's trainings that are worse, ``as_bad`` how probable one
    training is that is as bad or worse: NaN without a calibration.
    """

    difference: Difference
    limit: float
    practical: float
    scale: Scale
    mean: float
    dense: float
    population: bool
    images: bool
    better_than: float = math.nan
    as_bad: float = math.nan


@dataclass(frozen=True)
class Yardstick:
    """What networks of a table are compared with. ``own_parents``: their parents were trained elsewhere.

    ``counts`` are numbers of seeds at which results are looked at, and ``looks`` the same as this for each
    that was, of the seeds that there were then. ``images``: the table that errors over images are taken from,
    all seeds in it, as the error of a mean over seeds is of them all. ``unlike`` are scores that were left
    out of the calibration.
    """

    observed: Observed
    calibration: Calibration | None = None
    own_parents: bool = False
    counts: tuple[int, ...] = ()
    looks: tuple[Yardstick, ...] = ()
    images: Observed | None = None
    unlike: tuple[str, ...] = ()
    _populations: dict[str, DenseScore | None] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        calibration: Calibration | None = None,
        looks: Looks | None = None,
        *,
        own_parents: bool = False,
    ) -> Yardstick:
        """That of a table, which ``calibration`` fits (``calibration.fitting``).

        ``looks`` are those of a run that added seeds where something was open: networks have as many seeds as
        there were at some look. Of the calibration the scores are left out in which the run's own dense
        networks are ``unlike`` it: at the first look, so that a network is judged alike at each.
        """
        observed = Observed(table)
        counts, seen = (looks.counts, looks.seen()) if looks else ((), [])
        # At each look networks were compared with the seeds that there were, alone.
        tables = [Observed(table[table["seed"].isin(seeds)]) for seeds in seen]
        other: tuple[str, ...] = ()
        if calibration is not None and not own_parents:
            other = unlike(tables[0] if tables else observed, calibration)
            kept = {name: s for name, s in calibration.scores.items() if name not in other}
            calibration = replace(calibration, scores=kept) if kept else None
        parts = tuple(cls(t, calibration, own_parents, counts, images=observed) for t in tables)
        return cls(observed, calibration, own_parents, counts, parts, unlike=other)

    def at_looks(self, method: str, sparsity: float) -> tuple[Yardstick, ...]:
        """Those of the looks at a network; this alone where there are none, or its seeds are not of one."""
        seeds = len(self.observed.seeds.get((method, sparsity), ()))
        if not self.looks or seeds not in self.counts:
            return (self,)
        return self.looks[: self.counts.index(seeds) + 1]

    def errors(self, method: str, sparsity: float, score: str) -> tuple[Sequence[Row], Sequence[Row]]:
        """The rows of a score, and of its parents, whose errors over images stand for it."""
        found = self.images or self.observed
        return found.of(method, sparsity, score), found.dense(score)

    def dense(self, score: str) -> DenseScore | None:
        """What the calibration knows of a score."""
        return self.calibration.scores.get(score) if self.calibration else None

    def population(self, score: str) -> DenseScore | None:
        """The dense trainings that a score is compared with; None where it is compared with parents."""
        if score not in self._populations:
            there = not self.own_parents and self.own_places(score) is not None
            self._populations[score] = self.dense(score) if there else None
        return self._populations[score]

    def own_places(self, score: str) -> list[float] | None:
        """The run's own dense networks on the calibration's scale; None where not all can be placed."""
        found, values = self.dense(score), self.values("dense", 0.0, score)
        if found is None or len(values) < len(self.observed.dense(score)):
            return None
        return [found.scale.place(v) for v in values] if found.scale.fits(values) else None

    def values(
        self, method: str, sparsity: float, score: str, statuses: Sequence[str] = ("ok",)
    ) -> list[float]:
        """A score of a method's networks as it is compared with the calibration: what can be."""
        rows = [r for r in self.observed.of(method, sparsity, score) if r.status in statuses]
        if score == RATIO and self.calibration is not None:
            errors = (self.observed.corruption_errors(method, sparsity, r.seed) for r in rows)
            found = [self.calibration.ratio(e) for e in errors]
        else:
            found = [r.value for r in rows]
        return [v for v in found if not math.isnan(v)]


def unlike(observed: Observed, calibration: Calibration) -> tuple[str, ...]:
    """The scores in which a run's own dense networks are not like the calibration's: ``foreign``."""
    beside = Yardstick(observed, calibration)
    places = {name: beside.own_places(name) or [] for name in calibration.scores}
    count = len(places)
    return tuple(n for n, found in places.items() if foreign(calibration.scores[n], found, count))


def scatter(yardstick: Yardstick, method: str, sparsity: float, aspects: Sequence[Aspect]) -> Scatter:
    """How much more a method's scores vary over seeds than those of dense networks."""
    ratios = {}
    for aspect in aspects:
        dense = yardstick.population(aspect.score)
        values = yardstick.values(method, sparsity, aspect.score)
        if dense is not None and dense.variance > 0.0 and len(values) > 1 and dense.scale.fits(values):
            places = [dense.scale.place(v) for v in values]
            ratios[aspect.score] = spread(places)[1] / dense.variance
    return Scatter(ratios)


def compare(
    yardstick: Yardstick, method: str, sparsity: float, aspect: Aspect, scattered: Scatter | None = None
) -> Comparison:
    """Compare one score. All its rows must be there and have values."""
    dense = yardstick.population(aspect.score)
    own = yardstick.observed.of(method, sparsity, aspect.score)
    values = yardstick.values(method, sparsity, aspect.score)
    whole = len(values) == len(own)
    errors = yardstick.errors(method, sparsity, aspect.score)
    if dense is not None and whole:
        found = _with_population(errors, values, aspect, dense, scattered or Scatter())
    else:
        found = _with_parents(yardstick, own, errors, aspect)
    known = yardstick.dense(aspect.score)
    if known is None or not whole:
        return found
    if not known.scale.fits(values):  # a value of 0 has no logarithm: it is as low as can be
        least = 0.0 if known.higher_is_better else 1.0
        return replace(found, better_than=least, as_bad=least)
    place = fmean(known.scale.place(v) for v in values)
    return replace(found, better_than=known.better_than(place), as_bad=known.as_bad(place))


def untested(yardstick: Yardstick, method: str, sparsity: float, aspect: Aspect) -> dict[str, Any]:
    """The numbers of a score that is not tested, as of a degenerate network, on the scale of those that are.

    They are fields of a ``Match``; none where the dense score has no value.
    """
    rows = yardstick.observed.of(method, sparsity, aspect.score)
    there = [r.value for r in rows if not math.isnan(r.value)]
    known = yardstick.population(aspect.score)
    own = yardstick.values(method, sparsity, aspect.score, ("ok", "degenerate")) if known else there
    if len(own) < len(there):
        known, own = None, there
    theirs = list(known.values) if known else [r.value for r in yardstick.observed.dense(aspect.score)]
    if not theirs or not all(map(math.isfinite, (*theirs, *own))):
        return {}
    scale = (known or aspect).scale.fitted(theirs, own)
    calibrated = yardstick.dense(aspect.score)
    margin, practical = (calibrated or aspect).margin, (calibrated.practical if calibrated else aspect.margin)
    center, dense = fmean(map(scale.place, theirs)), fmean(theirs)
    limits = margins(scale, margin, practical, scale.value(center) if known else dense, aspect.relative)
    mean, gap = math.nan, math.nan
    if own:
        mean, gap = scale.middle(own), scale.shown(fmean(map(scale.place, own)) - center)
    allowed, least = map(scale.shown, limits)
    return {
        "mean": mean,
        "dense": scale.middle(theirs),
        "shortfall": gap,
        "allowed": allowed,
        "practical": least,
        "relative": scale.relative,
        "reference": "trainings" if known else "parents",
    }


def _with_population(
    errors: tuple[Sequence[Row], Sequence[Row]],
    values: Sequence[float],
    aspect: Aspect,
    dense: DenseScore,
    scattered: Scatter,
) -> Comparison:
    scale = dense.scale.fitted(values)
    theirs = dense.on(scale)
    center, variance = spread(theirs)
    seeds, trainings = len(values), len(theirs)
    mean, between, prior = seeds_spread([scale.place(v) for v in values], dense.score, theirs, scattered)
    shared, known = shared_images(*errors, scale, least_common(aspect.score))
    if seeds == 1 and known:
        # What other images change in its difference to its parent, and in the parent's to all trainings.
        apart = scale.error(dense.pair_error or 0.0, scale.value(center))
        shared += apart**2 / 2.0
    found = Difference(
        mean - center,
        between,
        shared if known or seeds == 1 else 0.0,
        seeds,
        prior,
        variance / trainings,
        trainings - 1,
    )
    limit, practical = margins(scale, dense.margin, dense.practical, scale.value(center), dense.relative)
    return Comparison(
        found,
        limit,
        practical,
        scale,
        scale.middle(values),
        scale.middle(dense.values),
        population=True,
        images=known,
    )


def seeds_spread(
    places: Sequence[float], score: str, dense: Sequence[float], scattered: Scatter
) -> tuple[float, float, float]:
    """The mean over seeds, the variance between seeds, and the degrees of freedom that the latter has beyond
    those of the seeds.

    The variance is drawn to what the dense trainings make one expect, but for one seed (it is 0 then), a
    score that scatters apart from the others, and one in which no dense trainings differ.
    """
    variance = spread(dense)[1]
    mean, between = spread(places)
    seeds, trainings = len(places), len(dense)
    if seeds == 1:
        return mean, 0.0, 0.0
    prior = 0.0 if variance == 0.0 or scattered.apart(score, seeds, trainings) else PRIOR
    expected = EXPECTED * scattered.whole(seeds, trainings) * variance
    return mean, moderated(between, seeds - 1, expected, prior), prior


def _with_parents(
    yardstick: Yardstick, own: Sequence[Row], errors: tuple[Sequence[Row], Sequence[Row]], aspect: Aspect
) -> Comparison:
    parents = yardstick.observed.dense(aspect.score)
    theirs = {r.seed: r.value for r in parents}
    values = [r.value for r in own]
    scale = aspect.scale.fitted(values, theirs.values())
    gaps = [scale.place(r.value) - scale.place(theirs[r.seed]) for r in own]
    mean, between = spread(gaps)
    seeds = len(gaps)
    shared, known = shared_images(*errors, scale)
    between = max(between, own_images(*errors, scale, shared)) if seeds > 1 else 0.0
    found = Difference(mean, between, shared if known or seeds == 1 else 0.0, seeds)
    margin = (yardstick.dense(aspect.score) or aspect).margin
    limits = margins(scale, margin, aspect.margin, fmean(theirs.values()), aspect.relative)
    middles = scale.middle(values), scale.middle(theirs.values())
    return Comparison(found, *limits, scale, *middles, population=False, images=known)


def margins(scale: Scale, margin: float, practical: float, dense: float, share: bool) -> tuple[float, float]:
    """The margin and the practical one on the scale; shares of the dense mean where it is no logarithm."""
    factor = abs(dense) if share and not scale.relative else 1.0
    return scale.margin(margin * factor), scale.margin(practical * factor)


def shared_images(
    own: Sequence[Row], parents: Sequence[Row], scale: Scale, least: float = 0.0
) -> tuple[float, bool]:
    """What other images would change in the differences of all seeds alike, as a variance; whether known.

    ``least`` is the share of one seed's variance that it is at least (``noninferiority.least_common``).
    Tables put together from several runs lack one error of the mean over seeds; the mean of the seeds' own
    errors, which is never smaller, stands for it.
    """
    errors = [r.diff_se for r in own]
    of_mean = own[0].mean_diff_se
    if any(map(math.isnan, errors)) or not parents:
        if math.isnan(of_mean):
            return math.nan, False
        errors = [of_mean] * len(own)
    unit = scale.error(1.0, fmean(r.value for r in own), fmean(r.value for r in parents))
    if not all(r.mean_diff_se == of_mean for r in own):
        return (fmean(errors) * unit) ** 2, True
    return shared_part([e * unit for e in errors], of_mean * unit, least), True


def own_images(own: Sequence[Row], parents: Sequence[Row], scale: Scale, shared: float) -> float:
    """The part of the variance between seeds that their images alone give; 0 where that is not known.

    The variance between seeds is at least that. Two or three seeds are near each other by chance, which must
    not make them sure, least of all where images are few and a score has few values.
    """
    errors = [r.diff_se for r in own]
    if any(map(math.isnan, errors)):
        return 0.0
    unit = scale.error(1.0, fmean(r.value for r in own), fmean(r.value for r in parents))
    return max(0.0, fmean((e * unit) ** 2 for e in errors) - shared)
