"""``lthbench check``: whether a plug-in keeps what every plug-in promises."""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from pathlib import Path

import click

from lthbench.cli.options import CONTEXT, plugin_option
from lthbench.cli.terminal import echo, echo_json


@click.command(context_settings=CONTEXT)
@click.argument("plugin")
@click.option("--data", type=click.Path(path_type=Path), help="A folder that holds data sets.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@plugin_option
def check(plugin: str, data: Path | None, as_json: bool) -> None:
    """Check a PLUGIN: a file of your own, or one that is installed, by name. Exits with 1 if a check fails.

    Methods and metrics are tried on a task of seconds: ResNet-8 on a few handwritten digits. The file is run;
    check only what you trust. What it takes of another file, such as a score, is named with --plugin.

    \b
    Example: lthbench check ./mine.py
    """
    from lthbench import contract
    from lthbench.data.loading import checked_folders
    from lthbench.engines.threads import one_thread

    places = checked_folders(data)
    found: list[contract.Finding] = []
    name = ""
    with tempfile.TemporaryDirectory() as scratch, one_thread("cpu"):
        for finding in contract.check(plugin, Path(scratch), places):
            found.append(finding)
            if not as_json:
                if name != finding.name:
                    echo(f"{finding.kind} {finding.name}")
                name = finding.name
                echo(f"  {finding.state:<8} {finding.promise}")
                for line in finding.text.splitlines():
                    echo(f"  {'':<8}   {line}")
    failed = sum(f.state == "FAILED" for f in found)
    if as_json:
        echo_json([dataclasses.asdict(f) for f in found])
    else:
        echo(f"{len(found)} checks, {failed} failed")
    if failed:
        sys.exit(1)
