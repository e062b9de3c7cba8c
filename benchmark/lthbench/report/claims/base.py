"""A published statement and what a table shows of it; what the checks of claims share."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from lthbench.report.summary import Summary
from lthbench.verdict.rules import Verdict

#: What a check yields: what the table shows, and whether it "agrees", "differs" or is "not measured".
Shown = tuple[str, str]
NOT_MEASURED: Shown = ("–", "not measured")
CHEN = "Chen et al. 2022"
#: The method that finds lottery tickets, of which the papers speak.
TICKETS = "imp"
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
        return {"claim": self.text, "source": self.source, "shown": shown, "finding": finding}


def paper_verdict(summary: Summary, method: str = TICKETS) -> Verdict | None:
    """The verdict by the papers' own rule, if it can be given."""
    return next((v for v in summary.verdicts["paper"] if v.method == method), None)


def mean_of(summary: Summary, method: str, sparsity: float, score: str) -> float:
    """A mean over seeds; NaN where it was not measured."""
    cell = summary.cell(method, sparsity, score)
    return math.nan if cell is None else cell.mean


def rounds(sparsity: float) -> float:
    """A sparsity as rounds of pruning that each remove a fifth of what remains: 0.2 is 1, 0.36 is 2."""
    return math.log(1.0 - sparsity) / math.log(ROUND) if sparsity < 1.0 else math.inf


def near(sparsity: float, published: float) -> bool:
    """Whether a sparsity is the published one, give or take one round."""
    return abs(rounds(sparsity) - rounds(published)) <= 1.0 + 1e-3


def null_of(summary: Summary, score: str, variants: tuple[str, ...]) -> float:
    """The mean over dense seeds of a variant of a score that is a null; NaN where it was not measured."""
    table = summary.table
    chosen = (table["method"] == "dense") & (table["score"] == score) & table["variant"].isin(variants)
    return float(table.loc[chosen, "value"].mean())
