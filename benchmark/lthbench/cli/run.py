"""``lthbench run``: prune, train and score a grid."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from lthbench.cli.at_once import told_at_once
from lthbench.cli.data import fetch_missing
from lthbench.cli.options import CONTEXT, ask, grid_options, result_options, run_options
from lthbench.cli.output import execute_and_show
from lthbench.errors import BadInput

#: Where the words of the command are kept.
_TYPED = "lthbench.typed"


class _Typed(click.Command):
    """A command that keeps the words that it was given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_TYPED] = list(args)
        return super().parse_args(ctx, args)


@click.command(cls=_Typed, context_settings=CONTEXT)
@grid_options
@click.option(
    "--collect",
    is_flag=True,
    help="Compute nothing: report what the store holds so far, also while another run is at work. How steps "
    "are done (--device, --workers, --stack, --engine) has no effect.",
)
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

    What the store holds is not done again: the same command continues a run that was stopped, and with
    --collect it reports what is there.

    \b
    Example: lthbench run --task c10-r20s --methods imp,omp --sparsity 0.5,0.9 --seeds 2
    """
    report = None if no_report else folder
    with told_at_once(options, rule, report, force):
        asked = ask(options)
        if options["collect"] and download:
            raise BadInput("--collect reports what is stored and fetches nothing: leave --download out.")
    how = run_options(options)
    if download:
        fetch_missing(asked, how.data)
    again = [word for word in click.get_current_context().meta[_TYPED] if word != "--collect"]
    typed = shlex.join(["lthbench", "run", *again])
    execute_and_show(asked, how, report, rule, force=force, as_json=as_json, again=typed)
