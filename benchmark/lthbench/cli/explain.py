"""``lthbench explain``: the argument behind the verdict on one network."""

from __future__ import annotations

import json
from pathlib import Path

import click

from lthbench.cli.options import CONTEXT, Sparsity, plugin_option, summary_of
from lthbench.cli.terminal import columns, echo


@click.command(context_settings=CONTEXT)
@click.argument("method")
@click.argument("sparsity", type=Sparsity())
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    default="lthbench-report",
    show_default=True,
    help="The folder of a report.",
)
@click.option("--rule", help="The verdict's rule: noninferior, std or paper.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@plugin_option
def explain(method: str, sparsity: float, source: Path, rule: str | None, as_json: bool) -> None:
    """Say why the networks of METHOD at SPARSITY pass or do not, score by score.

    \b
    Example: lthbench explain imp 0.79 --from lthbench-report
    """
    from lthbench.report.explanation import account, text

    found = account(summary_of(source, rule, method), method, sparsity)
    echo(json.dumps(found, indent=1, ensure_ascii=False) if as_json else text(found, columns()))
