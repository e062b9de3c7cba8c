"""What a site's tables show: a sentence each that leads to where it is seen. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lthbench import formatting
from lthbench.report import findings, leaderboard, network_page
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Verdict

#: How many sentences an index opens with.
MOST = 5


@dataclass(frozen=True)
class Highlight:
    """A sentence, what it is about (a task, or "" where the sentence says so), and where it is seen."""

    about: str
    text: str
    href: str


def of_site(pairs: Sequence[tuple[Summary, str]]) -> list[Highlight]:
    """Up to five: how far methods get on each task, then what accuracy hides, breaks and is better."""
    found = [
        Highlight(_title(summary), findings.lead(summary), f"{folder}/index.html")
        for summary, folder in pairs
    ]
    found = found[: MOST - 1] if len(pairs) >= MOST else found
    others = [h for maker in (_hidden, _breaks, _better) if (h := maker(pairs)) is not None]
    return (found + others)[:MOST]


def _title(summary: Summary) -> str:
    """The task, and how accurate its dense networks are: what is said of badly trained ones is of those."""
    cell = summary.cell("dense", 0.0, "accuracy")
    dense = f" (dense: {cell.text} % accurate)" if cell else ""
    return f"{summary.facts.task_title[:1].upper()}{summary.facts.task_title[1:]}{dense}:"


def _hidden(pairs: Sequence[tuple[Summary, str]]) -> Highlight | None:
    """Where accuracy alone holds furthest beyond everything at once."""
    best: tuple[float, Highlight] | None = None
    for summary, folder in pairs:
        for result in summary.headline:
            scores = list(dict.fromkeys(m.score for m in result.matches))
            if "accuracy" not in scores or len(scores) < 2:
                continue
            alone, _ = leaderboard.holds(result, ["accuracy"])
            joint, fails = leaderboard.holds(result, scores)
            if alone is None or fails is None or fails > alone:
                continue
            lost = [m.score for m in result.at(fails) if m.finding == "worse"]
            if not lost:
                continue
            gap = alone - (joint or 0.0)
            text = (
                f"The accuracy of {result.method} holds up to {formatting.sparsity(alone)}; already at "
                f"{formatting.sparsity(fails)} it is worse in {summary.titles(tuple(lost))} "
                f"({summary.facts.task_name})."
            )
            href = f"{folder}/{network_page.name(result.method, fails)}"
            if best is None or gap > best[0]:
                best = gap, Highlight("What accuracy hides:", text, href)
    return best[1] if best else None


def _breaks(pairs: Sequence[tuple[Summary, str]]) -> Highlight | None:
    """Which score breaks first for most methods, over all tasks."""
    counted: Counter[str] = Counter()
    titles: dict[str, str] = {}
    of = 0
    for summary, _ in pairs:
        for result in summary.headline:
            first = findings.first_break(result)
            if first is None:
                continue
            of += 1
            counted.update(first.scores)
            titles |= {s: summary.title_of(s) for s in first.scores}
    if not counted or of < 2:
        return None
    score, times = counted.most_common(1)[0]
    text = f"{titles[score]}, alone or with others, in {times} of the {of} cases in which something does."
    return Highlight("What breaks first:", text, "#boards")


def _better(pairs: Sequence[tuple[Summary, str]]) -> Highlight | None:
    """What is better than dense, at the largest sparsity."""
    best: tuple[float, Highlight] | None = None
    for summary, folder in pairs:
        for result in summary.headline:
            for level in result.sparsities:
                better = tuple(m.score for m in result.at(level) if m.finding == "better")
                if better and (best is None or level > best[0]):
                    best = level, _better_at(summary, folder, result, level, better)
    return best[1] if best else None


def _better_at(
    summary: Summary, folder: str, result: Verdict, level: float, scores: tuple[str, ...]
) -> Highlight:
    text = (
        f"{result.method} at {formatting.sparsity(level)}, in {summary.titles(scores)} "
        f"({summary.facts.task_name})."
    )
    return Highlight("Better than dense:", text, f"{folder}/{network_page.name(result.method, level)}")
