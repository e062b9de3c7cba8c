"""What pages say of a task and of its recipe: of a task that ships as it is said here, not as a file says it.

Tables are one where these words differ (``merge.meant``), and a bundle is checked without them.
"""

from __future__ import annotations

import dataclasses
import json

from lthbench.planning import task
from lthbench.results.merge import meant
from lthbench.results.run_facts import RunFacts


def about(facts: RunFacts) -> str:
    """What a task is about."""
    return task.load(facts.task_name).about if _ships(facts) else str(facts.task["about"])


def recipe(facts: RunFacts) -> str:
    """What the recipe of a budget is; as the table's own file says, where the budget here is another."""
    return _words(facts)[0]


def source(facts: RunFacts) -> str:
    """Where the recipe of a budget comes from, likewise."""
    return _words(facts)[1]


def _words(facts: RunFacts) -> tuple[str, str]:
    found = task.load(facts.task_name).budgets().get(facts.budget_name) if _ships(facts) else None
    if found is not None:
        here = json.loads(json.dumps({"name": facts.budget_name, **dataclasses.asdict(found)}))
        if meant("budget", here) == meant("budget", facts.budget):
            return found.about, found.source
    return str(facts.budget["about"]), str(facts.budget["source"])


def _ships(facts: RunFacts) -> bool:
    named = all(not request.task.endswith(".toml") for request in facts.requests)
    return named and facts.task_name in task.names()
