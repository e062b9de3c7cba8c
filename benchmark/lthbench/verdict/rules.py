"""LTH-PASS: which sparse networks match their dense parent, on which scores, by which rule.

A pure function of the score table, and of the task's calibration where there is one. Three rules:

- ``noninferior``, the headline: a one-sided test at 5 % over seeds and images shows that the score is worse
  by less than its margin (``comparison``, ``noninferiority``). All scores at once are an
  intersection-union test (Berger 1982): each at 5 %, without a correction. What is *better* or *worse* than
  dense is said of single scores, and so at 5 % over all scores of a network together (Hommel 1988). "Holds up
  to" is a fixed sequence: from the lowest sparsity up, stopped at the first that is not shown; "worse from"
  is one from the highest down.
- ``std``: the mean over seeds is worse by at most one sample standard deviation of the dense networks.
- ``paper``: the mean over seeds is at least as good as that of the dense networks; accuracy may be one
  percentage point lower (Chen et al. 2022, section 4.1, as reconstructed from their VGG-11 results).

For each rule, a score's *extreme* is the largest sparsity at which it matches. The paper's LTH-PASS is the
smallest of the extremes. The *joint* LTH-PASS is the largest sparsity at which all scores match at once, by
``noninferior`` the last of the fixed sequence. A network with an empty layer, constant output or accuracy at
chance never passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev

from lthbench.verdict import sequential
from lthbench.verdict.aspect import Aspect
from lthbench.verdict.comparison import Comparison, Scatter, Yardstick, compare, scatter, untested
from lthbench.verdict.noninferiority import ALPHA, corrected
from lthbench.verdict.observed import Observed, mean, so_far

RULES = ("noninferior", "std", "paper")
HEADLINE = "noninferior"

#: What is found of a score: see ``Match``.
FINDINGS = ("better", "matches", "open", "worse", "undecided", "failed", "gated", "degenerate")
#: Findings by which a network falls short for sure.
SHORT = ("worse", "gated", "degenerate")


@dataclass(frozen=True)
class Match:
    """What is found of one score of a method at a sparsity. ``matches`` is None if it cannot be said.

    ``finding``, one of ``FINDINGS``: better than dense; matches: worse by less than the margin; worse than
    dense, and not shown to be within the margin; open: neither can be said; undecided: the rule cannot be
    applied, or not yet; failed: it was not measured; gated: its accuracy is below what scores of
    interpretability ask for; or the network is degenerate.

    ``shortfall`` is how much worse the mean is than dense (negative: better), ``bound`` what the true
    shortfall is below and ``lower`` what it is above, each at ``1 - level``; ``allowed`` is the margin, and
    ``practical`` the one that would do were retraining surer. All are in the score's unit, or where
    ``relative`` shares of the dense mean. ``p`` is the p-value of being worse by the margin or more;
    ``p_better`` of being no better than dense, ``p_worse`` of being no worse, by Hommel over a network's
    scores. ``reference``: ``trainings`` of the dense network in the calibration, or ``parents``; ``images``:
    whether other images are allowed for. ``better_than``: the share of the calibration's trainings that are
    worse than the mean, ``as_bad`` how probable one training is that is as bad or worse. ``seeds_needed``:
    how many seeds would show it if these are typical (0: unknown, or more than 100). Where seeds are added
    until all is decided, ``chance`` is that of being shown to match with the most seeds, as predicted from
    these, and ``chance_worse`` that of being shown to be worse.
    """

    method: str
    sparsity: float
    score: str
    rule: str
    mean: float
    dense: float
    shortfall: float
    allowed: float
    matches: bool | None
    reason: str = ""
    finding: str = ""
    bound: float = math.nan
    lower: float = math.nan
    practical: float = math.nan
    relative: bool = False
    level: float = math.nan
    p: float = math.nan
    p_better: float = math.nan
    p_worse: float = math.nan
    reference: str = ""
    images: bool = False
    better_than: float = math.nan
    as_bad: float = math.nan
    seeds: int = 0
    seeds_needed: int = 0
    chance: float = math.nan
    chance_worse: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """The result for one method by one rule. Sparsities are None where nothing matches.

    ``extremes``: for each score the largest matching sparsity. ``paper_pass``: the smallest of them, and
    ``binding`` the scores that have it. ``holds``: for each score the sparsity up to which it matches at all
    measured, ``worse_from``: that from which on it is worse at all. ``joint``: the largest sparsity at which
    all match (by ``noninferior``: up to which all match at all sparsities); ``held_back``: the scores that do
    not at the next sparsity (none if there is no next one); ``short_from``: the sparsity from which on each
    network falls short on a score for sure. ``monotone``: no sparsity fails below one that passes.
    ``region``: the largest sparsity at which accuracy is within its slack (region I of Chen et al. 2022;
    beyond it is region II). ``scope``: what the findings are of: the ``method``, as another seed would train
    it, or one ``network``.
    """

    method: str
    rule: str
    sparsities: tuple[float, ...]
    extremes: dict[str, float | None]
    paper_pass: float | None
    binding: tuple[str, ...]
    joint: float | None
    held_back: tuple[str, ...]
    monotone: bool
    region: float | None
    undecided: str
    matches: tuple[Match, ...]
    holds: dict[str, float | None] = field(default_factory=dict)
    worse_from: dict[str, float | None] = field(default_factory=dict)
    short_from: float | None = None
    scope: str = "method"

    @property
    def scores(self) -> list[str]:
        """The scores that it is on, in their order."""
        return list(dict.fromkeys(m.score for m in self.matches))

    @property
    def gaps(self) -> list[float]:
        """The sparsities below ``joint`` at which not all scores match."""
        below = (s for s in self.sparsities if self.joint is not None and s < self.joint)
        return [s for s in below if not all(m.matches for m in self.at(s))]

    def at(self, sparsity: float) -> tuple[Match, ...]:
        """What is found of each score at a sparsity."""
        return tuple(m for m in self.matches if m.sparsity == sparsity)


def verdicts(yardstick: Yardstick, aspects: Sequence[Aspect]) -> dict[str, list[Verdict]]:
    """The verdict by each rule on every method of a table of one task and budget, in the table's order."""
    return {r: [_verdict(yardstick, m, aspects, r) for m in yardstick.observed.methods] for r in RULES}


