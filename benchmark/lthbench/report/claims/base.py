"""A published statement and what a table shows of it; what the checks of claims share."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from lthbench import formatting
from lthbench.report.cells import Cell, of_values
from lthbench.report.summary import Summary
from lthbench.verdict.noninferiority import ALPHA
from lthbench.verdict.rules import SHORT, Match, Verdict

#: What a check yields: what the table shows, and "agrees", "differs", "cannot say" or "not measured".
#: A claim agrees or differs where 95 % intervals over seeds show it; where they do not, nobody can say.
Shown = tuple[str, str]
NOT_MEASURED: Shown = ("–", "not measured")
CHEN = "Chen et al. 2022"
FRANKLE = "Frankle & Bau 2019"
RAD = "von Rad & Seuffert 2024"
#: The method that finds lottery tickets, of which the papers speak.
TICKETS = "imp"
#: Methods that prune at initialisation.
AT_INIT = ("snip", "grasp", "synflow")
#: The share of what remains that a round of iterative pruning keeps, in the papers' grid.
ROUND = 0.8


@dataclass(frozen=True)
class Claim:
    """A published statement; ``check`` gives what a summary shows of it.

    ``tasks`` are the tasks that it is about; none where it is about any.
    """

    text: str
    source: str
    check: Callable[[Summary], Shown]
    tasks: tuple[str, ...] = ()

    def held(self, summary: Summary) -> dict[str, str]:
        """The claim held to a summary."""
        shown, finding = self.check(summary)
        signed = re.sub(r"(?<![\w–-])-(?=\d)", "−", shown)
        return {"claim": self.text, "source": self.source, "shown": signed, "finding": finding}


def paper_verdict(summary: Summary) -> Verdict | None:
    """The verdict of lottery tickets by the papers' own rule, if it can be given."""
    return next((v for v in summary.verdicts["paper"] if v.method == TICKETS), None)


def sound(summary: Summary, method: str, sparsity: float, score: str) -> Cell | None:
    """A cell of networks that can be compared; None where it was not measured, and of those that collapsed.

    A constant output explains itself, and is calibrated: such numbers are no evidence for a claim.
    """
    cell = summary.cell(method, sparsity, score)
    return None if cell is None or math.isnan(cell.mean) or cell.status != "ok" else cell


def worse_within(found: Verdict, scores: Sequence[str], fails: float | None, most: float | None) -> bool:
    """Whether what fails first is shown to be worse, at a sparsity where something else still holds."""
    if fails is None or most is None or fails > most + 1e-9:
        return False
    return any(m.finding == "worse" and m.score in scores for m in found.at(fails))


def falls_short(match: Match, parts: int = 1) -> bool:
    """Whether a score falls short for sure at one of so many sparsities, any of which may decide.

    It is worse by Bonferroni over them, of a p-value that is corrected over all scores of the network; a rule
    that tests nothing has no p-value. What is gated or degenerate is seen, and not tested.
    """
    return match.finding in SHORT and not (match.finding == "worse" and match.p_worse > ALPHA / parts)


def reaches(levels: Sequence[float], published: float) -> bool:
    """Whether sparsities go up to a published one, but for one round."""
    return rounds(max(levels)) >= rounds(published) - 1.0 - 1e-3


@dataclass(frozen=True)
class Interval:
    """A difference, or a mean, with its two-sided interval over seeds; endless with one seed.

    ``error`` is the standard error (infinite with one seed), ``freedom`` its degrees of freedom. The interval
    is that of 95 %, by itself; of one of several ``parts``, of which any may decide, it is Bonferroni's.
    """

    mean: float
    error: float
    freedom: float
    parts: int = 1

    @property
    def low(self) -> float:
        """The lower end."""
        return self.mean - self._half

    @property
    def high(self) -> float:
        """The upper end."""
        return self.mean + self._half

    @property
    def _half(self) -> float:
        if self.error <= 0.0 or math.isinf(self.error):
            return self.error
        return _reach(self.parts, self.freedom) * self.error

    def minus(self, number: float) -> Interval:
        """What is above a number."""
        return replace(self, mean=self.mean - number)

    def of(self, parts: int) -> Interval:
        """The interval of one of so many parts: all of theirs hold at once at 95 %."""
        return replace(self, parts=parts)


def difference(one: Cell | None, other: Cell | None, share: float = 1.0) -> Interval | None:
    """``one`` minus ``share`` times ``other``, by Welch's t interval; None where one was not measured.

    Seeds are treated as independent, which is on the safe side: networks of one seed have much in common.
    """
    if one is None or other is None or math.isnan(one.mean) or math.isnan(other.mean):
        return None
    return combined([(1.0, one), (-share, other)])


def gaps(
    summary: Summary,
    one: str,
    other: str,
    score: str = "accuracy",
    share: float = 1.0,
    cell: Callable[[Summary, str, float, str], Cell | None] = Summary.cell,
) -> list[tuple[float, Interval]]:
    """``one`` minus ``share`` times ``other`` ("dense" is one network) at each sparsity of both.

    ``cell`` gives what was measured of networks: any, or those that are ``sound``.
    """
    found = []
    for level in summary.sparsities:
        beside = cell(summary, other, 0.0 if other == "dense" else level, score)
        gap = difference(cell(summary, one, level, score), beside, share)
        if gap is not None:
            found.append((level, gap))
    return found


