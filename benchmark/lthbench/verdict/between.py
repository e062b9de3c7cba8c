"""One method beside another at one sparsity: which is better on a score, and are they equivalent?

The verdict holds each method to dense: of two, one may pass and the other be open while nothing tells them
apart. Here the difference of the two is tested itself. Networks of the same seeds are compared:

- on a calibrated task, as two groups, each with its variance between seeds as in ``comparison``;
- without a calibration, paired by seed: the variance between seeds is that of the paired differences.

A difference is sought on either side: one is *better* or *worse* than the other at 5 % over all scores of the
pair together (two-sided p-values, Hommel 1988). They are *equivalent* on a score where the confidence limits
of the difference lie within the margin of the verdict (two one-sided tests: Schuirmann 1987; at 2.5 % each,
so that the limits shown say it).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from lthbench.verdict import sequential
from lthbench.verdict.aspect import Aspect
from lthbench.verdict.comparison import (
    Scatter,
    Yardstick,
    margins,
    own_images,
    scatter,
    seeds_spread,
    shared_images,
)
from lthbench.verdict.noninferiority import ALPHA, Difference, corrected, spread
from lthbench.verdict.scale import Scale

#: What is found of a score: see ``Contrast``.
FINDINGS = ("better", "worse", "equivalent", "open", "same", "untested")


@dataclass(frozen=True)
class Contrast:
    """One score of a method beside the same score of another, the ``other``, at one sparsity.

    ``finding``, one of ``FINDINGS``: better or worse than the other; equivalent: no such difference was
    found, and one by the margin is ruled out; open: neither can be said; same: both are the same networks, as
    the first round of pruning is of two methods, so that nothing is tested; untested, with the ``reason``.
    ``mean`` and ``other`` are in the score's unit. ``gap`` is how much worse the mean is than the other's
    (negative: better), ``lower`` and ``upper`` are its confidence limits (two-sided, 95 %), ``margin`` that
    of the verdict, and ``floor`` the same as far to the better side: in the score's unit, or where
    ``relative`` shares of the other; a margin of 100 % worse, twice as much, is one of 50 % better, half as
    much. ``p`` is the two-sided p-value of no difference, by Hommel over the scores of the pair. ``within``:
    whether the limits lie between floor and margin. ``paired``: whether networks were paired by seed.
    ``images``: whether other images than these are allowed for. Of a run that added seeds, limits are those
    of the last look at both, and p-values of all looks together.
    """

    score: str
    finding: str
    reason: str = ""
    mean: float = math.nan
    other: float = math.nan
    gap: float = math.nan
    lower: float = math.nan
    upper: float = math.nan
    margin: float = math.nan
    floor: float = math.nan
    relative: bool = False
    p: float = math.nan
    within: bool = False
    paired: bool = False
    images: bool = False
    seeds: int = 0


@dataclass(frozen=True)
class _Side:
    """A score of one of the two on a scale, as a group: see ``comparison.seeds_spread``.

    ``shared`` is what other images would change in the difference to dense of all seeds alike, as a variance
    (NaN: not known), ``own`` the part of the variance between seeds that their images alone give.
    """

    mean: float
    between: float
    prior: float
    shared: float
    own: float
    middle: float


@dataclass(frozen=True)
class _Tested:
    """The difference of one score at one look, and the margin, on a scale."""

    difference: Difference
    limit: float
    scale: Scale
    means: tuple[float, float]
    images: bool
    paired: bool


class Pairs:
    """All pairs of methods of a table; what pairs have in common is worked out once."""

    def __init__(self, yardstick: Yardstick, aspects: Sequence[Aspect]):
        self._yardstick = yardstick
        self._aspects = tuple(aspects)
        self._scatters: dict[tuple[int, str, float], Scatter] = {}
        self._sides: dict[tuple[int, str, float, str, Scale], _Side] = {}

    def contrasts(self, method: str, other: str, sparsity: float) -> list[Contrast]:
        """Each score of a method beside that of the other, at one sparsity, in the order of the aspects."""
        both, counts = (method, other), self._yardstick.counts
        # Of a run that added seeds, the looks at which both were looked at.
        looks = min((self._yardstick.at_looks(m, sparsity) for m in both), key=len)
        level = sequential.levels(counts, ALPHA / 2)[len(looks) - 1] if counts else ALPHA / 2
        found = []
        for aspect in self._aspects:
            reason = _untested(looks[-1], both, sparsity, aspect)
            if reason:
                found.append(Contrast(aspect.score, "untested", reason))
                continue
            if same := _same(looks[-1], both, sparsity, aspect):
                found.append(same)
                continue
            path = [self._tested(look, both, sparsity, aspect) for look in looks]
            if math.isnan(path[-1].difference.variance):
                why = f"{aspect.title} has no standard error of a difference of two networks"
                found.append(Contrast(aspect.score, "untested", why))
                continue
            found.append(_contrast(aspect, path, counts, level))
        adjusted = corrected([c.p for c in found])
        return [c if math.isnan(p) else _judged(c, p) for c, p in zip(found, adjusted, strict=True)]

    def _tested(self, look: Yardstick, both: tuple[str, str], sparsity: float, aspect: Aspect) -> _Tested:
        """The difference of the two on a score; all rows must be there and have values."""
        dense = look.population(aspect.score)
        values = [look.values(m, sparsity, aspect.score) for m in both]
        whole = all(
            len(v) == len(look.observed.of(m, sparsity, aspect.score))
            for v, m in zip(values, both, strict=True)
        )
        if dense is None or not whole:
            return self._paired(look, both, sparsity, aspect)
        scale = dense.scale.fitted(*values)
        one, other = (self._side(look, m, sparsity, aspect, scale) for m in both)
        shared, seeds = _shared(one, other), len(values[0])
        known = not math.isnan(shared)
        found = Difference(
            one.mean - other.mean,
            one.between,
            shared if known or seeds == 1 else 0.0,
            seeds,
            one.prior,
            other.between / seeds,
            seeds - 1 + other.prior,
        )
        center = scale.value(dense.mean) if scale == dense.scale else fmean(dense.values)
        limit, _ = margins(scale, dense.margin, dense.practical, center, dense.relative)
        return _Tested(found, limit, scale, (one.middle, other.middle), known, paired=False)

    def _paired(self, look: Yardstick, both: tuple[str, str], sparsity: float, aspect: Aspect) -> _Tested:
        """The difference by pairs of one seed."""
        own, theirs = ({r.seed: r.value for r in look.observed.of(m, sparsity, aspect.score)} for m in both)
        scale = aspect.scale.fitted(own.values(), theirs.values())
        mean, between = spread([scale.place(own[seed]) - scale.place(theirs[seed]) for seed in own])
        one, other = (self._side(look, m, sparsity, aspect, scale) for m in both)
        shared, alone = _shared(one, other), len(own) == 1
        known = not math.isnan(shared)
        # What each seed's images alone give to the difference is not in the table; the mean of what they give
        # to those to dense stands for it.
        between = 0.0 if alone else max(between, fmean((one.own, other.own)))
        found = Difference(mean, between, shared if known or alone else 0.0, len(own))
        margin = (look.dense(aspect.score) or aspect).margin
        dense = [r.value for r in look.observed.dense(aspect.score) if math.isfinite(r.value)]
        limit, _ = margins(scale, margin, margin, fmean(dense or theirs.values()), aspect.relative)
        return _Tested(found, limit, scale, (one.middle, other.middle), known, paired=True)

    def _side(self, look: Yardstick, method: str, sparsity: float, aspect: Aspect, scale: Scale) -> _Side:
        key = (id(look), method, sparsity, aspect.score, scale)
        if key not in self._sides:
            self._sides[key] = self._new_side(look, method, sparsity, aspect, scale)
        return self._sides[key]

    def _new_side(self, look: Yardstick, method: str, sparsity: float, aspect: Aspect, scale: Scale) -> _Side:
        dense = look.population(aspect.score)
        values = look.values(method, sparsity, aspect.score)
        rows = look.observed.of(method, sparsity, aspect.score)
        if dense is None or len(values) < len(rows):
            dense, values = None, [r.value for r in rows]
        places = [scale.place(v) for v in values]
        if dense is None:
            mean, between, prior = *spread(places), 0.0
        else:
            scattered = self._scatter(look, method, sparsity)
            mean, between, prior = seeds_spread(places, aspect.score, dense.on(scale), scattered)
        errors = look.errors(method, sparsity, aspect.score)
        shared, known = shared_images(*errors, scale)
        own = own_images(*errors, scale, shared) if known else 0.0
        return _Side(mean, between, prior, shared, own, scale.middle(values))

    def _scatter(self, look: Yardstick, method: str, sparsity: float) -> Scatter:
        key = (id(look), method, sparsity)
        if key not in self._scatters:
            self._scatters[key] = scatter(look, method, sparsity, self._aspects)
        return self._scatters[key]


def _shared(one: _Side, other: _Side) -> float:
    """What other images would change in the differences of the two of all seeds alike, as a variance.

    Tables hold the errors of differences to dense parents. That of A - B = (A - D) - (B - D) is at most the
    sum of the two, whichever way they depend on each other.
    """
    return (math.sqrt(one.shared) + math.sqrt(other.shared)) ** 2


def _judged(found: Contrast, p: float) -> Contrast:
    if p <= ALPHA:
        return replace(found, p=p)
    return replace(found, p=p, finding="equivalent" if found.within else "open")


def _untested(yardstick: Yardstick, both: tuple[str, str], sparsity: float, aspect: Aspect) -> str:
    """Why a score of the two cannot be compared; "" where it can."""
    seeds = []
    for method in both:
        rows = yardstick.observed.of(method, sparsity, aspect.score)
        if (method, sparsity) in yardstick.observed.degenerate:
            return f"{method} is degenerate: {yardstick.observed.degenerate[method, sparsity]}"
        if not rows:
            return f"{aspect.title} of {method} is not measured"
        for row in rows:
            if row.status != "ok" or not math.isfinite(row.value):
                return f"{aspect.title} of {method}, seed {row.seed}: {row.reason or row.status}"
        seeds.append({row.seed for row in rows})
    if seeds[0] != seeds[1]:
        return f"{aspect.title} of {both[0]} and {both[1]} is of different seeds"
    return ""


def _same(yardstick: Yardstick, both: tuple[str, str], sparsity: float, aspect: Aspect) -> Contrast | None:
    """The contrast of networks that one step measured, for each seed; None where they are not the same."""
    own, theirs = ({r.seed: r.step for r in yardstick.observed.of(m, sparsity, aspect.score)} for m in both)
    if own != theirs or not all(own.values()):
        return None
    rows = yardstick.observed.of(both[0], sparsity, aspect.score)
    middle = aspect.scale.fitted([r.value for r in rows]).middle([r.value for r in rows])
    return Contrast(
        aspect.score, "same", mean=middle, other=middle, gap=0.0, lower=0.0, upper=0.0, seeds=len(own)
    )


def _contrast(aspect: Aspect, path: Sequence[_Tested], counts: tuple[int, ...], level: float) -> Contrast:
    """The numbers of the last look; p-values are those of all looks together."""
    last = path[-1]
    shown = last.scale.shown
    sides = [
        [t.difference.p_value(0.0) for t in path],
        [t.difference.p_above(0.0) for t in path],
        [t.difference.p_value(t.limit) for t in path],
        [t.difference.p_above(-t.limit) for t in path],
    ]
    better, worse, less, more = (sequential.over_looks(p, counts) if counts else p[-1] for p in sides)
    return Contrast(
        aspect.score,
        "better" if better < worse else "worse",  # where it is sure
        mean=last.means[0],
        other=last.means[1],
        gap=shown(last.difference.mean),
        lower=shown(last.difference.lower(level)),
        upper=shown(last.difference.bound(level)),
        margin=shown(last.limit),
        floor=shown(-last.limit),
        relative=last.scale.relative,
        p=min(1.0, 2.0 * min(better, worse)),
        within=max(less, more) <= ALPHA / 2,
        paired=last.paired,
        images=last.images,
        seeds=last.difference.seeds,
    )
