"""Whether a table can be reported at all: what would make a verdict wrong is refused, with the reason."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lthbench.errors import BadInput
from lthbench.kinds.scores import ROUNDING
from lthbench.results.run_facts import RunFacts

if TYPE_CHECKING:
    import pandas as pd

STATUSES = ("ok", "gated", "degenerate", "failed", "missing")
#: What tells a row from every other.
_ROW = ["method", "sparsity", "seed", "score", "variant"]


def check(table: pd.DataFrame, facts: RunFacts) -> None:
    """Raise BadInput for a table of several tasks or budgets, with a row twice, or with impossible values."""
    for column in ("task", "budget"):
        if table[column].nunique() != 1:
            found = ", ".join(map(str, sorted(table[column].unique())))
            raise BadInput(f"a report is of one {column}; the table holds {found or 'none'}.")
    twice = table[table.duplicated(_ROW)]
    if len(twice):
        raise BadInput(f"the table has more than one row for {_named(twice)}; keep one of them.")
    wrong = table[~((table["sparsity"] >= 0.0) & (table["sparsity"] < 1.0))]
    if len(wrong):
        raise BadInput(f"a sparsity is at least 0 and less than 1; the table has {_named(wrong)}.")
    for column, own in (("task", facts.task_name), ("budget", facts.budget_name)):
        there = table[column].iloc[0]
        if own != there:
            raise BadInput(f'the table is of {column} "{there}", its facts of "{own}": one was edited.')
    for column in ("se", "diff_se", "mean_diff_se", "n", "forwards"):
        wrong = table[(table[column] < 0) | (table[column] == math.inf)]
        if len(wrong):
            raise BadInput(
                f"{column} is finite and not negative; that of {_named(wrong)} is {wrong[column].iloc[0]:g}."
            )
    endless = table[table["value"].abs() == math.inf]
    if len(endless):
        raise BadInput(f"{_named(endless)} is infinite; a score that has no value is left empty.")
    better = {s.name: "higher" if s.higher_is_better else "lower" for s in facts.scores}
    units, groups = {s.name: s.unit for s in facts.scores}, {s.name: s.group for s in facts.scores}
    for column, by_score in (("direction", better), ("unit", units), ("group", groups)):
        said = table["score"].map(by_score)
        wrong = table[said.notna() & (table[column] != said)]
        if len(wrong):
            found, other = wrong[column].iloc[0], said[wrong.index[0]]
            raise BadInput(
                f'{column} is "{found}" in {_named(wrong)}, its facts say "{other}": one was edited.'
            )
    lows = {s.name: -math.inf if s.low is None else s.low for s in facts.scores}
    highs = {s.name: math.inf if s.high is None else s.high for s in facts.scores}
    below = table["value"] < table["score"].map(lows).astype(float) - ROUNDING
    wrong = table[below | (table["value"] > table["score"].map(highs).astype(float) + ROUNDING)]
    if len(wrong):
        score, value = wrong["score"].iloc[0], wrong["value"].iloc[0]
        raise BadInput(f"{_named(wrong)} is {value:g}; it lies between {lows[score]:g} and {highs[score]:g}.")
    wrong = table[(table["method"] == "dense") & (table["sparsity"] != 0.0)]
    if len(wrong):
        raise BadInput(f"a dense network has sparsity 0; the table has {_named(wrong)}.")
    wrong = table[~table["status"].isin(STATUSES)]
    if len(wrong):
        status = wrong["status"].iloc[0]
        raise BadInput(f'no status "{status}" ({_named(wrong)}). Valid: {", ".join(STATUSES)}')
    unnamed = sorted(set(table["seed"]) - set(facts.seeds))
    if unnamed:
        said = ", ".join(map(str, facts.seeds)) or "none"
        raise BadInput(f"the table has seed {unnamed[0]}, which its facts do not name: {said}.")


def _named(rows: pd.DataFrame) -> str:
    """The first of the rows, in words."""
    first = rows.iloc[0]
    variant = f" ({first['variant']})" if first["variant"] else ""
    place = f"{first['method']} at sparsity {first['sparsity']:g}, seed {first['seed']}"
    return f"{first['score']}{variant} of {place}"
