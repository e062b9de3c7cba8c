"""What every form of a report says: means over seeds, the verdict, and the verdict in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from lthbench import formatting
from lthbench.errors import BadInput, unknown
from lthbench.planning.checks import text
from lthbench.report import cells, families, heads
from lthbench.report.cells import Cell, Shown
from lthbench.results import dense_parents, score_order, so_far, training_costs, validation
from lthbench.results.so_far import SoFar
from lthbench.results.training_costs import Cost
from lthbench.verdict import calibration as calibrations
from lthbench.verdict import explanation, rules
from lthbench.verdict.between import Pairs
from lthbench.verdict.calibration import Calibration
from lthbench.verdict.comparison import Yardstick
from lthbench.verdict.noninferiority import ALPHA, hommel
from lthbench.verdict.observed import plain_rows
from lthbench.verdict.rules import Match, Verdict

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.results.run_facts import RunFacts

#: Summaries of tables, each with the folder of its pages.
Tables = Sequence[tuple["Summary", str]]

#: Up to so many methods each has figures of its own; of more a page would have hundreds.
MANY_METHODS = 12


@dataclass(frozen=True)
class Summary:
    """A table, summarised. ``cells`` are by (method, sparsity, score).

    ``calibration`` is the task's, as far as it fits the table; ``outdated`` are the scores that it is of
    another version of, and ``unlike`` those in which the table's own dense networks are not like it: it is
    not used for these.
    """

    facts: RunFacts
    table: pd.DataFrame
    scores: tuple[Shown, ...]
    methods: tuple[str, ...]
    sparsities: tuple[float, ...]
    cells: dict[tuple[str, float, str], Cell]
    rule: str
    verdicts: dict[str, tuple[Verdict, ...]]
    calibration: Calibration | None = None
    outdated: tuple[str, ...] = ()
    unlike: tuple[str, ...] = ()
    yardstick: Yardstick | None = None

    @cached_property
    def by_seed(self) -> dict[tuple[str, float, str], dict[int, float]]:
        """The value of each seed, by (method, sparsity, score); those that are no number are left out."""
        main, names = self.table["variant"] == "", ["method", "sparsity", "score", "seed", "value"]
        found: dict[tuple[str, float, str], dict[int, float]] = {}
        for method, sparsity, score, seed, value in plain_rows(self.table.loc[main, names]):
            if not math.isnan(value):
                found.setdefault((str(method), float(sparsity), str(score)), {})[int(seed)] = float(value)
        return found

    @cached_property
    def by_name(self) -> dict[str, Shown]:
        """The scores, by name."""
        return {s.name: s for s in self.scores}

    @cached_property
    def matches(self) -> dict[tuple[str, float, str], Match]:
        """What the rule that heads the report finds, by (method, sparsity, score)."""
        return {(m.method, m.sparsity, m.score): m for v in self.headline for m in v.matches}

    @cached_property
    def judged(self) -> list[str]:
        """The scores that the rule that heads the report is on, in their order."""
        return list(dict.fromkeys(score for _, _, score in self.matches))

    @cached_property
    def pairs(self) -> Pairs:
        """The scores of each method beside those of each other."""
        facts, known = self.facts, self.yardstick
        if known is None or known.calibration is not self.calibration:
            own = dense_parents.given(facts)
            known = Yardstick.of(self.table, self.calibration, facts.looks, own_parents=own)
        return Pairs(known, facts.aspects)

    @cached_property
    def networks(self) -> tuple[tuple[str, float], ...]:
        """Method and sparsity of all that was measured: dense first, then method by method."""
        every = [("dense", 0.0), *((m, s) for m in self.methods for s in self.sparsities)]
        there = {(method, sparsity) for method, sparsity, _ in self.cells}
        return tuple(network for network in every if network in there)

    @cached_property
    def foremost(self) -> tuple[str, ...]:
        """The methods that stand out in figures."""
        return families.foremost(self.methods, self.verdicts.get(self.rule, ()))

    @cached_property
    def trainings(self) -> dict[str, Cell]:
        """By score, the dense trainings that pruned networks are compared with on a calibrated task."""
        return cells.of_trainings(self.calibration, self.scores)

    @cached_property
    def lacking(self) -> tuple[str, ...]:
        """The titles of scores that LTH-PASS asks for on this task and that were not measured."""
        return score_order.lacking(self.facts.task, {a.score for a in self.facts.aspects}, self.facts.classes)

    @cached_property
    def so_far(self) -> SoFar | None:
        """What of the table is there, where its run is not finished; None where all is."""
        return so_far.of_table(self.table)

    @cached_property
    def costs(self) -> dict[tuple[str, float], Cost]:
        """What networks took to find and train, by method and sparsity, as far as that is known."""
        return training_costs.of_table(self.facts)

    @property
    def drawn_alone(self) -> tuple[str, ...]:
        """The methods that have figures of their own: all, or of many the foremost."""
        return self.foremost if len(self.methods) > MANY_METHODS else self.methods

    @property
    def named(self) -> str:
        """Task and budget, by their names."""
        return f"{self.facts.task_name}, {self.facts.budget_name}"

    @property
    def headline(self) -> tuple[Verdict, ...]:
        """The verdicts by the rule that heads the report."""
        return self.verdicts[self.rule]

    def title_of(self, score: str) -> str:
        """How a score is called in a sentence."""
        return heads.plain(self.by_name[score].title) if score in self.by_name else score

    def unit_of(self, score: str) -> str:
        """The unit of a score; "" for one that is not in the table."""
        return self.by_name[score].unit if score in self.by_name else ""

    def titles(self, scores: tuple[str, ...]) -> str:
        """Several scores in a sentence."""
        return formatting.listed([self.title_of(s) for s in scores])

    def cell(self, method: str, sparsity: float | None, score: str) -> Cell | None:
        """One cell, or None."""
        return None if sparsity is None else self.cells.get((method, sparsity, score))

    def mean(self, method: str, sparsity: float, score: str) -> float:
        """The mean of one cell; NaN where there is none."""
        cell = self.cell(method, sparsity, score)
        return math.nan if cell is None else cell.mean

    @property
    def dense_accuracy(self) -> float:
        """The mean accuracy of the dense networks; NaN where none was measured."""
        return self.mean("dense", 0.0, "accuracy")


def summarise(table: pd.DataFrame, facts: RunFacts, rule: str | None = None) -> Summary:
    """The summary of a table. Raises BadInput for one that cannot be reported, or an unknown rule."""
    text("rule", rule)
    validation.check(table, facts)
    rule = rules.HEADLINE if rule is None else rule
    if rule not in rules.RULES:
        raise unknown("rule", rule, rules.RULES)
    scores, found = cells.of_table(table, facts)
    calibration, outdated = calibrated(table, facts)
    yardstick = Yardstick.of(table, calibration, facts.looks, own_parents=dense_parents.given(facts))
    verdicts = rules.verdicts(yardstick, facts.aspects)
    return Summary(
        facts,
        table,
        scores,
        tuple(m for m in dict.fromkeys(table["method"]) if m != "dense"),
        tuple(sorted({float(s) for s in table.loc[table["method"] != "dense", "sparsity"]})),
        found,
        rule,
        {r: tuple(by_method) for r, by_method in verdicts.items()},
        yardstick.calibration,
        outdated,
        yardstick.unlike,
        yardstick,
    )


def calibrated(table: pd.DataFrame, facts: RunFacts) -> tuple[Calibration | None, tuple[str, ...]]:
    """The calibration that a table is judged by, and the scores that it is of another version of.

    That beside the table, of a task of one's own, or else the one that the task ships with.
    """
    found = own_calibration(facts) or calibrations.shipped(facts.task_name, facts.budget_name)
    keys = facts.dense_keys
    if keys is None:  # of a run before there were calibrations
        dense = table[(table["method"] == "dense") & (table["seed"] == 0) & (table["variant"] == "")]
        keys = dict(zip(dense["score"], dense["step"], strict=True))
    return calibrations.fitting(found, keys, facts.aspects, facts.seeds)


def own_calibration(facts: RunFacts) -> Calibration | None:
    """The calibration of a task of one's own; None where the task is judged by what ships with lthbench.

    Raises BadInput for one of a task that was named, and not given as a file: no run writes that.
    """
    if facts.calibration is None:
        return None
    found = calibrations.from_json(facts.calibration, "run.json: calibration")
    if found == calibrations.shipped(facts.task_name, facts.budget_name):
        return None
    if facts.requests and not any(request.task.endswith(".toml") for request in facts.requests):
        raise BadInput(
            f"run.json: calibration is not that of task {facts.task_name}; a task that ships is "
            "judged by the one it ships with."
        )
    return found


def sentence(summary: Summary, result: Verdict) -> str:
    """The verdict on one method, in one sentence."""
    if result.undecided:
        return f"{result.method}: no verdict: {result.undecided}."
    who = result.method if result.scope == "method" else f"{result.method}, this one network of it,"
    if result.sparsities == (0.0,):
        return _unpruned(summary, result, who)
    if result.joint is None:
        lowest = result.sparsities[0]
        reason = explanation.why(result.at(lowest), summary.title_of)
        at = f"{formatting.sparsity(lowest)}, the lowest sparsity{'' if summary.so_far else ' measured'}"
        if explanation.only_open(result.at(lowest)):
            return f"{who} may be as good as {like(result)} or not: at {at}, {reason}."
        short = "has no verdict" if explanation.no_verdict(result.at(lowest)) else "falls short already"
        return f"{who} {short} at {at}: {reason}."
    text = (
        f"{who} is as good as {like(result)} on {everything(summary)} "
        f"up to {formatting.sparsity(result.joint)}"
    )
    if result.held_back:
        beyond = min(s for s in result.sparsities if s > result.joint)
        text += f"; at {formatting.sparsity(beyond)} {explanation.why(result.at(beyond), summary.title_of)}"
    else:
        text += ", the highest measured"
    if result.gaps:
        text += f" (not so at {formatting.listed([formatting.sparsity(s) for s in result.gaps])})"
    return f"{text}."


def _unpruned(summary: Summary, result: Verdict, who: str) -> str:
    """The verdict on networks from which nothing was removed: second trainings, say."""
    reason = explanation.why(result.at(0.0), summary.title_of)
    if result.joint is not None:
        on = everything(summary)
        return f"{who} is as good as {like(result)} on {on}; nothing was removed from it."
    if explanation.only_open(result.at(0.0)):
        return f"{who} may be as good as {like(result)} or not: {reason}."
    short = "has no verdict" if explanation.no_verdict(result.at(0.0)) else "falls short"
    return f"{who} {short}, though nothing was removed from it: {reason}."


def everything(summary: Summary) -> str:
    """What a verdict asks for: everything, or the scores that were measured where LTH-PASS asks for more."""
    measured = len(summary.facts.aspects)
    if not summary.lacking:
        return "everything"
    which = "one score" if measured == 1 else f"{measured} scores"
    return f"the {which} measured (of {measured + len(summary.lacking)})"


def trainings_named(summary: Summary) -> str:
    """What the row of the calibration's trainings is called."""
    return f"dense, {len(summary.calibration.seeds)} trainings" if summary.calibration else ""


