"""What a site's tables show together: a short sentence each that leads to where it is seen. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report import findings, leaderboard, network_page
from lthbench.report.summary import Summary, Tables
from lthbench.verdict.rules import Verdict


@dataclass(frozen=True)
class Highlight:
    """What it is about, a sentence, and where it is seen."""

    about: str
    text: str
    href: str


@dataclass(frozen=True)
class Case:
    """A method that breaks on a task: in which scores, from which sparsity, and where that is seen."""

    task: str
    method: str
    scores: tuple[str, ...]
    where: str
    href: str


def of_site(pairs: Tables) -> list[Highlight]:
    """What accuracy hides, what breaks first, and what is better than dense."""
    makers = (_hidden, _breaks, _better)
    return [found for maker in makers if (found := maker(pairs)) is not None]


def cases(pairs: Tables) -> list[Case]:
    """What breaks first of each method on each task, where something does for sure."""
    found = []
    for summary, folder in pairs:
        for result in summary.headline:
            first = findings.first_break(result)
            if first is not None:
                titles = tuple(summary.title_of(s) for s in first.scores)
                href = f"{folder}/{network_page.name(result.method, first.sparsity)}"
                where = formatting.sparsity(first.sparsity)
                found.append(Case(summary.named, result.method, titles, where, href))
    return found


def _hidden(pairs: Tables) -> Highlight | None:
    """Where accuracy alone holds furthest beyond everything at once."""
    found: list[tuple[float, Highlight]] = []
    for summary, folder in pairs:
        for result in summary.headline:
            if "accuracy" not in result.scores or len(result.scores) < 2:
                continue
            alone, _ = leaderboard.holds(result, ["accuracy"])
            joint, fails = leaderboard.holds(result, result.scores)
            if alone is None or fails is None or fails > alone:
                continue
            lost = tuple(m.score for m in result.at(fails) if m.finding == "worse")
            if not lost:
                continue
            text = (
                f"{result.method} keeps its accuracy up to {formatting.sparsity(alone)}, but is worse in "
                f"{findings.named(summary, lost)} already at {formatting.sparsity(fails)} "
                f"({summary.facts.task_name})."
            )
            href = f"{folder}/{network_page.name(result.method, fails)}"
            found.append((alone - (joint or 0.0), Highlight("What accuracy hides:", text, href)))
    return _foremost(found)


def _foremost(found: Sequence[tuple[float, Highlight]]) -> Highlight | None:
    """The first of those with the largest number."""
    return max(found, key=lambda one: one[0])[1] if found else None


def _breaks(pairs: Tables) -> Highlight | None:
    """Which score breaks first for most methods, task by task: many methods would outweigh few."""
    parts, every = [], 0
    for pair in pairs:
        here = cases([pair])
        if here:
            counted = Counter(score for case in here for score in case.scores)
            most = max(counted.values())
            named = [score for score, times in counted.items() if times == most]
            more = [f"{len(named) - findings.FEW} more"] if len(named) > findings.FEW else []
            what = formatting.listed([*named[: findings.FEW], *more])
            judged = sum(not result.undecided for result in pair[0].headline)
            whom = f"{most} of {judged} methods" if len(here) > 1 else here[0].method
            parts.append(f"{what} ({here[0].task}: {whom})")
            every += len(here)
    return Highlight("What breaks first:", f"{'; '.join(parts)}.", "#cases") if every > 1 else None


def _better(pairs: Tables) -> Highlight | None:
    """What is better than dense, at the largest sparsity; of a task, by its best training."""
    found: list[tuple[float, Highlight]] = []
    most: dict[str, float] = {}
    for summary, _ in pairs:
        name = summary.facts.task_name
        most[name] = max(most.get(name, 0.0), _dense_accuracy(summary))
    for summary, folder in pairs:
        if _dense_accuracy(summary) < most[summary.facts.task_name]:
            continue
        for result in summary.headline:
            for level in result.sparsities:
                better = tuple(m.score for m in result.at(level) if m.finding == "better")
                if better:
                    found.append((level, _better_at(summary, folder, result, level, better)))
    return _foremost(found)


def _dense_accuracy(summary: Summary) -> float:
    """The accuracy of a table's dense networks; 0 where it was not measured."""
    return 0.0 if math.isnan(summary.dense_accuracy) else summary.dense_accuracy


def _better_at(
    summary: Summary, folder: str, result: Verdict, level: float, scores: tuple[str, ...]
) -> Highlight:
    accuracy = _dense_accuracy(summary)
    accurate = f"{formatting.number(accuracy, 'fraction')} %" if accuracy else "not measured"
    text = (
        f"{result.method} at {formatting.sparsity(level)}, in {findings.named(summary, scores)} "
        f"({summary.named}, dense {accurate})."
    )
    return Highlight("Better than dense:", text, f"{folder}/{network_page.name(result.method, level)}")
