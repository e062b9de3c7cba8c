"""LTH-PASS: which sparse networks match their dense parent, on which scores, by which rule.

A pure function of the score table. Three rules are computed:

- ``noninferior``, the headline: a one-sided test over images and seeds, at 5 % after Holm's correction, shows
  that the score is worse by less than its margin (see the module ``noninferior``). A score that is not shown
  to hold is told apart from one that is worse.
- ``std``: the mean over seeds is worse by at most one sample standard deviation of the dense networks.
- ``paper``: the mean over seeds is at least as good as that of the dense networks; accuracy may be one
  percentage point lower (Chen et al. 2022, section 4.1, as reconstructed from their VGG-11 results).

For each rule, a score's *extreme* is the largest sparsity at which it matches. The paper's LTH-PASS is the
smallest of the extremes. The *joint* LTH-PASS is the largest sparsity at which all scores match at once.
A network with an empty layer, constant output or accuracy at chance never passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, NamedTuple

from lthbench.verdict.noninferiority import ALPHA, Difference, difference, holm

if TYPE_CHECKING:
    import pandas as pd

RULES = ("noninferior", "std", "paper")
HEADLINE = "noninferior"
#: The rule that heads a report of one seed, where the others cannot be applied.
ONE_SEED = "paper"

#: What is found of a score: see ``Match``.
FINDINGS = ("matches", "worse", "not shown", "undecided", "failed", "gated", "degenerate")


@dataclass(frozen=True)
class Aspect:
    """A score that LTH-PASS asks for: which way is better, and how much worse it may be.

    ``slack`` is for the rule ``paper``; ``margin``, in the score's unit or where ``relative_margin`` as a
    share of the dense mean, for ``noninferior``, with the reason for it. ``spread_of`` names the score whose
    relative spread stands for this one's, where this one is relative to the dense parent and so does not vary
    over dense seeds.
    """

    score: str
    title: str
    higher_is_better: bool
    slack: float = 0.0
    spread_of: str = ""
    margin: float = 0.0
    relative_margin: bool = False
    margin_reason: str = ""


@dataclass(frozen=True)
class Match:
    """Whether one score of a method at a sparsity matches dense. ``matches`` is None if it cannot be said.

    ``shortfall`` is how much worse the mean is than the dense mean (negative: better), and ``allowed`` how
    much worse it may be, in the score's unit. ``finding`` is one of ``FINDINGS``: it matches; it is worse by
    more than allowed (and, where that is tested, not by chance); it is not shown to hold, though it may; that
    cannot be said; it was not measured; its accuracy is below the gate of scores of interpretability; or the
    network is degenerate. By the rule ``noninferior``: ``bound`` is what the true shortfall is below, at 95
    %; ``p`` is the p-value and ``holm`` the same after Holm's correction; ``seeds_needed`` is how many seeds
    would show it if these are typical (0: unknown, or more than 100).
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
    p: float = math.nan
    holm: float = math.nan
    seeds: int = 0
    seeds_needed: int = 0


@dataclass(frozen=True)
class Verdict:
    """The result for one method by one rule. Sparsities are None where nothing matches.

    ``extremes``: for each score the largest matching sparsity. ``paper_pass``: the smallest of them, and
    ``binding`` the scores that have it. ``joint``: the largest sparsity at which all match; ``held_back``:
    the scores that do not at the next sparsity (none if there is no next one). ``monotone``: no sparsity
    fails below the joint one. ``region``: the largest sparsity at which accuracy is within its slack
    (region I of Chen et al. 2022; beyond it is region II).
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

    @property
    def decided(self) -> bool:
        """Whether the rule can be applied to this table at all."""
        return not self.undecided

    def at(self, sparsity: float) -> tuple[Match, ...]:
        """What is found of each score at a sparsity."""
        return tuple(m for m in self.matches if m.sparsity == sparsity)


def verdicts(table: pd.DataFrame, aspects: Sequence[Aspect], rule: str = HEADLINE) -> list[Verdict]:
    """The verdict on every method of a table of one task and budget, in the table's order of methods."""
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, not {rule!r}")
    scores = _Scores(table)
    return [_verdict(scores, method, aspects, rule) for method in scores.methods]


