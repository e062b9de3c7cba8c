"""What makes numbers hard to compare, within a table or between several: said, not hidden."""

from __future__ import annotations

from collections.abc import Sequence

from lthbench import formatting
from lthbench.compute.libraries import LIBRARIES
from lthbench.report.summary import Summary, lacking_sentence
from lthbench.results.run_facts import RunFacts

#: Programs whose version changes numbers.
_PROGRAMS = ("lthbench", "torch", "numpy")


def of_table(summary: Summary) -> list[str]:
    """About one table."""
    found = _versions([summary.facts])
    return [
        *([summary.so_far.sentence] if summary.so_far else []),
        *filter(None, [lacking_sentence(summary)]),
        *(f"This table was made with {said}." for said in found),
    ]


def of_site(summaries: Sequence[Summary]) -> list[str]:
    """About several tables together."""
    found = [
        f"These tables were made with {said}: compare across them with care."
        for said in _versions([s.facts for s in summaries])
    ]
    found += [
        *unfinished(summaries),
        *(f"{_named(s)}: {lacking_sentence(s)}" for s in summaries if s.lacking),
    ]
    for what, values in (
        ("budgets", [s.facts.budget_name for s in summaries]),
        ("rules", [s.rule for s in summaries]),
        ("numbers of seeds", [str(len(s.facts.seeds)) for s in summaries]),
    ):
        several = list(dict.fromkeys(values))
        if len(several) > 1:
            found.append(f"These tables have different {what}: {formatting.listed(several)}.")
    return found


def unfinished(summaries: Sequence[Summary]) -> list[str]:
    """Which tables are not finished, and what of each is there."""
    return [f"{_named(s)}: {s.so_far.sentence}" for s in summaries if s.so_far]


def _named(summary: Summary) -> str:
    return f"{summary.facts.task_title}, {summary.facts.budget_name}"


def _versions(every: Sequence[RunFacts]) -> list[str]:
    """Each program that several versions of had a part, with them; libraries in one line.

    A table of before the versions of libraries were recorded says nothing of them.
    """
    environments = [e for facts in every for e in facts.environments]

    def several(names: Sequence[str]) -> list[str]:
        there = {n: sorted({str(e[n]) for e in environments if n in e}) for n in names}
        return [f"{n} ({formatting.listed(found)})" for n, found in there.items() if len(found) > 1]

    found = [*several(_PROGRAMS), formatting.listed(several(LIBRARIES))]
    return [f"several versions of {said}" for said in found if said]
