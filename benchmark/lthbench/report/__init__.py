"""Reports: pure functions of a score table, the facts beside it, and the verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd

    from lthbench.report.summary import Summary
    from lthbench.results.run_facts import RunFacts

#: What a run writes: a page in one file, Markdown, and the table itself.
FORMATS = ("html", "md", "csv")
#: What can be asked for beside these.
MORE = ("site", "latex", "json", "badge", "svg", "png", "pdf", "parquet", "robustbench")


def check_formats(names: Iterable[str]) -> None:
    """Raise BadInput for a format that there is not."""
    from lthbench.errors import unknown

    for name in names:
        if name not in (*FORMATS, *MORE):
            raise unknown("format", name, (*FORMATS, *MORE))


def silent(_: str) -> None:
    """Says nothing of what is done next."""


def write(
    table: pd.DataFrame,
    facts: RunFacts,
    folder: Path,
    rule: str | None = None,
    formats: tuple[str, ...] = FORMATS,
    tell: Callable[[str], None] = silent,
    force: bool = False,
    summary: Summary | None = None,
) -> list[Path]:
    """Write the reports of a table into a folder, each file whole or not at all. Returns their paths.

    Raises BadInput where a file of others is in the way, or for a table that is not finished a report of the
    same command that has more, unless ``force`` replaces it.

    ``csv`` stands for the table itself: ``scores.csv``, ``run.json``, and ``scores.parquet`` where the
    extra ``parquet`` is installed. ``tell`` is called with what is done next. ``summary`` is that of the
    table by the same rule, where it was made before. Raises BadInput for ``parquet`` where it is not.
    """
    from lthbench import files, textfiles
    from lthbench.report import latex, machine_readable, markdown, robustbench, task_page
    from lthbench.report.figures import files as figure_files
    from lthbench.report.summary import summarise
    from lthbench.results import overwriting
    from lthbench.results import table as tables
    from lthbench.verdict.rules import HEADLINE

    tell("the verdict")
    facts = replace(facts, rule="" if rule is None or rule == HEADLINE else rule)
    summary = summarise(table, facts, rule) if summary is None else replace(summary, facts=facts)
    made: dict[str, bytes] = {}
    if "parquet" in formats:
        made["scores.parquet"] = _parquet(table)
    texts = {
        "md": ("report.md", markdown.render),
        "html": ("report.html", task_page.render),
        "latex": ("report.tex", latex.render),
        "json": ("report.json", machine_readable.as_json),
        "badge": ("badge.svg", machine_readable.badge),
    }
    for key, (name, render) in texts.items():
        if key in formats:
            tell(name)
            made[name] = textfiles.encoded(render(summary))
    drawings = tuple(f for f in formats if f in figure_files.FORMATS)
    if drawings:
        made |= {
            f"figures/{name}": content
            for name, content in figure_files.files(summary, drawings, tell).items()
        }
    if "robustbench" in formats:
        made |= robustbench.files(summary)
    names = {*made, *(overwriting.REPORT if "csv" in formats else ())}
    overwriting.check([folder / name for name in sorted(names)], force)
    overwriting.check_further(folder, facts.command, table, force)
    for parent in sorted({(folder / name).parent for name in made} | {folder}):
        files.make_folder(parent)
    written = tables.write(table, facts, folder) if "csv" in formats else []
    files.publish_all({folder / name: content for name, content in made.items()})
    written += [path for name in made if (path := folder / name) not in written]
    if "site" in formats:
        written += write_several([(table, facts)], folder, rule, tell=tell, force=force)
    return written


def _parquet(table: pd.DataFrame) -> bytes:
    from lthbench.errors import BadInput
    from lthbench.results import table as tables

    content = tables.to_parquet(table)
    if content is None:
        raise BadInput("the format parquet needs pyarrow: pip install 'lthbench[parquet]'")
    return content


def write_several(
    read: list[tuple[pd.DataFrame, RunFacts]],
    folder: Path,
    rule: str | None = None,
    formats: tuple[str, ...] = ("site",),
    tell: Callable[[str], None] = silent,
    force: bool = False,
) -> list[Path]:
    """Write a site of several tables into a folder, other formats into a folder in it for each table.

    Tables of one task and budget are put together. Raises BadInput for tables that contradict each other.
    """
    from lthbench.report import site
    from lthbench.report.summary import summarise
    from lthbench.results import overwriting
    from lthbench.results.merge import grouped

    tables = grouped(read)
    summaries = []
    for table, facts in tables:
        tell(f"the verdict on {facts.task_name}")
        summaries.append(summarise(table, facts, rule))
    if "site" in formats:
        overwriting.check(site.in_the_way(summaries, folder), force)
    written = site.write(summaries, folder, tell) if "site" in formats else []
    others = tuple(f for f in formats if f != "site")
    for (table, facts), summary in zip(tables, summaries, strict=True):
        if others:
            written += write(table, facts, folder / site.folder_of(summary), rule, others, tell, force)
    return written
