"""Claims and tables: on which tasks what papers say agrees, and on which it differs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from lthbench import formatting
from lthbench.formatting import escape
from lthbench.planning import task
from lthbench.report.claims import any_task, between
from lthbench.report.figures.files import as_csv as rows_as_csv
from lthbench.report.summary import Summary, Tables

#: How a claim's finding stands in the matrix: a class for its colour, and a sign.
SIGNS = {
    "agrees": ("y", "✓"),
    "differs": ("n", "✗"),
    "cannot say": ("u", "?"),
    "not measured": ("", ""),
}


def matrix(pairs: Tables) -> dict[str, Any]:
    """The matrix of claims and tables: what each table says of each claim that it can speak to.

    ``decided`` are the tables that give a claim its answer. What a table says is ``outranked`` by one of the
    same task that was trained for longer and has what the claim is about: a short training tells how networks
    learn, too.
    """
    columns = []
    rows: dict[str, dict[str, Any]] = {}
    others = between.held([summary for summary, _ in pairs])
    for place, (summary, folder) in enumerate(pairs):
        for held in (*any_task.held(summary), *others[place]):
            row = rows.setdefault(
                held["claim"],
                {"claim": held["claim"], "source": held["source"], "cells": [None] * len(pairs)},
            )
            kind, sign = SIGNS[held["finding"]]
            row["cells"][place] = {"kind": kind, "sign": sign, "outranked": "", **held}
        columns.append({"title": summary.named, "href": f"{folder}/index.html"})
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in OVER_ALL}
    for row in rows.values():
        _answer(row, [summary for summary, _ in pairs])
        groups[row["answer"]].append(row)
    told = [row for row in rows.values() if row["answer"] in TOLD]
    return {
        "columns": columns,
        "rows": told,
        "open": groups["cannot say"],
        "untold": groups["not measured"],
        "counts": {name: len(of_kind) for name, of_kind in groups.items()},
    }


def _answer(row: dict[str, Any], summaries: Sequence[Summary]) -> None:
    """Put into a row what all tables say, its sign, and which of them say it, with what they rest on."""
    measured = [
        (cell, summary)
        for cell, summary in zip(row["cells"], summaries, strict=True)
        if cell and cell["finding"] != "not measured"
    ]
    for cell, summary in measured:
        longer = [other for _, other in measured if _outranks(other, summary)]
        if longer:
            cell["outranked"] = max(longer, key=_epochs).named
    row["answer"] = _over_all(row)
    row["kind"], row["sign"] = SIGNS.get(row["answer"], ("u", "✓✗"))
    deciding = [s for cell, s in measured if not cell["outranked"] and cell["finding"] in SURE]
    row["decided"] = [_rests_on(summary) for summary in deciding]
    row["note"] = SHORT_ONLY if deciding and all(map(_is_short, deciding)) else ""


def _epochs(summary: Summary) -> float:
    """For how long the networks of a table were trained."""
    return float(summary.facts.budget.get("train", {}).get("epochs", 0))


def _outranks(one: Summary, other: Summary) -> bool:
    """Whether one table is of the same task as another, and of networks that were trained for longer."""
    return one.facts.task_name == other.facts.task_name and _epochs(one) > _epochs(other)


def _is_short(summary: Summary) -> bool:
    """Whether a table is of the short budget of a task that has longer ones."""
    name = summary.facts.task_name
    return summary.facts.budget_name == SHORT and name in task.names() and len(task.load(name).budgets()) > 1


def _rests_on(summary: Summary) -> str:
    """A table in a few words: task, budget, how good dense is, and seeds."""
    accuracy = summary.dense_accuracy
    dense = "" if math.isnan(accuracy) else f"dense {formatting.number(accuracy, 'fraction')} %, "
    return f"{summary.named}: {dense}{formatting.counted(len(summary.facts.seeds), 'seed', 'seeds')}"


#: What all tables together say of a claim.
OVER_ALL = ("agrees", "differs", "both", "cannot say", "not measured")
#: Answers that some table gives, and findings that decide.
TOLD, SURE = OVER_ALL[:3], OVER_ALL[:2]
#: The budget of which it is said that a claim rests on it alone, and how.
SHORT = "quick"
SHORT_ONLY = "quick budget only"


def _over_all(row: dict[str, Any]) -> str:
    """What all tables say: ``both`` where some agree and some differ, else what is surest."""
    found = {cell["finding"] for cell in row["cells"] if cell and not cell["outranked"]}
    if {"agrees", "differs"} <= found:
        return "both"
    return next((name for name in OVER_ALL if name in found), "not measured")


def said(counts: dict[str, int]) -> str:
    """How many claims agree in some table and differ in none, the other way round, and cannot be said."""
    measured = sum(count for name, count in counts.items() if name != "not measured")
    both = f"do both on {counts['both']}, " if counts["both"] else ""
    return (
        f"Of {formatting.counted(measured, 'claim', 'claims')}, these tables agree with {counts['agrees']}, "
        f"differ from {counts['differs']}, {both}and cannot say for {counts['cannot say']}. One table "
        "that tells is enough, where none tells otherwise; of several of one task that of the longest "
        "training counts."
    )


def _counted(row: dict[str, Any]) -> list[int]:
    """On how many tables that count a claim agrees, on how many it differs, and how many cannot say."""
    found = [cell["finding"] for cell in row["cells"] if cell and not cell["outranked"]]
    return [found.count(finding) for finding in ("agrees", "differs", "cannot say")]


def as_csv(claims: dict[str, Any]) -> bytes:
    """The matrix as CSV: a row for each claim, with its answer, which tables decide it, on how many it agrees
    and differs, and for each table the finding and what is shown.
    """
    tables = [column["title"] for column in claims["columns"]]
    head = ["claim", "answer", "decided_by", "source", "agrees", "differs", "cannot_say"]
    head += [name for table in tables for name in (table, f"{table}: shown")]
    rows = []
    for row in (*claims["rows"], *claims["open"], *claims["untold"]):
        told = [(f"{_outranked(c)}{c['finding']}", c["shown"]) if c else ("", "") for c in row["cells"]]
        decided = "; ".join(row["decided"])
        rows.append(
            [row["claim"], row["answer"], decided, row["source"], *_counted(row)]
            + [value for pair in told for value in pair]
        )
    return rows_as_csv(head, rows)


def _outranked(cell: dict[str, Any]) -> str:
    return "outranked: " if cell["outranked"] else ""


def as_markdown(claims: dict[str, Any]) -> str:
    """The claims that a table can speak to, as a table in Markdown."""
    tables = [escape(column["title"]) for column in claims["columns"]]
    rows = [
        [
            f"{escape(row['claim'])} ({escape(row['source'])})",
            f"{row['sign']} {row['answer']}{f' ({note})' if (note := row['note']) else ''}",
            escape("; ".join(row["decided"])) or "–",
            *(
                f"{_outranked(cell)}{cell['sign']} {escape(cell['shown'])}" if cell and cell["sign"] else "—"
                for cell in row["cells"]
            ),
        ]
        for row in (*claims["rows"], *claims["open"])
    ]
    heads = ["claim", "answer", "decided by", *tables]
    table = tabulate(rows, heads, tablefmt="github", disable_numparse=True) if rows else "No claims."
    legend = (
        "✓ agrees, ✗ differs, ? cannot say, — not measured there; outranked: a table of the same task, "
        "trained for longer, counts"
    )
    return f"# What papers claim\n\n{said(claims['counts'])} {legend}.\n\n{table}\n"
