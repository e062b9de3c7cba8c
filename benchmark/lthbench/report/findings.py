"""The first screen: which method gets how far, and what breaks first."""

from __future__ import annotations

import math
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Match, Verdict

#: How a finding stands in a cell: a class for its colour, and a sign, so that colour is never all.
SIGNS = {
    "matches": ("y", "✓"),
    "not shown": ("u", "?"),
    "worse": ("n", "✗"),
    "failed": ("n", "!"),
    "gated": ("n", "⊘"),
    "degenerate": ("n", "∅"),
    "undecided": ("u", "–"),
}
#: What the signs say, for those that a matrix has.
MEANINGS = {
    "matches": "matches dense",
    "not shown": "not shown to, nor to be worse",
    "worse": "worse",
    "failed": "not measured",
    "gated": "accuracy too low to compare",
    "degenerate": "degenerate network",
    "undecided": "cannot be said",
}
_BROKEN = ("worse", "failed", "gated", "degenerate")


def words(summary: Summary, match: Match) -> str:
    """One score of one network in numbers: how much worse, at most by how much, and what would be allowed."""
    title, unit = summary.title_of(match.score), _unit(summary, match.score)
    if math.isnan(match.shortfall) or not math.isfinite(match.allowed):
        return f"{title}: {match.finding}{': ' + match.reason if match.reason else ''}"

    def shown(value: float) -> str:
        return formatting.number(value, unit).replace("-", "−")

    points = " points" if unit in formatting.PERCENT else ""
    way = "worse" if match.shortfall >= 0 else "better"
    said = f"{way} by {shown(abs(match.shortfall))}"
    bound = "" if math.isnan(match.bound) else f", at most {shown(match.bound)} worse"
    return f"{title} {said}{points}{bound}, margin {shown(match.allowed)}: {match.finding}"


def _unit(summary: Summary, score: str) -> str:
    return next((s.unit for s in summary.scores if s.name == score), "")


@dataclass(frozen=True)
class Break:
    """Where a method first falls short for sure: the sparsity, the scores, and the sparsity before it."""

    sparsity: float
    scores: tuple[str, ...]
    before: float | None


def first_break(result: Verdict) -> Break | None:
    """The smallest sparsity at which a score is worse, not merely not shown to match; None without one."""
    before = None
    for sparsity in result.sparsities:
        broken = tuple(m.score for m in result.at(sparsity) if m.finding in _BROKEN)
        if broken:
            return Break(sparsity, broken, before)
        before = sparsity
    return None


def broken(summary: Summary, result: Verdict) -> str:
    """What breaks first, in a few words."""
    if result.undecided:
        return "–"
    found = first_break(result)
    return (
        f"{summary.titles(found.scores)}, at {formatting.sparsity(found.sparsity)}"
        if found
        else "nothing measured is shown to be worse"
    )


def lead(summary: Summary) -> str:
    """Which method gets furthest, up to which sparsity, and what breaks first."""
    results = [r for r in summary.headline if not r.undecided]
    if not results:
        reasons = list(dict.fromkeys(r.undecided for r in summary.headline))
        return f"No verdict: {reasons[0]}." if reasons else "No pruned network was measured."
    furthest = max(r.joint or 0.0 for r in results)
    if furthest > 0.0:
        best = [r for r in results if r.joint == furthest]
        who = f"{formatting.listed([r.method for r in best])} {'goes' if len(best) == 1 else 'go'} furthest"
        text = f"{who}: as good as dense on everything up to {formatting.sparsity(furthest)}."
        said = _breaks(summary, best)
        return f"{text} What breaks first: {said}." if said else text
    return f"No method is shown to be as good as dense on everything. {_closest(summary, results)}"


def _closest(summary: Summary, results: list[Verdict]) -> str:
    """Of methods of which none passes: which is not shown to be worse for longest."""
    found = {r.method: first_break(r) for r in results}
    unbroken = [method for method, b in found.items() if b is None]
    if unbroken:
        return f"For {formatting.listed(unbroken)}, nothing measured is shown to be worse either."
    reach = {method: b.before for method, b in found.items() if b and b.before is not None}
    if not reach:
        return "Already at the lowest sparsity each is worse on something."
    level = max(reach.values())
    best = [r for r in results if reach.get(r.method) == level]
    who = f"{formatting.listed([r.method for r in best])} {'comes' if len(best) == 1 else 'come'} closest"
    return (
        f"{who}: nothing is shown to be worse up to {formatting.sparsity(level)}; "
        f"what breaks first: {_breaks(summary, best)}."
    )


def _breaks(summary: Summary, results: list[Verdict]) -> str:
    """What breaks first of each of these methods, named where there are several."""
    found = [(r.method, broken(summary, r)) for r in results if first_break(r)]
    return "; ".join(what if len(results) == 1 else f"{what} ({method})" for method, what in found)


@dataclass(frozen=True)
class Matrix:
    """Findings of one method: a row for each score, a cell of class and sign for each sparsity."""

    levels: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def matrix(summary: Summary, result: Verdict) -> Matrix:
    """What holds and what breaks, score by score and sparsity by sparsity."""
    found = {(m.score, m.sparsity): m.finding for m in result.matches}
    scores = list(dict.fromkeys(m.score for m in result.matches))
    rows = tuple(
        (summary.title_of(score), tuple(SIGNS[found[score, s]] for s in result.sparsities))
        for score in scores
    )
    return Matrix(tuple(f"{100 * s:.1f}" for s in result.sparsities), rows)


def signs(summary: Summary) -> list[tuple[str, str, str]]:
    """Class, sign and meaning of each finding that the matrices have."""
    there = {m.finding for result in summary.headline for m in result.matches}
    return [(*SIGNS[finding], MEANINGS[finding]) for finding in SIGNS if finding in there]