def lacking_sentence(summary: Summary) -> str:
    """Which scores that LTH-PASS asks for were not measured; "" where all were."""
    if not summary.lacking:
        return ""
    every = len(summary.facts.aspects) + len(summary.lacking)
    named = formatting.listed([heads.plain(title) for title in summary.lacking])
    return f"Not measured, of the {every} scores that LTH-PASS asks for: {named}."


def standing(summary: Summary, result: Verdict) -> str:
    """Where one network lies among the dense trainings of the calibration; "" for several, or without one.

    It is told from them where a score is worse than one training would be, at 5 % over all scores.
    """
    if result.scope != "network" or summary.calibration is None:
        return ""
    trainings = len(summary.calibration.seeds)
    parts = []
    for level in result.sparsities:
        here = [m for m in result.at(level) if not math.isnan(m.as_bad)]
        if not here:
            continue
        chances = hommel([m.as_bad for m in here])
        off = tuple(m.score for m, p in zip(here, chances, strict=True) if p <= ALPHA)
        at = f" at {formatting.sparsity(level)}" if level else ""
        told = f"{result.method}{at} is told from them by {summary.titles(off)}, where it is worse"
        alike = f"{result.method}{at} alone cannot be told from one of them"
        if any(m.finding == "worse" for m in here):
            alike += ", so that what is worse here may be the luck of one training"
        places = ", ".join(f"{summary.title_of(m.score)} {100 * m.better_than:.0f} %" for m in here)
        parts.append(f"{told if off else alike}. It is better than this share of them: {places}")
    return f"Beside {trainings} trainings of the dense network, {'. '.join(parts)}." if parts else ""


