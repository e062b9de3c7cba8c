"""Claims about several tasks, such as which networks can be pruned further: a table beside others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lthbench import registry
from lthbench.kinds import Architecture, Dataset
from lthbench.report import leaderboard
from lthbench.report.claims.base import CHEN, NOT_MEASURED, TICKETS, Shown, headline_of, up_to, worse_within
from lthbench.report.summary import Summary
from lthbench.spec import Network


@dataclass(frozen=True)
class Between:
    """A published statement about two tasks; ``further`` says whether it has the first pruned further."""

    text: str
    source: str
    further: Callable[[Summary, Summary], bool]


def held(summaries: Sequence[Summary]) -> list[list[dict[str, str]]]:
    """For each table, each claim, held to it and to those that it should be pruned further than."""
    found = []
    for one in summaries:
        rows = []
        for claim in CLAIMS:
            others = [o for o in summaries if o is not one and _comparable(one, o) and claim.further(one, o)]
            shown, finding = _together([_against(one, other) for other in others])
            rows.append({"claim": claim.text, "source": claim.source, "shown": shown, "finding": finding})
        found.append(rows)
    return found


def _comparable(one: Summary, other: Summary) -> bool:
    """Whether two tables are of one budget."""
    return one.facts.budget_name == other.facts.budget_name


def _against(one: Summary, other: Summary) -> Shown:
    """How far tickets match on all scores that both tables have, on the first task and on the second."""
    ours, theirs = headline_of(one), headline_of(other)
    if ours is None or theirs is None:
        return NOT_MEASURED
    scores = [s for s in ours.scores if s in theirs.scores]
    if not scores:
        return NOT_MEASURED
    far, fails = leaderboard.holds(ours, scores)
    near, they_fail = leaderboard.holds(theirs, scores)
    shown = f"{TICKETS} {up_to(far)}, on {other.facts.task_name} {up_to(near)}"
    if (far or 0.0) > (near or 0.0) and worse_within(theirs, scores, they_fail, far):
        return shown, "agrees"
    if (near or 0.0) > (far or 0.0) and worse_within(ours, scores, fails, near):
        return shown, "differs"
    return shown, "cannot say"


def _together(found: Sequence[Shown]) -> Shown:
    """What several comparisons say of one claim: it cannot say where they say both."""
    told = [(shown, finding) for shown, finding in found if finding != NOT_MEASURED[1]]
    if not told:
        return NOT_MEASURED
    sure = {finding for _, finding in told} - {"cannot say"}
    return "; ".join(shown for shown, _ in told), sure.pop() if len(sure) == 1 else "cannot say"


def _larger(one: Summary, other: Summary) -> bool:
    """Whether the first network has more prunable weights, on the same images."""
    if _dataset(one) != _dataset(other):
        return False
    ours, theirs = _weights(one), _weights(other)
    return ours is not None and theirs is not None and ours > theirs


def _fewer(one: Summary, other: Summary) -> bool:
    """Whether the same network tells fewer classes on the first task."""
    if one.facts.task.get("architecture") != other.facts.task.get("architecture"):
        return False
    few, many = (registry.known(Dataset, _dataset(s)) for s in (one, other))
    return few is not None and many is not None and len(few.classes) < len(many.classes)


def _dataset(summary: Summary) -> str:
    return str(summary.facts.task.get("data", {}).get("dataset", ""))


def _weights(summary: Summary) -> int | None:
    """The prunable weights of a task's network; None where its records are not here."""
    data = registry.known(Dataset, _dataset(summary))
    found = registry.known(Architecture, str(summary.facts.task.get("architecture", "")))
    if data is None or found is None:
        return None
    classes = len(data.classes)
    return found.count(
        Network(found.name, "", classes, data.channels, data.size, data.mean, data.std)
    ).prunable


CLAIMS = (
    Between("Larger networks can be pruned further.", f"{CHEN}, section 4", _larger),
    Between("Networks of fewer classes can be pruned further.", f"{CHEN}, section 4", _fewer),
)