def combined(cells: Sequence[tuple[float, Cell]]) -> Interval:
    """The sum of means, each times its factor, by Welch's t interval."""
    mean = math.fsum(factor * cell.mean for factor, cell in cells)
    parts = [_part(cell, factor) for factor, cell in cells]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return Interval(mean, math.inf, 1.0)
    variance = sum(v for v, _ in known)
    freedom = variance**2 / sum(v**2 / f for v, f in known) if variance > 0.0 else 1.0
    return Interval(mean, math.sqrt(variance), freedom)


def points(gap: Interval, other: str) -> str:
    """A difference of shares in words: "0.3 points below omp (95 %: −0.8 to +0.2)"."""
    size = f"{abs(100 * gap.mean):.1f}"
    side = "level with" if size == "0.0" else f"{size} points {'below' if gap.mean < 0 else 'above'}"
    if math.isinf(gap.low):
        return f"{side} {other} (one seed)"
    low, high = (f"{round(100 * end, 1) + 0.0:+.1f}".replace("-", "−") for end in (gap.low, gap.high))
    return f"{side} {other} (95 %: {low} to {high})"


def compared(lower: int, higher: int, of: int) -> str:
    """How many of several comparisons are lower, higher and open, in words."""
    return f"lower in {lower} of {of} comparisons, higher in {higher}, open in {of - lower - higher}"


def up_to(level: float | None) -> str:
    """Up to which sparsity something holds, in words."""
    return "at no sparsity" if level is None else f"up to {formatting.sparsity(level)}"


def by_finding(stands: Sequence[tuple[float, str]]) -> str:
    """At which sparsities each finding stands, in words: "open at 67.2 %, worse at 89.3 %"."""
    levels: dict[str, list[str]] = {}
    for level, finding in stands:
        levels.setdefault(finding, []).append(formatting.sparsity(level))
    return ", ".join(f"{finding} at {formatting.listed(where)}" for finding, where in levels.items())


def estimate(cell: Cell | None) -> Interval | None:
    """A mean over seeds with its t interval; None where it was not measured."""
    return None if cell is None or math.isnan(cell.mean) else combined([(1.0, cell)])


@cache
def _reach(parts: int, freedom: float) -> float:
    """Half a two-sided interval of 95 % for all of several parts, in standard errors."""
    from scipy import stats

    return float(stats.t.ppf(1 - 0.025 / parts, freedom))


def _part(cell: Cell, share: float) -> tuple[float, int] | None:
    """The variance of a mean over seeds, and its degrees of freedom; None with one seed."""
    if cell.seeds < 2 or math.isnan(cell.spread):
        return None
    return (share * cell.spread) ** 2 / cell.seeds, cell.seeds - 1


# The level of a claim of several parts depends on how many of them must be shown. Where at least k of n are
# shown though fewer are so, any n - k + 1 of those that are not include one that was shown wrongly: each part
# is tested at the claim's level over n - k + 1 (the partial conjunction of Benjamini & Heller 2008). That is
#
# - for all of them (k = n) the level itself, uncorrected: an intersection-union test (Berger 1982);
# - for any of them (k = 1) Bonferroni's, the level over n.
#
# So a claim of all agrees where the parts' own intervals show each, and differs where Bonferroni's show any
# that is not so. Nothing is assumed of how the parts depend on each other.


def at_least(found: Sequence[Interval], count: int) -> list[Interval]:
    """The intervals that must show at least so many of several parts, by the partial conjunction."""
    return [i.of(len(found) - count + 1) for i in found]


def any_of(found: Sequence[Interval]) -> list[Interval]:
    """The intervals that must show any of several parts: Bonferroni's."""
    return at_least(found, 1)


def all_of(found: Sequence[Interval], above: float) -> str:
    """Whether all are above a number: each is shown to be, or any is shown to be below."""
    if all(i.low > above for i in found):
        return "agrees"
    return "differs" if any(i.high < above for i in any_of(found)) else "cannot say"


def within(found: Sequence[Interval], most: float) -> str:
    """Whether all are at most so far from zero: each is shown to be, or any is shown to be further.

    That one is near is an intersection-union test, too, of its two sides (Schuirmann 1987): its own interval
    within both. That it is further may be shown on either side, which a two-sided interval allows for.
    """
    if all(-most <= i.low and i.high <= most for i in found):
        return "agrees"
    beyond = any(i.low > most or i.high < -most for i in any_of(found))
    return "differs" if beyond else "cannot say"


def headline_of(summary: Summary, method: str = TICKETS) -> Verdict | None:
    """The verdict of the rule that heads the report; None for a method without one."""
    return next((v for v in summary.headline if v.method == method and not v.undecided), None)


def rounds(sparsity: float) -> float:
    """A sparsity as rounds of pruning that each remove a fifth of what remains: 0.2 is 1, 0.36 is 2."""
    return math.log(1.0 - sparsity) / math.log(ROUND) if sparsity < 1.0 else math.inf


def near(sparsity: float, published: float) -> bool:
    """Whether a sparsity is the published one, give or take one round."""
    return abs(rounds(sparsity) - rounds(published)) <= 1.0 + 1e-3


def null_of(summary: Summary, score: str, variants: tuple[str, ...]) -> Cell | None:
    """A variant of a dense score that is a null, over seeds; None where it was not measured."""
    table = summary.table
    chosen = (table["method"] == "dense") & (table["score"] == score) & table["variant"].isin(variants)
    values = table.loc[chosen, "value"].dropna().tolist()
    return of_values(values) if values else None
