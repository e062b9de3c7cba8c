"""What is found of each score: signs and numbers, and what of a method breaks first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report.summary import Summary
from lthbench.verdict.rules import SHORT, Match, Verdict

#: How many scores are named; of more the others are counted.
FEW = 2
#: What is said where nothing breaks for sure.
NOTHING = "nothing for sure"

#: How a finding stands in a cell: a class for its colour, and a sign, so that colour is never all.
SIGNS = {
    "better": ("y", "★"),
    "matches": ("y", "✓"),
    "open": ("u", "open"),
    "worse": ("n", "✗"),
    "failed": ("n", "!"),
    "gated": ("n", "⊘"),
    "degenerate": ("n", "∅"),
    "undecided": ("u", "–"),
}
#: What the signs say.
MEANINGS = {
    "better": "better than dense",
    "matches": "matches dense",
    "open": "may match or be worse",
    "worse": "worse than dense",
    "failed": "not measured",
    "gated": "accuracy too low to compare",
    "degenerate": "degenerate network",
    "undecided": "cannot be said",
}


def words(summary: Summary, match: Match) -> str:
    """One score of one network in numbers: how much worse, at most by how much, and what would be allowed."""
    title, unit = summary.title_of(match.score), summary.unit_of(match.score)
    if math.isnan(match.shortfall) or not math.isfinite(match.allowed):
        return f"{title}: {match.finding}{': ' + match.reason if match.reason else ''}"

    def shown(value: float) -> str:
        return formatting.difference(value, unit, relative=match.relative).replace("-", "−")

    points = formatting.points(unit, relative=match.relative)
    way = "worse" if match.shortfall >= 0 else "better"
    said = f"{way} by {shown(abs(match.shortfall))}"
    limit, margin = formatting.told_apart(match.bound, match.allowed, unit, relative=match.relative)
    if math.isnan(match.bound):
        bound = ""
    elif match.bound >= 0:
        bound = f", at most {limit} worse"
    else:
        bound = f", at least {shown(-match.bound)} better"
    # It is that of "within the margin": beside what is worse it would read as if that were not shown.
    p = (
        ""
        if math.isnan(match.p) or match.finding == "worse"
        else f", {_chance(match.p)} for within the margin"
    )
    return f"{title} {said}{points}{bound}, margin {margin}{p}: {match.finding}"


def pointed(summary: Summary, score: str, name: str) -> str:
    """A name of a score with an arrow to what is better, as it heads a row or a column."""
    shown = summary.by_name.get(score)
    return f"{name}\u00a0{shown.arrow}" if shown and shown.arrow else name


def _chance(p: float) -> str:
    shown = formatting.p_value(p)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


@dataclass(frozen=True)
class Break:
    """From where on a method falls short for sure: the sparsity, the scores there, and the one before it.

    From that sparsity on each network is worse on a score, or degenerate: a fixed sequence of tests from the
    highest sparsity down. ``scores`` are all that are worse there: first the one that is furthest beyond its
    margin, in margins, last those that have no number.
    """

    sparsity: float
    scores: tuple[str, ...]
    before: float | None


def first_break(result: Verdict) -> Break | None:
    """Where it breaks for sure; None where the network at the highest sparsity is not shown to."""
    level = result.short_from
    if level is None:
        return None
    short = sorted((m for m in result.at(level) if m.finding in SHORT), key=_beyond, reverse=True)
    before = [s for s in result.sparsities if s < level]
    return Break(level, tuple(m.score for m in short), before[-1] if before else None)


def _beyond(match: Match) -> float:
    """How much worse a score is, in margins."""
    share = match.shortfall / match.allowed if match.allowed > 0.0 else math.nan
    return share if math.isfinite(share) else -math.inf


def broken(summary: Summary, result: Verdict) -> str:
    """What breaks first, in a few words."""
    if result.undecided:
        return "–"
    found = first_break(result)
    if found is None:
        return NOTHING
    where = f", from {formatting.sparsity(found.sparsity)}" if found.sparsity else ""
    return f"{named(summary, found.scores)}{where}"


def named(summary: Summary, scores: tuple[str, ...]) -> str:
    """Names of the first scores, and how many more there are."""
    more = len(scores) - FEW
    names = [summary.title_of(s) for s in scores[:FEW]]
    return formatting.listed([*names, f"{more} more"] if more > 0 else names)


def signs(summary: Summary) -> list[tuple[str, str, str]]:
    """Class, sign and meaning of each finding that a table has."""
    there = {m.finding for m in summary.matches.values()}
    return [(*SIGNS[finding], MEANINGS[finding]) for finding in SIGNS if finding in there]
