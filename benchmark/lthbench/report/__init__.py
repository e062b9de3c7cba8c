"""Reports: pure functions of a score table, the facts beside it, and the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("html", "md", "csv")


def write(
    table: pd.DataFrame,
    facts: dict[str, Any],
    folder: Path,
    rule: str | None = None,
    formats: tuple[str, ...] = FORMATS,
) -> list[Path]:
    """Write the reports of a table into a folder, each file whole or not at all. Returns their paths.

    ``csv`` stands for the table itself: ``scores.csv``, ``run.json``, and ``scores.parquet`` where the
    extra ``parquet`` is installed.
    """
    from lthbench import table as tables
    from lthbench.report import markdown, page
    from lthbench.report.summary import summarise

    summary = summarise(table, facts, rule)
    pages = {}
    if "md" in formats:
        pages["report.md"] = markdown.render(summary)
    if "html" in formats:
        pages["report.html"] = page.render(summary)
    folder.mkdir(parents=True, exist_ok=True)
    written = tables.write(table, facts, folder) if "csv" in formats else []
    for name, text in pages.items():
        written.append(folder / name)
        tables.publish(written[-1], text.encode())
    return written
