"""The command line: thin. Nothing here imports torch, NumPy or pandas before a command needs them."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
import threading
import traceback
from pathlib import Path

import click

from lthbench._version import __version__
from lthbench.cli import streams
from lthbench.cli.calibrate import calibrate
from lthbench.cli.check import check
from lthbench.cli.compare import compare
from lthbench.cli.completion import names
from lthbench.cli.data import data
from lthbench.cli.doctor import doctor
from lthbench.cli.explain import explain
from lthbench.cli.export import export
from lthbench.cli.gate import gate
from lthbench.cli.latency import latency
from lthbench.cli.options import CONTEXT, plugin_option
from lthbench.cli.plan import show_plan
from lthbench.cli.report import report
from lthbench.cli.run import run
from lthbench.cli.score import score
from lthbench.cli.store import store
from lthbench.cli.submit import submit, verify
from lthbench.cli.terminal import echo, echo_json
from lthbench.errors import BadInput, LthbenchError

#: What torch and others say where memory is short, or the address space is.
_NO_MEMORY = re.compile(
    "not enough memory|out of memory|cannot allocate memory|bad_alloc|failed to map segment|"
    "unable to allocate",
    re.IGNORECASE,
)


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="lthbench")
@click.option("--debug", is_flag=True, help="Show a traceback when something goes wrong.")
def cli(debug: bool) -> None:
    """Is a pruned network still as good as the dense one it came from, on everything that matters?

    Start with:  lthbench run
    """
    del debug


def _listing(plural: str, kind: str, summary: str) -> None:
    """Add the command that lists a kind of plug-in, or describes one."""

    @cli.command(plural, context_settings=CONTEXT, help=f"{summary}\n\nNAME describes one.")
    @click.argument("name", required=False, shell_complete=names(kind))
    @click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
    @click.option("--data", type=click.Path(path_type=Path), help="A folder that holds data sets.")
    @plugin_option
    def listing(name: str | None, as_json: bool, data: Path | None) -> None:
        from lthbench import registry
        from lthbench.cli import listing

        found = listing.describe(kind, name, data) if name else listing.every(kind, data)
        if as_json:
            echo_json(found)
        else:
            echo(listing.text(found, plural))
        for what, why in registry.unusable().items():
            echo(f"not usable: {what}: {why}", err=True)


for _plural, _kind, _summary in (
    ("tasks", "task", "List the tasks: data, network, and whether the data is there."),
    ("methods", "method", "List the pruning methods."),
    ("metrics", "metric", "List the metrics and the scores they yield."),
    ("datasets", "dataset", "List the data sets, and whether they are there."),
    ("architectures", "architecture", "List the networks, with their counts of parameters."),
):
    _listing(_plural, _kind, _summary)


for _command in (
    run,
    show_plan,
    score,
    calibrate,
    check,
    data,
    doctor,
    report,
    explain,
    export,
    latency,
    compare,
    gate,
    submit,
    verify,
    store,
):
    cli.add_command(_command)


def _left(error: SystemExit) -> str | None:
    """The file of the plug-in, or the package, that called ``sys.exit``; None where a command here did."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    frame = trace.tb_frame if trace is not None else None
    if frame is None or frame.f_globals.get("__name__", "").startswith(("lthbench.cli", "click")):
        return None
    return frame.f_code.co_filename


def main(arguments: list[str] | None = None) -> None:
    """Run the command line. Exit codes: 0 fine, 1 something failed, 2 bad input, 130 interrupted."""
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    own = threading.current_thread() is threading.main_thread()
    # Schedulers, and kill, end a command by this signal: it is stopped as by the terminal's.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler) if own else None
    try:
        streams.reopen()
        streams.legible()
        _carry_out(arguments, debug)
    except KeyboardInterrupt:  # while something else was being told
        sys.exit(130)
    finally:
        # One that comes later ends what little is left, without a word.
        if own:
            signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _carry_out(arguments: list[str] | None, debug: bool) -> None:
    try:
        cli.main(arguments, prog_name="lthbench", standalone_mode=False)
    except click.ClickException as error:
        with contextlib.suppress(OSError):
            error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        echo("Stopped. Continue with the same command.", err=True)
        sys.exit(130)
    except LthbenchError as error:
        if debug:
            raise
        for line in str(error).split("\n"):
            echo(f"Error: {line}", err=True)
        sys.exit(2 if isinstance(error, BadInput) else 1)
    except SystemExit as error:
        left = _left(error)
        if debug or left is None:
            raise
        echo(f"Error: {left} called sys.exit({error.code!r}); nothing was finished.", err=True)
        sys.exit(1)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if debug:
            raise
        echo(f"Error: {_of_the_machine(error) or unforeseen(error)}", err=True)
        sys.exit(1)


def _of_the_machine(error: Exception) -> str:
    """What the machine lacks, or a file does, in words; "" for an error of another kind."""
    if isinstance(error, MemoryError) or (_NO_MEMORY.search(str(error)) and not isinstance(error, OSError)):
        limits = "memory, or address space (ulimit -v)"
        return f"there is not enough {limits}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
    if not isinstance(error, OSError):
        return ""
    where = f"{error.filename}: " if error.filename else ""
    if isinstance(error, FileNotFoundError) and not _there():
        return "the folder that the command was given in is no longer there; change to one that is (cd)."
    if not where and error.errno == errno.ENOSPC and not streams.takes_more():
        where = "standard output: "
    return f"{where}{error.strerror or error}"


def _there() -> bool:
    """Whether there is a working folder."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def unforeseen(error: Exception) -> str:
    """What is said of an error that nobody foresaw: what it is, where it arose, and how to report it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    said = ": ".join(filter(None, (type(error).__name__, " ".join(str(error).split())[:300])))
    return (
        f"{said} ({Path(last.filename).name}, line {last.lineno}). "
        "This is a fault of lthbench: please open an issue with what lthbench --debug prints for the same "
        "command."
    )
