"""What ``run --json`` and ``score --json`` print: what was done, and what was found of each network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.planning.plan import Plan
    from lthbench.report.summary import Summary
    from lthbench.spec import Step

#: What is said of each score of a network: its value, and its standard errors over images.
VALUES = (
    "method",
    "sparsity",
    "seed",
    "score",
    "value",
    "se",
    "diff_se",
    "n",
    "unit",
    "direction",
    "status",
    "reason",
)


class Tally:
    """Which steps a run has, and which of them it set out to do, over all its looks at the results.

    Where what is stored was collected, these are missing.
    """

    def __init__(self, collected: bool = False) -> None:
        self._collected = collected
        self._all: set[str] = set()
        self._todo: set[str] = set()

    def add(self, made: Plan, todo: Sequence[Step]) -> None:
        """Count the steps of a plan, and those of them that are still to do."""
        self._all.update(step.key for step in made.steps)
        self._todo.update(step.key for step in todo)

    def counts(self, failures: Mapping[str, str]) -> dict[str, int]:
        """How many steps there are: stored before or not needed, done now, and failed; or missing."""
        count, todo, failed = len(self._all), len(self._todo), len(self._todo & failures.keys())
        left = {"done": 0, "failed": failed, "missing": todo - failed}
        return {"all": count, "reused": count - todo} | (
            left if self._collected else {"done": todo - failed, "failed": failed}
        )


def record(
    outcome: Any, summary: Summary, tally: Tally, written: Sequence[Path], folder: Path | None, scored: bool
) -> dict[str, Any]:
    """What a run did and found; with each score of each network where they were made elsewhere (``scored``).

    What ``lthbench report --format json`` writes is part of it.
    """
    from lthbench.engines.failures import told
    from lthbench.report import machine_readable

    measured = dict(zip(outcome.table["step"], outcome.table["metric"], strict=True))
    return {
        "state": "unfinished" if summary.so_far else "failed" if outcome.failures else "complete",
        "report": None if folder is None else str(folder),
        "files": [str(path) for path in written],
        "steps": tally.counts(outcome.failures),
        "failures": told(outcome.failures, measured),
        "ended": outcome.facts.ended or None,
        "networks": _networks(summary),
        **({"values": _values(outcome.table)} if scored else {}),
        **machine_readable.record(summary),
    }


def _networks(summary: Summary) -> list[dict[str, Any]]:
    """The verdict on each method and sparsity, by the rule that heads the report."""
    from lthbench.report import answer, explanation
    from lthbench.verdict.explanation import standing

    return [
        {
            "method": result.method,
            "sparsity": level,
            "finding": standing(result.at(level)),
            "passes": explanation.passes(result, level),
            "said": answer.of_network(summary, result.at(level)),
        }
        for result in summary.headline
        for level in result.sparsities
    ]


def _values(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The headline of each score of each network."""
    shown = table.loc[table["variant"] == "", list(VALUES)]
    return [{str(key): value for key, value in row.items()} for row in shown.to_dict("records")]