class _Row(NamedTuple):
    """One seed's score."""

    seed: int
    value: float
    status: str
    reason: str
    diff_se: float
    mean_diff_se: float


class _Scores:
    """The headline scores of a table, by method, sparsity and score."""

    def __init__(self, table: pd.DataFrame):
        main = table[table["variant"].isna() | (table["variant"] == "")]
        self.methods = [m for m in dict.fromkeys(main["method"]) if m != "dense"]
        self.names = set(main["score"])
        self.sparsities: dict[str, list[float]] = {}
        self.degenerate: dict[tuple[str, float], str] = {}
        self._cells: dict[tuple[str, float, str], list[_Row]] = {}
        self._dense: dict[str, list[_Row]] = {}
        unknown = [math.nan] * len(main)
        names = ("method", "sparsity", "score", "seed", "value", "status", "reason")
        columns = [main[c].tolist() for c in names]  # columns of text are slow to go through one by one
        columns += [list(main.get(c, unknown)) for c in ("diff_se", "mean_diff_se")]
        for method, sparsity, score, *facts in zip(*columns, strict=True):
            row = _Row(*facts)
            self._cells.setdefault((method, sparsity, score), []).append(row)
            if method == "dense":
                self._dense.setdefault(score, []).append(row)
            if sparsity not in self.sparsities.setdefault(method, []):
                self.sparsities[method].append(sparsity)
            if row.status == "degenerate":
                self.degenerate.setdefault((method, sparsity), str(row.reason))

    def of(self, method: str, sparsity: float, score: str) -> list[_Row]:
        """A score of a network, a row for each seed."""
        return self._cells.get((method, sparsity, score), [])

    def dense(self, score: str) -> list[_Row]:
        """The same of the dense parents."""
        return self._dense.get(score, [])


def _verdict(scores: _Scores, method: str, aspects: Sequence[Aspect], rule: str) -> Verdict:
    sparsities = tuple(sorted(scores.sparsities[method]))
    measured = [a for a in aspects if a.score in scores.names]
    by_sparsity = {s: _matches(scores, method, s, measured, rule) for s in sparsities}
    matches = tuple(m for s in sparsities for m in by_sparsity[s])
    extremes = {
        a.score: max((m.sparsity for m in matches if m.score == a.score and m.matches), default=None)
        for a in measured
    }
    found = [e for e in extremes.values() if e is not None]
    all_match = bool(measured) and len(found) == len(measured)
    paper_pass = min(found) if all_match else None
    binding = tuple(score for score, e in extremes.items() if e == paper_pass)
    passing = [s for s in sparsities if measured and all(m.matches for m in by_sparsity[s])]
    joint = max(passing, default=None)
    beyond = [s for s in sparsities if joint is None or s > joint]
    held_back = tuple(m.score for m in by_sparsity[beyond[0]] if not m.matches) if beyond else ()
    below = [s for s in sparsities if joint is not None and s < joint]
    undecided = next((m.reason for m in matches if m.matches is None), "")
    if not measured:
        undecided = "none of the scores that it asks for was measured"
    accuracy = [a for a in measured if a.score == "accuracy"]
    by_paper = {s: _matches(scores, method, s, accuracy, "paper") for s in sparsities}
    return Verdict(
        method,
        rule,
        sparsities,
        extremes,
        paper_pass,
        binding,
        joint,
        held_back,
        monotone=all(s in passing for s in below),
        region=max((s for s in sparsities if any(m.matches for m in by_paper[s])), default=None),
        undecided=undecided,
        matches=matches,
    )


def _matches(
    scores: _Scores, method: str, sparsity: float, aspects: Sequence[Aspect], rule: str
) -> list[Match]:
    """What is found of each score of one network, after the correction for there being several."""
    found = [_match(scores, method, sparsity, a, rule, len(aspects)) for a in aspects]
    tested = [m for m in found if not math.isnan(m.p)]
    # A score that could not be tested counts as one that was and did not hold: leaving it out must not help.
    adjusted = holm([m.p for m in tested] + [1.0] * (len(found) - len(tested))) if tested else []
    corrected = dict(zip((m.score for m in tested), adjusted, strict=False))
    return [_tested(m, corrected[m.score]) if m.score in corrected else m for m in found]


