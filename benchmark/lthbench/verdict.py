"""LTH-PASS: which sparse networks match their dense parent, on which scores, by which rule.

A pure function of the score table. Two rules are computed:

- ``paper``: the mean over seeds is at least as good as that of the dense networks; accuracy may be one
  percentage point lower (Chen et al. 2022, section 4.1, as reconstructed from their VGG-11 results).
- ``std``: the mean over seeds is worse by at most one sample standard deviation of the dense networks.

For each rule, a score's *extreme* is the largest sparsity at which it matches. The paper's LTH-PASS is the
smallest of the extremes. The *joint* LTH-PASS is the largest sparsity at which all scores match at once.
A network with an empty layer, constant output or accuracy at chance never passes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

RULES = ("paper", "std")
HEADLINE = "paper"


@dataclass(frozen=True)
class Aspect:
    """A score that LTH-PASS asks for: which way is better, and how much worse ``paper`` allows.

    ``spread_of`` names the score whose relative spread stands for this one's, where this one is relative
    to the dense parent and so does not vary over dense seeds.
    """

    score: str
    title: str
    higher_is_better: bool
    slack: float = 0.0
    spread_of: str = ""


@dataclass(frozen=True)
class Match:
    """Whether one score of a method at a sparsity matches dense. ``matches`` is None if it cannot be said.

    ``shortfall`` is how much worse the mean is than the dense mean (negative: better), in the score's unit.
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


@dataclass(frozen=True)
class Verdict:
    """The result for one method by one rule. Sparsities are None where nothing matches.

    ``extremes``: for each score the largest matching sparsity. ``paper_pass``: the smallest of them, and
    ``binding`` the scores that have it. ``joint``: the largest sparsity at which all match; ``held_back``:
    the scores that fail at the next sparsity (none if there is no next one). ``monotone``: no sparsity
    fails below the joint one. ``region``: the largest sparsity at which accuracy is within its slack.
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


def verdicts(table: pd.DataFrame, aspects: Sequence[Aspect], rule: str = HEADLINE) -> list[Verdict]:
    """The verdict on every method of a table of one task and budget, in the table's order of methods."""
    if rule not in RULES:
        raise ValueError(f"rule must be one of {RULES}, not {rule!r}")
    main = table[table["variant"].isna() | (table["variant"] == "")]
    methods = [m for m in dict.fromkeys(main["method"]) if m != "dense"]
    return [_verdict(main, method, aspects, rule) for method in methods]


def _verdict(table: pd.DataFrame, method: str, aspects: Sequence[Aspect], rule: str) -> Verdict:
    rows = table[table["method"] == method]
    sparsities = tuple(sorted(set(rows["sparsity"])))
    measured = [a for a in aspects if (table["score"] == a.score).any()]
    matches = tuple(_match(table, rows, method, s, a, rule) for s in sparsities for a in measured)
    by_sparsity = {s: [m for m in matches if m.sparsity == s] for s in sparsities}
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
        region=max(
            (m.sparsity for m in _region(table, rows, method, sparsities, measured) if m.matches),
            default=None,
        ),
        undecided=undecided,
        matches=matches,
    )


def _region(
    table: pd.DataFrame,
    rows: pd.DataFrame,
    method: str,
    sparsities: tuple[float, ...],
    aspects: Sequence[Aspect],
) -> list[Match]:
    """Region I: accuracy by the rule ``paper``, whatever rule the verdict uses."""
    accuracy = [a for a in aspects if a.score == "accuracy"]
    return [_match(table, rows, method, s, a, "paper") for s in sparsities for a in accuracy]


def _match(
    table: pd.DataFrame, rows: pd.DataFrame, method: str, sparsity: float, aspect: Aspect, rule: str
) -> Match:
    here = rows[rows["sparsity"] == sparsity]
    own = here[here["score"] == aspect.score]
    parent = _dense(table, aspect.score)
    mean = float(own["value"].mean()) if len(own) else math.nan
    dense = float(parent["value"].mean()) if len(parent) else math.nan
    allowed, undecided = _allowed(table, aspect, rule, dense)
    shortfall = (dense - mean) if aspect.higher_is_better else (mean - dense)

    def match(result: bool | None, reason: str = "") -> Match:
        return Match(method, sparsity, aspect.score, rule, mean, dense, shortfall, allowed, result, reason)

    degenerate = here[here["status"] == "degenerate"]
    if len(degenerate):
        return match(False, str(degenerate["reason"].iloc[0]))
    seeds, wanted = set(own["seed"]), set(parent["seed"])
    bad = own[(own["status"] != "ok") | own["value"].isna()]
    if not wanted or parent["value"].isna().any():
        return match(None, f"{aspect.score} of the dense parent is not measured")
    if len(bad):
        return match(False, str(bad["reason"].iloc[0]) or "not measured")
    if seeds != wanted:
        return match(False, f"measured for {len(seeds & wanted)} of {len(wanted)} seeds")
    if undecided:
        return match(None, undecided)
    # Means of equal numbers may differ in the last bit by the order of summing.
    return match(shortfall <= allowed + 1e-12 * max(1.0, abs(dense)))


def _dense(table: pd.DataFrame, score: str) -> pd.DataFrame:
    return table[(table["method"] == "dense") & (table["score"] == score)]


def _allowed(table: pd.DataFrame, aspect: Aspect, rule: str, dense: float) -> tuple[float, str]:
    """How much worse than dense is still a match, and why that cannot be said."""
    if rule == "paper":
        return aspect.slack, ""
    source = _dense(table, aspect.spread_of or aspect.score)["value"]
    if len(source) < 2:
        return math.nan, "the rule std needs at least two seeds"
    spread = float(source.std(ddof=1))
    if aspect.spread_of:
        average = float(source.mean())
        spread = dense * spread / average if average else 0.0
    return spread, ""
