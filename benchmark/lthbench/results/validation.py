"""Whether a table can be reported at all: what would make a verdict wrong is refused, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.errors import BadInput
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
