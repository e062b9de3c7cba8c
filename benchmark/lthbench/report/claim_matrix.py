"""Claims and tables: on which tasks what papers say agrees, and on which it differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

from lthbench import formatting
from lthbench.formatting import escape
from lthbench.report.claims import any_task, between
from lthbench.report.figures.files import as_csv as rows_as_csv
from lthbench.report.summary import Summary

#: How a claim's finding stands in the matrix: a class for its colour, and a sign.
SIGNS = {
    "agrees": ("y", "✓"),
    "differs": ("n", "✗"),
    "cannot say": ("u", "?"),
    "not measured": ("", ""),
}


def matrix(pairs: Sequence[tuple[Summary, str]]) -> dict[str, Any]:
    """The matrix of claims and tables: what each table says of each claim that it can speak to."""
    columns = []
    rows: dict[str, dict[str, Any]] = {}
    others = between.held([summary for summary, _ in pairs])
    for place, (summary, folder) in enumerate(pairs):
        facts = summary.facts
        title = f"{facts.task_name}, {facts.budget_name}"
        counted = dict.fromkeys(SIGNS, 0)
        for held in (*any_task.held(summary), *others[place]):
            row = rows.setdefault(
                held["claim"],
                {"claim": held["claim"], "source": held["source"], "cells": [None] * len(pairs)},
            )
            kind, sign = SIGNS[held["finding"]]
            row["cells"][place] = {"kind": kind, "sign": sign, **held}
            counted[held["finding"]] += 1
        columns.append({"title": title, "href": f"{folder}/index.html", **counted})
    groups: dict[str, list[dict[str, Any]]] = {name: [] for name in OVER_ALL}
    for row in rows.values():
        groups[_over_all(row)].append(row)
    told = [row for row in rows.values() if _over_all(row) in ("agrees", "differs", "both")]
    return {
        "columns": columns,
        "rows": told,
        "open": groups["cannot say"],
        "untold": groups["not measured"],
        "counts": {name: len(of_kind) for name, of_kind in groups.items()},
    }


#: What all tables together say of a claim.
OVER_ALL = ("agrees", "differs", "both", "cannot say", "not measured")


def _over_all(row: dict[str, Any]) -> str:
    """What all tables say: ``both`` where some agree and some differ, else what is surest."""
    found = {cell["finding"] for cell in row["cells"] if cell}
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
        "that tells is enough, where none tells otherwise."
    )


def _counted(row: dict[str, Any]) -> list[int]:
    """On how many tables a claim agrees, on how many it differs, and how many cannot say."""
    found = [cell["finding"] for cell in row["cells"] if cell]
    return [found.count(finding) for finding in ("agrees", "differs", "cannot say")]


def as_csv(claims: dict[str, Any]) -> bytes:
    """The matrix as CSV: a row for each claim, with counts, then finding and what is shown for each table."""
    tables = [column["title"] for column in claims["columns"]]
    head = ["claim", "source", "agrees", "differs", "cannot_say"]
    head += [name for table in tables for name in (table, f"{table}: shown")]
    rows = []
    for row in (*claims["rows"], *claims["open"], *claims["untold"]):
        told = [(c["finding"], c["shown"]) if c else ("", "") for c in row["cells"]]
        rows.append([row["claim"], row["source"], *_counted(row), *(v for pair in told for v in pair)])
    return rows_as_csv(head, rows)


def as_markdown(claims: dict[str, Any]) -> str:
    """The claims that a table can speak to, as a table in Markdown."""
    tables = [escape(column["title"]) for column in claims["columns"]]
    rows = [
        [
            f"{escape(row['claim'])} ({escape(row['source'])})",
            *_counted(row),
            *(
                f"{cell['sign']} {escape(cell['shown'])}" if cell and cell["sign"] else "—"
                for cell in row["cells"]
            ),
        ]
        for row in (*claims["rows"], *claims["open"])
    ]
    heads = ["claim", "agrees on", "differs on", "cannot say", *tables]
    table = tabulate(rows, heads, tablefmt="github", disable_numparse=True) if rows else "No claims."
    legend = "✓ agrees, ✗ differs, ? cannot say, — not measured there"
    return f"# What papers claim\n\n{said(claims['counts'])} {legend}.\n\n{table}\n"
