"""``lthbench compare``: two tables side by side."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from lthbench.cli.options import CONTEXT, as_a_run_wrote_it, read
from lthbench.cli.terminal import echo, echo_json


@click.command(context_settings=CONTEXT)
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@click.option("--all", "every", is_flag=True, help="All scores, not only those of the verdict.")
@click.option("--format", "form", type=click.Choice(["text", "md"]), default="text", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def compare(a: Path, b: Path, every: bool, form: str, as_json: bool) -> None:
    """Put two reports A and B side by side: what was asked for differently, and what that changed.

    Differences of scores are paired by seed and come with 95 % intervals over the seeds. A score that is
    gated, degenerate or failed in one of them is not compared; it is listed with the reason.

    \b
    Example: lthbench compare before after
    """
    from lthbench.results.comparison import compare as compared
    from lthbench.results.comparison import text

    tables = read(a), read(b)
    with as_a_run_wrote_it(a, b, alone=lambda k: compared(tables[k], tables[k], every)):
        found = compared(*tables, every)
    if as_json:
        echo_json(dataclasses.asdict(found))
    else:
        titles = {s.name: s.title for s in tables[0][1].scores}
        echo(text(found, titles, form))