def like(result: Verdict) -> str:
    """What networks of a method are compared with."""
    trainings = result.rule == rules.HEADLINE and any(m.reference == "trainings" for m in result.matches)
    return "another training of the dense network" if trainings else "its dense parent"


def verdict_rows(summary: Summary) -> list[dict[str, str]]:
    """The verdict as a table: one row for each method, by the rule that heads the report."""
    return [
        {
            "method": result.method,
            "accuracy holds up to": far(result, "accuracy"),
            "everything holds up to": far(result),
            "held back by": held_back(summary, result) or "–",
        }
        for result in summary.headline
    ]


def far(result: Verdict, score: str = "") -> str:
    """How far a method gets, or one ``score`` of it: a sparsity, "open" (nothing speaks against it),
    "no verdict", "none" or "–".
    """
    if result.undecided:
        return "–"
    found = result.holds.get(score) if score else result.joint
    if found is not None:
        return formatting.sparsity(found)
    lowest = result.at(result.sparsities[0]) if result.sparsities else ()
    if not score:
        return explanation.in_a_word(lowest)
    own = [match for match in lowest if match.score == score]
    return explanation.in_a_word(own) if own else "–"


def held_back(summary: Summary, result: Verdict) -> str:
    """The scores that do not match at the next sparsity, those apart that are open."""
    beyond = [s for s in result.sparsities if result.joint is None or s > result.joint]
    found = {m.score: m.finding for m in result.at(beyond[0])} if beyond else {}
    still = tuple(s for s in result.held_back if found.get(s) == "open")
    others = tuple(s for s in result.held_back if s not in still)
    parts = [summary.titles(others)] if others else []
    return "; ".join([*parts, f"open: {summary.titles(still)}"] if still else parts)


