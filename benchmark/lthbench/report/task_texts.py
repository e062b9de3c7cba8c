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
    found = task.load(facts.task_name).budgets().get(facts.budget_name) if _ships(facts) else None
    if found is not None:
        here = json.loads(json.dumps({"name": facts.budget_name, **dataclasses.asdict(found)}))
        if meant("budget", here) == meant("budget", facts.budget):
            return found.about
    return str(facts.budget["about"])


def _ships(facts: RunFacts) -> bool:
    named = all(not request.task.endswith(".toml") for request in facts.requests)
    return named and facts.task_name in task.names()
