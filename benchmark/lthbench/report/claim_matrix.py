"""Claims and tables: on which tasks what papers say agrees, and on which it differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tabulate import tabulate

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
    told = [r for r in rows.values() if any(c and c["sign"] for c in r["cells"])]
    untold = [r for r in rows.values() if r not in told]
    return {"columns": columns, "rows": told, "untold": untold}


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
    for row in (*claims["rows"], *claims["untold"]):
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
                f"{cell['sign']} {escape(cell['shown'])}" if cell and cell["sign"] else ""
                for cell in row["cells"]
            ),
        ]
        for row in claims["rows"]
    ]
    heads = ["claim", "agrees on", "differs on", "cannot say", *tables]
    said = tabulate(rows, heads, tablefmt="github", disable_numparse=True) if rows else "No claims."
    return f"# What has been claimed, and what these tables show\n\n{said}\n"