def _verdict(yardstick: Yardstick, method: str, aspects: Sequence[Aspect], rule: str) -> Verdict:
    observed = yardstick.observed
    sparsities = tuple(sorted(observed.sparsities[method]))
    measured = aspects if observed.names & {a.score for a in aspects} else []
    found = {s: _matches(yardstick, method, s, measured, rule) for s in sparsities}
    matches = tuple(m for s in sparsities for m in found[s])
    of = {a.score: {m.sparsity: m for m in matches if m.score == a.score} for a in measured}
    extremes = {name: max((s for s, m in row.items() if m.matches), default=None) for name, row in of.items()}
    all_match = bool(measured) and None not in extremes.values()
    paper_pass = min(e for e in extremes.values() if e is not None) if all_match else None
    passing = [s for s in sparsities if measured and all(m.matches for m in found[s])]
    joint = _unbroken(sparsities, passing) if rule == HEADLINE else max(passing, default=None)
    beyond = [s for s in sparsities if joint is None or s > joint]
    reasons = [m.reason for m in matches if m.matches is None]
    undecided = reasons[0] if matches and len(reasons) == len(matches) else ""
    if not measured:
        undecided = "none of the scores that it asks for was measured"
    accuracy = [a for a in measured if a.score == "accuracy"]
    region = [
        s for s in sparsities if any(m.matches for m in _matches(yardstick, method, s, accuracy, "paper"))
    ]
    downward = sparsities[::-1]
    return Verdict(
        method,
        rule,
        sparsities,
        extremes,
        paper_pass,
        tuple(score for score, e in extremes.items() if e == paper_pass),
        joint,
        tuple(m.score for m in found[beyond[0]] if not m.matches) if beyond else (),
        monotone=all(s in passing for s in sparsities if s < max(passing, default=0.0)),
        region=max(region, default=None),
        undecided=undecided,
        matches=matches,
        holds={
            name: _unbroken(sparsities, [s for s, m in row.items() if m.matches]) for name, row in of.items()
        },
        worse_from={
            name: _unbroken(downward, [s for s, m in row.items() if _short(m)]) for name, row in of.items()
        },
        short_from=_unbroken(downward, [s for s in sparsities if any(m.finding in SHORT for m in found[s])]),
        scope="network" if max((m.seeds for m in matches), default=0) == 1 else "method",
    )