def _tested(match: Match, adjusted: float) -> Match:
    """What follows from the corrected p-value."""
    if adjusted <= ALPHA:
        return replace(match, holm=adjusted, matches=True, finding="matches", seeds_needed=0)
    # Worse is what is beyond the margin, and not by chance: the bound from below is above zero.
    sure = 2 * match.shortfall - match.bound > 0.0
    finding = "worse" if match.shortfall >= match.allowed and sure else "not shown"
    return replace(match, holm=adjusted, matches=False, finding=finding)


def _match(scores: _Scores, method: str, sparsity: float, aspect: Aspect, rule: str, family: int) -> Match:
    own, parent = scores.of(method, sparsity, aspect.score), scores.dense(aspect.score)
    mean, dense = _mean(own), _mean(parent)
    allowed, undecided = _allowed(scores, aspect, rule, dense)
    shortfall = (dense - mean) if aspect.higher_is_better else (mean - dense)
    seeds, wanted = {r.seed for r in own}, {r.seed for r in parent}

    def match(result: bool | None, finding: str, reason: str = "") -> Match:
        numbers = mean, dense, shortfall, allowed
        count = len(seeds & wanted)
        return Match(method, sparsity, aspect.score, rule, *numbers, result, reason, finding, seeds=count)

    if (method, sparsity) in scores.degenerate:
        return match(False, "degenerate", scores.degenerate[method, sparsity])
    bad = [r for r in own if r.status != "ok" or math.isnan(r.value)]
    if not wanted or any(math.isnan(r.value) for r in parent):
        return match(None, "undecided", f"{aspect.score} of the dense parent is not measured")
    if bad:
        gated = all(r.status == "gated" for r in bad)
        return match(False, "gated" if gated else "failed", str(bad[0].reason) or "not measured")
    if seeds != wanted:
        return match(False, "failed", f"measured for {len(seeds & wanted)} of {len(wanted)} seeds")
    if undecided:
        return match(None, "undecided", undecided)
    if rule == "noninferior":
        found = _difference(own, parent, aspect)
        if math.isnan(found.variance):
            return match(None, "undecided", f"{aspect.score} has no standard error of its paired difference")
        return replace(
            match(None, ""),
            shortfall=found.mean,
            bound=found.bound(),
            p=found.p_value(allowed),
            seeds_needed=found.seeds_needed(allowed, ALPHA / family) or 0,
        )
    # Means of equal numbers may differ in the last bit by the order of summing.
    good = shortfall <= allowed + 1e-12 * max(1.0, abs(dense))
    return match(good, "matches" if good else "worse")


def _mean(rows: Sequence[_Row]) -> float:
    """The mean of what is there."""
    values = [r.value for r in rows if not math.isnan(r.value)]
    return fmean(values) if values else math.nan


def _difference(own: Sequence[_Row], parent: Sequence[_Row], aspect: Aspect) -> Difference:
    """The paired difference to the dense parents.

    Tables put together from several runs lack one error of the mean over seeds; the mean of the seeds' own
    errors, which is never smaller, stands for it.
    """
    theirs = {r.seed: r.value for r in parent}
    sign = 1.0 if aspect.higher_is_better else -1.0
    shared = own[0].mean_diff_se
    error = shared if all(r.mean_diff_se == shared for r in own) else fmean(r.diff_se for r in own)
    return difference([sign * (theirs[r.seed] - r.value) for r in own], error)


def _allowed(scores: _Scores, aspect: Aspect, rule: str, dense: float) -> tuple[float, str]:
    """How much worse than dense is still a match, and why that cannot be said."""
    if rule == "paper":
        return aspect.slack, ""
    source = [r.value for r in scores.dense(aspect.spread_of or aspect.score)]
    few = f"the rule {rule} needs at least two seeds" if len(source) < 2 else ""
    if rule == "noninferior":
        return aspect.margin * (abs(dense) if aspect.relative_margin else 1.0), few
    if few:
        return math.nan, few
    spread = stdev(source)
    if aspect.spread_of:
        average = fmean(source)
        spread = dense * spread / average if average else 0.0
    return spread, ""
