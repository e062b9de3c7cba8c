"""``lthbench run``: prune, train and score a grid."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lthbench.cli.data import fetch_missing
from lthbench.cli.options import CONTEXT, ask, check_folder, check_rule, grid_options, result_options
from lthbench.cli.output import show

if TYPE_CHECKING:
    from lthbench.planning.estimate import Estimate
    from lthbench.planning.plan import Plan
    from lthbench.spec import Step


@click.command(context_settings=CONTEXT)
@grid_options
@result_options
def run(
    folder: Path,
    no_report: bool,
    rule: str | None,
    download: bool,
    progress: str,
    engine: str,
    address: str | None,
    **options: Any,
) -> None:
    """Prune, train and score what is asked for, and say which networks match their dense parent.

    What the store holds is not done again: the same command continues a run that was stopped.

    \b
    Example: lthbench run --task c10-r20s --methods imp,omp --sparsity 0.5,0.9 --seeds 2
    """
    from lthbench import api
    from lthbench.compute import device
    from lthbench.engines.queue import Interrupted
    from lthbench.planning.summary import header

    asked = ask(options)
    check_rule(rule)
    api.check_engine(engine, address, options["stack"])
    if not no_report:
        check_folder("--report", folder)
    if download:
        fetch_missing(asked, options["data"])
    workers = device.default_workers() if options["workers"] is None else options["workers"]

    def announce(made: Plan, todo: list[Step], estimate: Estimate, workers: int) -> None:
        if progress != "none":
            click.echo(header(made, todo, estimate, workers), err=True)

    try:
        outcome = api.execute(
            asked,
            options["data"],
            options["store"],
            options["device"],
            workers,
            progress,
            announce,
            engine,
            address,
            stack=options["stack"],
        )
    except Interrupted:
        click.echo(
            f"Stopped. What was finished is in {options['store']}. Continue with the same command.", err=True
        )
        sys.exit(130)
    show(outcome, None if no_report else folder, rule)
