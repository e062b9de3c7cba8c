"""The command line: thin. Nothing here imports torch, NumPy or pandas before a command needs them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lthbench import __version__
from lthbench.commands.check import check
from lthbench.commands.compare import compare
from lthbench.commands.data import data, fetch_missing
from lthbench.commands.doctor import doctor
from lthbench.commands.explain import explain
from lthbench.commands.gate import gate
from lthbench.commands.options import CONTEXT, check_folder, check_rule, grid_options, result_options
from lthbench.commands.report import report
from lthbench.commands.score import score
from lthbench.commands.shown import show
from lthbench.commands.store import store
from lthbench.commands.submit import submit, verify
from lthbench.errors import BadInput, LthbenchError

if TYPE_CHECKING:
    from lthbench.estimate import Estimate
    from lthbench.plan import Plan
    from lthbench.request import Request
    from lthbench.spec import Step


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="lthbench")
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
def cli(debug: bool) -> None:
    """Is a pruned network still as good as the dense one it came from, on everything that matters?

    Start with:  lthbench run
    """
    del debug


@cli.command(context_settings=CONTEXT)
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
    from lthbench.engines.common import Interrupted
    from lthbench.progress import header

    asked = _ask(options)
    check_rule(rule)
    api.check_engine(engine, address, options["stack"])
    if not no_report:
        check_folder("--report", folder)
    if download:
        fetch_missing(asked, options["data"])
    workers = api.default_workers() if options["workers"] is None else options["workers"]

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


@cli.command("plan", context_settings=CONTEXT)
@grid_options
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def show_plan(as_json: bool, **options: Any) -> None:
    """Say what would run, what is already there, and about how long it takes. Runs nothing.

    \b
    Example: lthbench plan --task c10-r20s --rounds 1-12
    """
    from lthbench import api
    from lthbench.plan import plan
    from lthbench.progress import costed

    asked = _ask(options)
    api.check_device(options["device"])
    places = api.checked_folders(options["data"])
    workers = api.default_workers() if options["workers"] is None else options["workers"]
    account = costed(
        plan(asked, places, data_needed=False),
        options["store"],
        places,
        workers,
        options["device"],
        options["stack"],
    )
    account["command"] += _places_given()
    click.echo(json.dumps(account, indent=1) if as_json else _plan_text(account))


def _places_given() -> str:
    """The options of this command that say where and not what, as they were typed."""
    context = click.get_current_context()
    names = ("data", "store", "device", "workers", "stack")
    given = [n for n in names if context.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    return "".join(f" --{n} {shlex.quote(str(context.params[n]))}" for n in given)


def _plan_text(account: dict[str, Any]) -> str:
    from tabulate import tabulate

    rows = [
        (verb, f"{n['all']:,}", f"{n['stored']:,}", f"{n['all'] - n['stored']:,}")
        for verb, n in account["steps"].items()
    ]
    lines = [
        f"task {account['task']} · budget {account['budget']} · "
        f"methods {' '.join(account['methods']) or 'dense only'}",
        f"sparsities {' '.join(f'{100 * s:.1f} %' for s in account['sparsities']) or '–'} · "
        f"seeds {' '.join(map(str, account['seeds']))}",
        "",
        tabulate(rows, headers=("step", "all", "stored", "to do"), tablefmt="simple", disable_numparse=True),
        "",
        tabulate(
            _costs(account["flops"]), headers=("method", "finding, FLOP", "training, FLOP"), tablefmt="simple"
        ),
        "",
        f"time    {account['time']} on {account['device']} with {account['workers']} workers"
        + (f", up to {account['stack']} networks trained as one" if account["stack"] > 1 else "")
        + (f", {account['begun']:,} of the trainings begun" if account["begun"] else "")
        + ("" if account["learned"] else " (a guess: nothing of this kind was run in this store yet)"),
        f"longest chain of trainings that must follow one another: {account['chain']}",
    ]
    lines += [
        f"data    {name}: {facts['state']}: {facts['detail']}" for name, facts in account["data"].items()
    ]
    lines += [
        f"empty   {name}: nothing is left of {', '.join(layers)}"
        for name, layers in account["collapsed"].items()
    ]
    lines += ["", f"Run it: {account['command']}"]
    return "\n".join(lines)


def _costs(flops: dict[str, dict[str, float]]) -> list[tuple[str, str, str]]:
    return [(name, f"{cost['finding']:.1e}", f"{cost['training']:.1e}") for name, cost in flops.items()]


def _listing(plural: str, kind: str, summary: str) -> None:
    """Add the command that lists a kind of plug-in, or describes one."""

    @cli.command(plural, context_settings=CONTEXT, help=f"{summary}\n\nNAME describes one.")
    @click.argument("name", required=False)
    @click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
    @click.option("--data", type=click.Path(path_type=Path), help="A folder that holds data sets.")
    def listing(name: str | None, as_json: bool, data: Path | None) -> None:
        from lthbench import listings, registry

        found = listings.describe(kind, name, data) if name else listings.every(kind, data)
        click.echo(
            json.dumps(found, indent=1, ensure_ascii=False) if as_json else listings.text(found, plural)
        )
        for what, why in registry.unusable().items():
            click.echo(f"not usable: {what}: {why}", err=True)


for _plural, _kind, _summary in (
    ("tasks", "task", "List the tasks: data, network, and whether the data is there."),
    ("methods", "method", "List the pruning methods."),
    ("metrics", "metric", "List the metrics and the scores they yield."),
    ("datasets", "dataset", "List the data sets, and whether they are there."),
    ("architectures", "architecture", "List the networks, with their counts of parameters."),
):
    _listing(_plural, _kind, _summary)


def _ask(options: dict[str, Any]) -> Request:
    from lthbench import api

    names = ("methods", "sparsity", "rounds", "seeds", "metrics", "budget", "ood", "concepts")
    return api.ask(options["task"], *(options[n] for n in names))


for _command in (score, check, data, doctor, report, explain, compare, gate, submit, verify, store):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 fine, 1 something failed, 2 bad input, 130 interrupted."""
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    if threading.current_thread() is threading.main_thread():
        # Schedulers, and kill, end a command by this signal: it is stopped as by the terminal's.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cli.main(arguments, prog_name="lthbench", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped. Continue with the same command.", err=True)
        sys.exit(130)
    except LthbenchError as error:
        if debug:
            raise
        for line in str(error).splitlines():
            click.echo(f"Error: {line}", err=True)
        sys.exit(2 if isinstance(error, BadInput) else 1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        if debug:
            raise
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"Error: {where}{error.strerror or error}", err=True)
        sys.exit(1)