def _unbroken(levels: Sequence[float], holding: Sequence[float]) -> float | None:
    """The last of the levels from the first on at which something holds: a fixed sequence of tests."""
    last = None
    for level in levels:
        if level not in holding:
            break
        last = level
    return last


def _short(match: Match) -> bool:
    """Whether one score is worse, by a test of that score alone."""
    if match.finding in SHORT:
        return True
    return match.matches is False and match.lower > 0.0


def _matches(
    yardstick: Yardstick, method: str, sparsity: float, aspects: Sequence[Aspect], rule: str
) -> list[Match]:
    """What is found of each score of one network, after the correction for there being several."""
    looks = yardstick.at_looks(method, sparsity)
    if rule != HEADLINE:
        return [_match(looks[-1], method, sparsity, a, rule, Scatter()) for a in aspects]
    levels = sequential.levels(yardstick.counts, ALPHA) if yardstick.counts else (ALPHA,)
    paths = []
    for look, level in zip(looks, levels, strict=False):
        scattered = scatter(look, method, sparsity, aspects)
        paths.append([_match(look, method, sparsity, a, rule, scattered, level) for a in aspects])
    found = [_over_looks(path, yardstick.counts) for path in zip(*paths, strict=True)]
    of = {a.score: a for a in aspects}
    found = [
        replace(m, **untested(yardstick, method, sparsity, of[m.score])) if math.isnan(m.p) else m
        for m in found
    ]
    better = corrected([math.nan if math.isnan(m.p) else m.p_better for m in found])
    worse = corrected([math.nan if math.isnan(m.p) else m.p_worse for m in found])
    return [m if math.isnan(m.p) else _tested(m, *p) for m, *p in zip(found, better, worse, strict=True)]


def _over_looks(path: Sequence[Match], counts: tuple[int, ...]) -> Match:
    """What all looks at one score have shown: its numbers at the first that decides for it, or at the last.

    p-values are those of all looks together, and bounds hold at all looks at once.
    """
    last = path[-1]
    if not counts or math.isnan(last.p):
        return last
    p, better, worse = (
        sequential.over_looks(values, counts)
        for values in ([m.p for m in path], [m.p_better for m in path], [m.p_worse for m in path])
    )
    first = next((m for m in path if m.p <= m.level), None)
    known = first or replace(
        last, bound=min(m.bound for m in path), lower=max(m.lower for m in path if not math.isnan(m.lower))
    )
    return replace(known, p=p, p_better=better, p_worse=worse, level=ALPHA)


def _tested(match: Match, better: float, worse: float) -> Match:
    """What follows from the p-values: of being within the margin alone, and corrected of being off dense."""
    known = replace(match, p_better=better, p_worse=worse)
    if match.p <= ALPHA:
        finding = "better" if better <= ALPHA else "matches"
        return replace(known, matches=True, finding=finding, seeds_needed=0)
    return replace(known, matches=False, finding="worse" if worse <= ALPHA else "open")


