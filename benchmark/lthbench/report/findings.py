"""The first screen: which method gets how far, and what breaks first."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report.summary import Summary, counted_short, like
from lthbench.verdict import explanation
from lthbench.verdict.rules import SHORT, Match, Verdict

#: How many names a sentence lists.
FEW = 4

#: How a finding stands in a cell: a class for its colour, and a sign, so that colour is never all.
SIGNS = {
    "better": ("y", "★"),
    "matches": ("y", "✓"),
    "open": ("u", "?"),
    "worse": ("n", "✗"),
    "failed": ("n", "!"),
    "gated": ("n", "⊘"),
    "degenerate": ("n", "∅"),
    "undecided": ("u", "–"),
}
#: What the signs say, for those that a matrix has.
MEANINGS = {
    "better": "better than dense",
    "matches": "matches dense",
    "open": "open: may match or be worse",
    "worse": "worse than dense",
    "failed": "not measured",
    "gated": "accuracy too low to compare",
    "degenerate": "degenerate network",
    "undecided": "cannot be said",
}


def words(summary: Summary, match: Match) -> str:
    """One score of one network in numbers: how much worse, at most by how much, and what would be allowed."""
    title, unit = summary.title_of(match.score), _unit(summary, match.score)
    if math.isnan(match.shortfall) or not math.isfinite(match.allowed):
        return f"{title}: {match.finding}{': ' + match.reason if match.reason else ''}"

    def shown(value: float) -> str:
        return formatting.difference(value, unit, relative=match.relative).replace("-", "−")

    points = " points" if unit in formatting.PERCENT and not match.relative else ""
    way = "worse" if match.shortfall >= 0 else "better"
    said = f"{way} by {shown(abs(match.shortfall))}"
    if math.isnan(match.bound):
        bound = ""
    elif match.bound >= 0:
        bound = f", at most {shown(match.bound)} worse"
    else:
        bound = f", at least {shown(-match.bound)} better"
    p = "" if math.isnan(match.p) else f", {_chance(match.p)}"
    return f"{title} {said}{points}{bound}, margin {shown(match.allowed)}{p}: {match.finding}"


def _chance(p: float) -> str:
    shown = formatting.p_value(p)
    return f"p {shown}" if shown.startswith("<") else f"p = {shown}"


def _unit(summary: Summary, score: str) -> str:
    return next((s.unit for s in summary.scores if s.name == score), "")


@dataclass(frozen=True)
class Break:
    """From where on a method falls short for sure: the sparsity, the scores there, and the one before it.

    From that sparsity on each network is worse on a score, or degenerate: a fixed sequence of tests from the
    highest sparsity down. ``scores`` are those that are worse there and at all that follow, or, where none
    is, all that are worse there.
    """

    sparsity: float
    scores: tuple[str, ...]
    before: float | None


def first_break(result: Verdict) -> Break | None:
    """Where it breaks for sure; None where the network at the highest sparsity is not shown to."""
    level = result.short_from
    if level is None:
        return None
    short = tuple(m.score for m in result.at(level) if m.finding in SHORT)
    lasting = tuple(s for s in short if (start := result.worse_from.get(s)) is not None and start <= level)
    before = [s for s in result.sparsities if s < level]
    return Break(level, lasting or short, before[-1] if before else None)


def broken(summary: Summary, result: Verdict) -> str:
    """What breaks first, in a few words."""
    if result.undecided:
        return "–"
    found = first_break(result)
    if found is None:
        return "nothing for sure"
    names = list(found.scores)
    listed = summary.titles(tuple(names[:FEW])) + (
        f" and {len(names) - FEW} more" if len(names) > FEW else ""
    )
    return f"{listed}, from {formatting.sparsity(found.sparsity)} on" if found.sparsity else listed


def lead(summary: Summary) -> str:
    """Which method gets furthest, up to which sparsity, and what breaks first."""
    results = [r for r in summary.headline if not r.undecided]
    if not results:
        reasons = list(dict.fromkeys(r.undecided for r in summary.headline))
        return f"No verdict: {reasons[0]}." if reasons else "No pruned network was measured."
    best = [r for r in results if r.joint is not None and all((o.joint or 0.0) <= r.joint for o in results)]
    if best:
        furthest = best[0].joint
        who = f"{formatting.listed([r.method for r in best])} {'goes' if len(best) == 1 else 'go'} furthest"
        compared = "dense" if like(summary, best[0]) == "its dense parent" else like(summary, best[0])
        up_to = f" up to {formatting.sparsity(furthest)}" if furthest else ""
        text = f"{who}: as good as {compared} on everything{up_to}."
        said = _breaks(summary, best) or _breaks_elsewhere(summary, [r for r in results if r not in best])
        return f"{text} {said}." if said else text
    none = "No method is shown to be as good as dense on everything"
    return f"{none}{_closest(results)}. {_lowest(results, summary)}"


def _closest(results: list[Verdict]) -> str:
    """Which methods of several that do not pass match most often, over scores and sparsities: in most cases.

    Where some are only open at the lowest sparsity, it is one of these.
    """
    still = [r for r in results if explanation.only_open(r.at(r.sparsities[0]))] or results
    most = max(sum(m.matches is True for m in r.matches) for r in still)
    best = [r.method for r in still if sum(m.matches is True for m in r.matches) == most]
    asked = max(len(r.matches) for r in still)
    if 2 * most <= asked or len(best) > FEW or len(best) == len(results):
        return ""
    verb = "comes" if len(best) == 1 else "come"
    return f"; {formatting.listed(best)} {verb} closest, in {most} of {asked} comparisons"


def _lowest(results: list[Verdict], summary: Summary) -> str:
    """Of methods of which none passes: which fall short at the lowest sparsity, are open, or lack scores."""
    still = [r.method for r in results if explanation.only_open(r.at(r.sparsities[0]))]
    failed = [
        r.method
        for r in results
        if r.method not in still and not any(m.finding in SHORT for m in r.at(r.sparsities[0]))
    ]
    short = [r.method for r in results if r.method not in (*still, *failed)]
    level = formatting.sparsity(min(r.sparsities[0] for r in results))
    parts = []
    if short:
        counts = counted_short(tuple(results))
        most = max(counts, key=lambda s: counts[s]) if counts else ""
        named = _some(short)
        what = f", most often in {summary.title_of(most)}" if most and len(short) > 1 else ""
        if most and len(short) == 1:
            lost = tuple(counts)
            what = f" in {summary.titles(lost[:FEW])}" + (
                f" and {len(lost) - FEW} more" if lost[FEW:] else ""
            )
        parts.append(f"{named} {'falls' if len(short) == 1 else 'fall'} short{what}")
    if still:
        parts.append(f"{_some(still)} {'is' if len(still) == 1 else 'are'} open")
    if failed:
        parts.append(f"{_some(failed)} {'lacks' if len(failed) == 1 else 'lack'} scores")
    said = "; ".join(parts)
    if all(r.sparsities == (0.0,) for r in results):
        return f"Though nothing was removed, {said}."
    return f"Already at {level}, {said}."


def _some(names: list[str]) -> str:
    """Names of methods, or how many there are of many."""
    return formatting.listed(names) if len(names) <= FEW else f"{len(names)} methods"


def _breaks(summary: Summary, results: list[Verdict]) -> str:
    """What breaks first of each of these methods, named where there are several."""
    found = [(r.method, broken(summary, r)) for r in results if first_break(r)]
    said = "; ".join(what if len(results) == 1 else f"{what} ({method})" for method, what in found)
    return f"What breaks first: {said}" if said else ""


def _breaks_elsewhere(summary: Summary, results: list[Verdict]) -> str:
    """What breaks first of most of the methods that get less far."""
    found = [(r, at) for r in results if (at := first_break(r)) is not None]
    if len(found) == 1:
        return f"{found[0][0].method} breaks first in {broken(summary, found[0][0])}"
    scores = Counter(score for _, at in found for score in at.scores)
    if not scores:
        return ""
    score, times = scores.most_common(1)[0]
    return f"Of the others, {times} of {len(results)} break first in {summary.title_of(score)}"


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
    return Matrix(tuple(formatting.share(s) for s in result.sparsities), rows)


def signs(summary: Summary) -> list[tuple[str, str, str]]:
    """Class, sign and meaning of each finding that the matrices have."""
    there = {m.finding for result in summary.headline for m in result.matches}
    return [(*SIGNS[finding], MEANINGS[finding]) for finding in SIGNS if finding in there]
