"""``lthbench run``: prune, train and score a grid."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lthbench.cli.at_once import told_at_once
from lthbench.cli.data import fetch_missing
from lthbench.cli.options import CONTEXT, ask, grid_options, result_options, run_options
from lthbench.cli.output import execute_and_show


@click.command(context_settings=CONTEXT)
@grid_options
@result_options
def run(
    folder: Path,
    no_report: bool,
    force: bool,
    rule: str | None,
    as_json: bool,
    download: bool,
    **options: Any,
) -> None:
    """Prune, train and score what is asked for, and say which networks match their dense parent.

    What the store holds is not done again: the same command continues a run that was stopped.

    \b
    Example: lthbench run --task c10-r20s --methods imp,omp --sparsity 0.5,0.9 --seeds 2
    """
    report = None if no_report else folder
    with told_at_once(options, rule, report, force):
        asked = ask(options)
    how = run_options(options)
    if download:
        fetch_missing(asked, how.data)
    execute_and_show(asked, how, report, rule, force=force, as_json=as_json)
