"""``lthbench submit`` and ``lthbench verify``: results with all that is needed to check them."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from lthbench.commands.options import CONTEXT, Place, check_folder


@click.command(context_settings=CONTEXT)
@click.argument("source", type=click.Path(path_type=Path), default="lthbench-report")
@click.option("--store", type=Place(), default="lthbench-store", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="bundle.zip", show_default=True)
def submit(source: Path, store: Path | str, out: Path) -> None:
    """Bundle a report with the results behind it, for others to check and publish.

    \b
    Example: lthbench submit lthbench-report --out my-results.zip
    """
    from lthbench import bundle
    from lthbench.remote import at

    check_folder("--out", out.parent)
    found = at(store)
    found.check()
    count = bundle.write(source.parent if source.is_file() else source, found, out)
    click.echo(f"{out}: the table and {count} results, {out.stat().st_size / 1e6:.1f} MB. Send it as it is.")


@click.command(context_settings=CONTEXT)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--rerun", type=click.IntRange(0, 1000), default=0, help="Run so many networks again, too.")
@click.option("--data", type=click.Path(path_type=Path), help="A folder that holds data sets.")
@click.option("--unpack", type=click.Path(path_type=Path), help="Write its table into this folder.")
def verify(path: Path, rerun: int, data: Path | None, unpack: Path | None) -> None:
    """Check a bundle: make its table again from its results, and some of them again from nothing.

    Exits with 1 where something was changed, or does not fit.

    \b
    Example: lthbench verify my-results.zip --rerun 2 --unpack reports/entries/mine
    """
    import tempfile

    from lthbench import bundle
    from lthbench.table import write

    if unpack is not None:
        check_folder("--unpack", unpack)
    scores, facts = bundle.verify(path)
    networks = scores.groupby(["method", "sparsity", "seed"]).ngroups
    said = f"task {facts['task']['name']}, budget {facts['budget']['name']}"
    click.echo(f"{path}: {said}: {networks} networks, {len(scores):,} scores follow from its results.")
    if rerun:
        with tempfile.TemporaryDirectory() as scratch:
            wrong = bundle.rerun(scores, facts, rerun, Path(scratch) / "store", data=data)
        for line in wrong:
            click.echo(f"differs: {line}")
        if wrong:
            sys.exit(1)
        click.echo(f"{min(rerun, networks)} networks were run again: their scores are the same within noise.")
    if unpack is not None:
        for written in write(scores, facts, unpack):
            click.echo(written)