def _match(
    yardstick: Yardstick,
    method: str,
    sparsity: float,
    aspect: Aspect,
    rule: str,
    scattered: Scatter,
    level: float = ALPHA,
) -> Match:
    observed = yardstick.observed
    own, parent = observed.of(method, sparsity, aspect.score), observed.dense(aspect.score)
    average, dense = mean(own), mean(parent)
    allowed, undecided = _allowed(observed, aspect, rule, dense)
    shortfall = (dense - average) if aspect.higher_is_better else (average - dense)
    seeds, wanted = {r.seed for r in own}, {r.seed for r in parent}

    def match(result: bool | None, finding: str, reason: str = "") -> Match:
        numbers = average, dense, shortfall, allowed
        count = len(seeds & wanted)
        return Match(method, sparsity, aspect.score, rule, *numbers, result, reason, finding, seeds=count)

    if (method, sparsity) in observed.degenerate:
        return match(False, "degenerate", observed.degenerate[method, sparsity])
    for who, awaited in (("dense", so_far(parent)), ("it", so_far(own))):
        if awaited:
            return match(None, "undecided", f"{who} is {awaited}")
    bad = [r for r in own if r.status != "ok" or not math.isfinite(r.value)]
    if not wanted or any(math.isnan(r.value) for r in parent):
        return match(None, "undecided", f"{aspect.title} of the dense parent is not measured")
    if not all(math.isfinite(r.value) for r in parent):
        return match(None, "undecided", f"{aspect.title} of the dense parent is not finite")
    if bad:
        gated = all(r.status == "gated" for r in bad)
        why = "not finite" if math.isinf(bad[0].value) else "not measured"
        return match(False, "gated" if gated else "failed", str(bad[0].reason) or why)
    if not seeds >= wanted:
        return match(False, "failed", f"measured for {len(seeds & wanted)} of {len(wanted)} seeds")
    if seeds != wanted:
        return match(
            None, "undecided", f"{aspect.title} is measured for {len(wanted)} of {len(seeds)} parents"
        )
    if undecided:
        return match(None, "undecided", undecided)
    if rule == HEADLINE:
        found = compare(yardstick, method, sparsity, aspect, scattered)
        if math.isnan(found.difference.variance):
            return match(None, "undecided", f"{aspect.title} has no standard error of its paired difference")
        return _compared(match(None, ""), found, level, yardstick.counts)
    # Means of equal numbers may differ in the last bit by the order of summing.
    good = shortfall <= allowed + 1e-12 * max(1.0, abs(dense))
    return match(good, "matches" if good else "worse")


def _compared(match: Match, found: Comparison, level: float, counts: tuple[int, ...]) -> Match:
    """The numbers of a test at a level."""
    difference, shown = found.difference, found.scale.shown
    chances = sequential.chances(difference, found.limit, counts) if counts else (math.nan, math.nan)
    return replace(
        match,
        mean=found.mean,
        dense=found.dense,
        shortfall=shown(difference.mean),
        bound=shown(difference.bound(level)),
        lower=shown(difference.lower(level)),
        allowed=shown(found.limit),
        practical=shown(found.practical),
        relative=found.scale.relative,
        level=level,
        p=difference.p_value(found.limit),
        p_better=difference.p_value(0.0),
        p_worse=difference.p_above(0.0),
        reference="trainings" if found.population else "parents",
        images=found.images,
        better_than=found.better_than,
        as_bad=found.as_bad,
        seeds_needed=difference.seeds_needed(found.limit) or 0 if difference.seeds > 1 else 0,
        chance=chances[0],
        chance_worse=chances[1],
    )


def _allowed(observed: Observed, aspect: Aspect, rule: str, dense: float) -> tuple[float, str]:
    """How much worse than dense is still a match, and why that cannot be said."""
    if rule == "paper":
        return aspect.slack, ""
    if rule == HEADLINE:
        return aspect.margin * (abs(dense) if aspect.relative_margin else 1.0), ""
    source = [r.value for r in observed.dense(aspect.spread_of or aspect.score)]
    if len(source) < 2:
        return math.nan, f"the rule {rule} needs at least two seeds"
    if not all(map(math.isfinite, source)):
        return math.nan, f"{aspect.spread_of or aspect.score} of the dense parent is not finite"
    spread = stdev(source)
    if aspect.spread_of:
        average = fmean(source)
        spread = dense * spread / average if average else 0.0
    return spread, ""
