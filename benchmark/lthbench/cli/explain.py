"""``lthbench explain``: the argument behind the verdict on one network."""

from __future__ import annotations

from pathlib import Path

import click

from lthbench.cli.completion import names
from lthbench.cli.options import CONTEXT, Sparsity, plugin_option, summary_of
from lthbench.cli.terminal import columns, echo, echo_json
from lthbench.errors import BadInput


@click.command(context_settings=CONTEXT)
@click.argument("method", shell_complete=names("method"))
@click.argument("sparsity", type=Sparsity())
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    default="lthbench-report",
    show_default=True,
    help="The folder of a report.",
)
@click.option("--against", metavar="METHOD", help="Compare with this method of the table, instead of dense.")
@click.option("--rule", help="The verdict's rule: noninferior, std or paper.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@plugin_option
def explain(
    method: str, sparsity: float, source: Path, against: str | None, rule: str | None, as_json: bool
) -> None:
    """Say why the networks of METHOD at SPARSITY pass or do not, score by score.

    With --against, say instead in which scores they are better or worse than those of another method at the
    same sparsity.

    \b
    Example: lthbench explain imp 0.79 --from lthbench-report
             lthbench explain imp 0.79 --against omp
    """
    from lthbench.report import beside, explanation

    if against is None:
        found = explanation.account(summary_of(source, rule, method), method, sparsity)
        text = explanation.text
    else:
        if rule is not None:
            raise BadInput("--rule is of the verdict, which is against dense; leave it out with --against.")
        found = beside.account(summary_of(source, None, method, against), method, against, sparsity)
        text = beside.text
    if as_json:
        echo_json(found)
    else:
        echo(text(found, columns()))
