"""``lthbench doctor``: what this machine can run, what is missing, and the command to get it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lthbench.cli.options import CONTEXT, Place
from lthbench.cli.terminal import echo, echo_json, wrapped
from lthbench.formatting import counted


@click.command(context_settings=CONTEXT)
@click.option("--data", type=click.Path(path_type=Path), help="A folder that holds data sets.")
@click.option(
    "--store",
    type=Place(),
    default="lthbench-store",
    show_default=True,
    help="Where results are to go.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def doctor(data: Path | None, store: Path | str, as_json: bool) -> None:
    """Say what this machine can run, what is missing, and the command to get it. Exits with 1 on a problem.

    \b
    Example: lthbench doctor --data DIR
    """
    from lthbench.doctor import examined

    found = list(examined(data, store))
    problems = [f for f in found if f.state == "problem"]
    if as_json:
        echo_json([f._asdict() for f in found])
    else:
        marks = {"ok": "ok      ", "note": "note    ", "problem": "PROBLEM "}
        topic = ""
        for finding in found:
            shown = "" if finding.topic == topic else finding.topic
            topic = finding.topic
            echo(wrapped(f"{shown:<9}{marks[finding.state]}{finding.text}", 17))
            if finding.remedy:
                echo(wrapped(f"{'':<17}  {finding.remedy}", 19))
        many = counted(len(problems), "problem", "problems")
        echo(f"\n{many}: nothing can be run" if problems else "\nReady: lthbench run")
    if problems:
        sys.exit(1)
