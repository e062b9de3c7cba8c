"""``lthbench report``: the pages of a table again."""

from __future__ import annotations

from pathlib import Path

import click

from lthbench.commands.options import CONTEXT, Words, as_no_run_wrote, check_folder, check_rule


@click.command(context_settings=CONTEXT)
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; the same folder by default.")
@click.option("--format", "formats", type=Words(), help="html, md, csv; all by default.")
@click.option("--rule", help="The verdict's rule: noninferior, std or paper.")
def report(source: Path, out: Path | None, formats: list[str] | None, rule: str | None) -> None:
    """Write the pages again from the table of a run (the folder that holds scores.csv and run.json).

    \b
    Example: lthbench report lthbench-report --rule paper --out site
    """
    from lthbench import table
    from lthbench.errors import unknown
    from lthbench.report import FORMATS, write

    check_rule(rule)
    for name in formats or ():
        if name not in FORMATS:
            raise unknown("format", name, FORMATS)
    folder = source.parent if source.is_file() else source
    scores, facts = table.read(folder)
    check_folder("--out", out or folder)
    try:
        written = write(scores, facts, out or folder, rule, tuple(formats or FORMATS))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise as_no_run_wrote(folder, error) from error
    for path in written:
        click.echo(path)
