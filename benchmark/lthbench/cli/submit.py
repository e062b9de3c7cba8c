"""``lthbench submit`` and ``lthbench verify``: results with all that is needed to check them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from lthbench.cli.options import CONTEXT, Place, Words, force_option
from lthbench.cli.progress_line import ProgressLine
from lthbench.cli.targets import check_file, check_folder
from lthbench.cli.terminal import echo, echo_json


@click.command(context_settings=CONTEXT)
@click.argument("source", type=click.Path(path_type=Path), default="lthbench-report")
@click.option("--store", type=Place(), default="lthbench-store", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default="bundle.zip", show_default=True)
@force_option
def submit(source: Path, store: Path | str, out: Path, force: bool) -> None:
    """Bundle a report with the results behind it, for others to check and publish.

    \b
    Example: lthbench submit lthbench-report --out my-results.zip
    """
    from lthbench.results import overwriting
    from lthbench.store import open_store
    from lthbench.submission import bundle

    check_folder("--out", out.parent)
    check_file("--out", out)
    overwriting.check_one(out, "bundle", force)
    found = open_store(store)
    found.check()
    with ProgressLine(silent=not sys.stderr.isatty()) as tell:
        count = bundle.write(source.parent if source.is_file() else source, found, out, tell)
    echo(f"{out}: the table and {count} results, {out.stat().st_size / 1e6:.1f} MB. Send it as it is.")


@click.command(context_settings=CONTEXT)
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--rerun", type=click.IntRange(0, 1000), default=0, help="Run so many networks again, too.")
@click.option("--methods", type=Words(), help="Draw these from the networks of some methods.")
@click.option("--draw", type=click.IntRange(0), help="The seed of the draw, to have the same again.")
@click.option("--store", type=click.Path(path_type=Path), help="Keep what is run again here, to go on later.")
@click.option(
    "--workers", type=click.IntRange(0, 256), help="Worker processes; one for each core by default."
)
@click.option("--data", type=click.Path(path_type=Path), help="A folder that holds data sets.")
@click.option("--unpack", type=click.Path(path_type=Path), help="Write its table into this folder.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@force_option
def verify(
    path: Path,
    rerun: int,
    methods: list[str] | None,
    draw: int | None,
    store: Path | None,
    workers: int | None,
    data: Path | None,
    unpack: Path | None,
    as_json: bool,
    force: bool,
) -> None:
    """Check a bundle: make its table again from its results, and some of them again from nothing.

    Exits with 1 where something was changed, or does not fit. What is run again is drawn at random, and told.

    \b
    Example: lthbench verify my-results.zip --rerun 2 --methods omp,snip --unpack reports/entries/mine
    """
    import secrets
    import tempfile

    from lthbench import formatting
    from lthbench.compute import device
    from lthbench.engines.queue import Interrupted
    from lthbench.results import overwriting
    from lthbench.results.table import write
    from lthbench.submission import bundle
    from lthbench.submission import rerun as again

    if not rerun and (methods or draw is not None or store or workers is not None):
        raise click.UsageError(
            "--methods, --draw, --store and --workers are for what is run again: add --rerun N."
        )
    if unpack is not None:
        check_folder("--unpack", unpack)
        overwriting.check([unpack / name for name in overwriting.REPORT], force)
    account: dict[str, Any] = {"bundle": str(path), "holds": False, "reason": None}
    account |= {"task": None, "budget": None, "networks": None, "scores": None, "rerun": None, "files": []}
    try:
        with ProgressLine(silent=as_json or not sys.stderr.isatty()) as tell:
            scores, facts = bundle.verify(path, tell)
    except bundle.Refused as error:
        if as_json:
            echo_json(account | {"reason": str(error)})
        raise
    networks = scores.groupby(["method", "sparsity", "seed"]).ngroups
    said = f"task {facts.task_name}, budget {facts.budget_name}"
    account |= {"task": facts.task_name, "budget": facts.budget_name}
    account |= {"networks": networks, "scores": len(scores)}
    if not as_json:
        echo(f"{path}: {said}: {networks} networks, {len(scores):,} scores follow from its results.")
    if rerun:
        draw = secrets.randbelow(10**6) if draw is None else draw
        chosen = again.drawn(facts, rerun, draw, methods)
        # Who stops it must know the draw.
        echo(f"To run again (--draw {draw}): {', '.join(map(again.named, chosen))}.", err=as_json)
        how: dict[str, Any] = {"workers": device.default_workers() if workers is None else workers}
        how |= {"data": data, "progress": "auto"}
        if store:
            again.place_for(path, store)
        with tempfile.TemporaryDirectory() as scratch:
            try:
                wrong = again.rerun(scores, facts, chosen, store or Path(scratch) / "store", **how)
            except (Interrupted, KeyboardInterrupt):
                going_on = (
                    f"Go on with --draw {draw} --store {store}."
                    if store
                    else "Nothing is kept without --store."
                )
                echo(f"Stopped. {going_on}", err=True)
                sys.exit(130)
        drawn = [{"method": e.method, "sparsity": e.sparsity, "seed": e.seed} for e in chosen]
        account["rerun"] = {"draw": draw, "networks": drawn, "differs": wrong}
        if wrong:
            if as_json:
                echo_json(account | {"reason": "scores that were run again differ"})
            else:
                for line in wrong:
                    echo(f"differs: {line}")
            sys.exit(1)
        said = formatting.counted(len(chosen), "network was", "networks were")
        if not as_json:
            echo(f"{said} run again: the scores are the same within noise.")
    files = [] if unpack is None else write(scores, facts, unpack)
    if as_json:
        echo_json(account | {"holds": True, "files": list(map(str, files))})
    else:
        for written in files:
            echo(written)
