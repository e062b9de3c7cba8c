"""Summaries whose findings are written down as signs."""

import dataclasses
import itertools
from pathlib import Path

import pytest

from lthbench.cli.options import read
from lthbench.report.summary import summarise
from lthbench.results.merge import grouped
from lthbench.verdict.rules import Match

ENTRIES = Path(__file__).parents[2] / "reports" / "entries"
LEVELS = (0.5, 0.8, 0.9)
#: Findings of two scores over three sparsities, written as signs.
SIGN = {
    "+": "better",
    "y": "matches",
    "?": "open",
    "x": "worse",
    "!": "failed",
    "g": "gated",
    "0": "degenerate",
    "-": "undecided",
}
_SHORT = ("x", "g", "0")


@pytest.fixture(scope="session")
def published():
    """The summaries of the tables that ship, by task and budget."""
    tables = grouped([read(path) for path in sorted(ENTRIES.glob("*.zip"))])
    return {f"{facts.task_name}-{facts.budget_name}": summarise(table, facts) for table, facts in tables}


@pytest.fixture
def judged_as(made_table):
    """Makes a summary whose headline has these findings: by method, a word for each of two scores."""

    def made(_levels=LEVELS, **methods):
        found = summarise(*made_table(tuple(methods), sparsities=_levels))
        results = tuple(verdict(result, _levels, *methods[result.method]) for result in found.headline)
        return dataclasses.replace(found, verdicts={**found.verdicts, found.rule: results})

    return made


def verdict(result, levels, *words):
    """A verdict with these findings, put together as ``lthbench.verdict`` does."""
    matches = tuple(
        Match(result.method, s, score, "noninferior", 0, 0, 0.036, 0, sign in "y+", finding=SIGN[sign])
        for score, word in zip(("accuracy", "nll"), words, strict=True)
        for s, sign in zip(levels, word, strict=True)
    )
    both = ["".join(word[place] for word in words) for place in range(len(levels))]
    falls = [any(c in _SHORT for c in level) for level in both]
    return dataclasses.replace(
        result,
        sparsities=levels,
        matches=matches,
        joint=first([all(c in "y+" for c in level) for level in both], levels),
        short_from=first(falls[::-1], levels[::-1]),
        worse_from={
            score: first([c in _SHORT for c in word][::-1], levels[::-1])
            for score, word in zip(("accuracy", "nll"), words, strict=True)
        },
        held_back=(),
        undecided="",
    )


def first(good, levels):
    """The last level of those that are good from the first on."""
    run = list(itertools.takewhile(lambda pair: pair[0], zip(good, levels, strict=True)))
    return run[-1][1] if run else None
