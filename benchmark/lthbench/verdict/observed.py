"""The scores of a table as the verdict reads them: by method, sparsity and score, a row for each seed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Row(NamedTuple):
    """One seed's score."""

    seed: int
    value: float
    status: str
    reason: str
    diff_se: float
    mean_diff_se: float
    #: The key of the step that measured it; "" where a table does not say.
    step: str = ""


class Observed:
    """The headline scores of a table, by method, sparsity and score; and the errors under each corruption."""

    def __init__(self, table: pd.DataFrame):
        errors = [c for c in ("diff_se", "mean_diff_se") if c in table]
        names = ["method", "sparsity", "score", "seed", "value", "status", "reason"]
        steps = ["step"] if "step" in table else []
        main = table.loc[table["variant"].isna() | (table["variant"] == ""), names + errors + steps]
        self.methods = [m for m in dict.fromkeys(main["method"]) if m != "dense"]
        self.names = set(main["score"])
        self.sparsities: dict[str, list[float]] = {}
        self.degenerate: dict[tuple[str, float], str] = {}
        self.seeds: dict[tuple[str, float], set[int]] = {}
        self._cells: dict[tuple[str, float, str], list[Row]] = {}
        self._dense: dict[str, list[Row]] = {}
        unknown = [math.nan] * len(main)
        numbers, texts = ("sparsity", "seed", "value"), ("method", "score", "status", "reason")
        read = {c: main[c].tolist() for c in numbers} | {c: _shared(main[c]) for c in texts}
        columns = [read[c] for c in names]
        columns += [list(main.get(c, unknown)) for c in ("diff_se", "mean_diff_se")]
        columns.append(_shared(main["step"].fillna("")) if steps else [""] * len(main))
        for method, sparsity, score, *facts in zip(*columns, strict=True):
            row = Row(*facts)
            self._cells.setdefault((method, sparsity, score), []).append(row)
            self.seeds.setdefault((method, sparsity), set()).add(row.seed)
            if method == "dense":
                self._dense.setdefault(score, []).append(row)
            if sparsity not in self.sparsities.setdefault(method, []):
                self.sparsities[method].append(sparsity)
            if row.status == "degenerate":
                self.degenerate.setdefault((method, sparsity), str(row.reason))
        self._corrupted = corrupted(table)

    def of(self, method: str, sparsity: float, score: str) -> list[Row]:
        """A score of a network, a row for each seed."""
        return self._cells.get((method, sparsity, score), [])

    def dense(self, score: str) -> list[Row]:
        """The same of the dense parents."""
        return self._dense.get(score, [])

    def corruption_errors(self, method: str, sparsity: float, seed: int) -> dict[str, float]:
        """The error under each corruption."""
        return self._corrupted.get((method, sparsity, seed), {})


def so_far(rows: Sequence[Row]) -> str:
    """For how many seeds a score is measured while others are still to come; "" where none is."""
    awaited = sum(r.status == "missing" for r in rows)
    if not awaited:
        return ""
    there = len(rows) - awaited
    return f"measured for {there} of {len(rows)} seeds so far" if there else "not measured yet"


def _shared(column: pd.Series) -> list[Any]:
    """A column of texts, equal ones as one object: columns of text are slow to go through one by one."""
    codes, values = column.factorize(use_na_sentinel=False)
    known = values.tolist()
    return [known[code] for code in codes]


def plain_rows(rows: pd.DataFrame) -> Iterator[tuple[Any, ...]]:
    """Rows as plain values, which whole columns are turned into the fastest."""
    return zip(*(rows[column].tolist() for column in rows), strict=True)


def corrupted(table: pd.DataFrame) -> dict[tuple[str, float, int], dict[str, float]]:
    """The error under each corruption, by method, sparsity and seed."""
    kinds = table["variant"].notna() & (table["variant"] != "")
    names = ["method", "sparsity", "seed", "variant", "value"]
    rows = table.loc[(table["score"] == "corruption_error") & kinds, names]
    found: dict[tuple[str, float, int], dict[str, float]] = {}
    for method, sparsity, seed, kind, value in plain_rows(rows):
        found.setdefault((method, sparsity, seed), {})[kind] = value
    return found


def mean(rows: Sequence[Row]) -> float:
    """The mean of what is there."""
    values = [r.value for r in rows if not math.isnan(r.value)]
    return fmean(values) if values else math.nan
