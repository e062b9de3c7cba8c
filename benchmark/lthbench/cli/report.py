"""``lthbench report``: pages, figures and tables for papers, of one run or of many."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from lthbench.cli.options import (
    CONTEXT,
    Words,
    as_a_run_wrote_it,
    check_rule,
    force_option,
    plugin_option,
    read,
)
from lthbench.cli.progress_line import ProgressLine
from lthbench.cli.targets import check_folder
from lthbench.cli.terminal import echo
from lthbench.errors import BadInput


@click.command(context_settings=CONTEXT)
@click.argument("sources", type=click.Path(path_type=Path), nargs=-1)
@click.option("--out", type=click.Path(path_type=Path), help="Where to write; by default where the table is.")
@click.option(
    "--format",
    "formats",
    type=Words(),
    help="html, md, csv (the default for one table), site (for several), latex, json, badge, svg, png, pdf, "
    "parquet, robustbench.",
)
@click.option("--rule", help="The verdict's rule: noninferior, std or paper.")
@force_option
@plugin_option
def report(
    sources: tuple[Path, ...], out: Path | None, formats: list[str] | None, rule: str | None, force: bool
) -> None:
    """Write reports of the tables of one or more runs: folders that hold scores.csv and run.json, or bundles.

    The folder of a task in a site is one, too: its scores.csv may be scores.csv.gz.

    By default the report in the folder lthbench-report. Of several tables it is a site: start with its
    index.html. The site of one table is --format site; the other formats of several tables go into a
    folder for each.

    \b
    Example: lthbench report lthbench-report --format latex,png
             lthbench report first second --out site
    """
    from lthbench.report import FORMATS, check_formats, write, write_several

    check_rule(rule)
    check_formats(formats or ())
    sources = sources or (Path("lthbench-report"),)
    folders = [s.parent if s.is_file() else s for s in sources]
    if out is None and (len(sources) > 1 or sources[0].suffix == ".zip"):
        what = "several tables" if len(sources) > 1 else "a bundle"
        raise BadInput(f"--out DIR: say where the reports of {what} go.")

    def alone(place: int) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            write_several([tables[place]], Path(scratch), rule, wanted)

    target = out or folders[0]
    check_folder("--out", target)
    wanted = tuple(formats or ("site",))
    with ProgressLine() as tell:
        tables = []
        for source in sources:
            tell(f"reading {source}")
            tables.append(read(source))
        with as_a_run_wrote_it(*folders, alone=alone):
            if len(tables) > 1:
                written = write_several(tables, target, rule, wanted, tell, force)
            else:
                written = write(*tables[0], target, rule, tuple(formats or FORMATS), tell, force)
    if len(written) > 20:
        start = target / "index.html"
        echo(f"{len(written)} files; start with {start if start in written else written[0]}")
    else:
        for path in written:
            echo(path)