RULE_TEXT = {
    "noninferior": (
        "a score matches when a test over seeds and images shows, at 5 %, that it is worse than dense by "
        "less than its margin; all scores at once hold where each does, and up to a sparsity where they do "
        "at every one measured below it. Better or worse than dense is said at 5 % over all scores of a "
        "network together; open is what is neither"
    ),
    "paper": (
        "a score matches when its mean over seeds is at least as good as that of the dense networks; "
        "accuracy may be one percentage point lower (Chen et al., TMLR 2022)"
    ),
    "std": (
        "a score matches when its mean over seeds is worse than that of the dense networks by at most one "
        "standard deviation of the dense seeds"
    ),
}


def dense_sentence(summary: Summary) -> str:
    """How good the dense parents are."""
    cell = summary.cell("dense", 0.0, "accuracy")
    seeds = len(summary.facts.seeds)
    number = "one seed" if seeds == 1 else f"{seeds} seeds"
    if cell and cell.seeds:
        accuracy = formatting.measured(cell.mean, cell.spread, "fraction")
        some = f"{cell.seeds} of " if cell.seeds < seeds else ""
        return f"Dense parent: accuracy {accuracy} % ({some}{number})."
    measured = any(method == "dense" for method, _, _ in summary.cells)
    what = "The accuracy of the" if measured else "The"
    awaited = cell is not None and cell.status == "missing"
    return f"{what} dense parent {'is not measured yet' if awaited else 'was not measured'}."
