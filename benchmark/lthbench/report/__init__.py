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

    folder.mkdir(parents=True, exist_ok=True)
    summary = summarise(table, facts, rule)
    written = tables.write(table, facts, folder) if "csv" in formats else []
    if "md" in formats:
        written.append(folder / "report.md")
        tables.publish(written[-1], markdown.render(summary).encode())
    if "html" in formats:
        written.append(folder / "report.html")
        tables.publish(written[-1], page.render(summary).encode())
    return written
