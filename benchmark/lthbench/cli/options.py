"""What commands share: the types of their options, and checks before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lthbench.cli.completion import names
from lthbench.cli.option_types import Numbers as Numbers
from lthbench.cli.option_types import Place as Place
from lthbench.cli.option_types import Seeds as Seeds
from lthbench.cli.option_types import Sparsities as Sparsities
from lthbench.cli.option_types import Sparsity as Sparsity
from lthbench.cli.option_types import Words as Words
from lthbench.cli.terminal import echo
from lthbench.errors import BadInput
from lthbench.planning.looks import MOST
from lthbench.results.reading import as_a_run_wrote_it as as_a_run_wrote_it
from lthbench.results.reading import read as read

if TYPE_CHECKING:
    from lthbench.api import RunOptions
    from lthbench.planning.request import Request
    from lthbench.report.summary import Summary

#: Where a command keeps the files of plug-ins that were named.
_PLUGINS = "lthbench.plugins"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def _take(context: click.Context, option: click.Parameter, paths: tuple[str, ...]) -> None:
    from lthbench import registry

    for path in paths:
        registry.take(path)
    context.meta[_PLUGINS] = paths


def words_of(options: dict[str, Any], names: Sequence[str]) -> list[str]:
    """Some options as they are typed, as far as they were, and the files of plug-ins: for a command kept."""
    from lthbench.planning.request_record import from_here

    words = []
    for name in names:
        if options[name] is not None:
            value = options[name]
            words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, list) else str(value)]
    paths = click.get_current_context().meta.get(_PLUGINS, ())
    return words + [word for path in paths for word in ("--plugin", from_here(path))]


#: What shells complete of them.
_COMPLETED = {
    "task": "task",
    "methods": "method",
    "metrics": "metric",
    "budget": "budget",
    "ood": "dataset",
    "concepts": "bank",
    "corruptions": "corruptions",
}


def _options() -> dict[str, Callable[..., Any]]:
    """The options that several commands have, by name."""
    described: dict[str, dict[str, Any]] = {
        "task": {"default": "digits-r8", "help": "A task's name, or a path to a task file."},
        "methods": {"type": Words(), "help": "Pruning methods, by name or by path to a file of your own."},
        "sparsity": {"type": Sparsities(), "help": "Shares of weights removed, such as 0.5,0.9, or 50%,90%."},
        "rounds": {
            "type": Numbers(whole=True),
            "help": "The same as rounds of the grid, such as 2,7 or 1-12.",
        },
        "seeds": {"type": Seeds(), "help": "How many seeds, or which: 3, or 0,1,7."},
        "until-decided": {
            "type": int,
            "is_flag": False,
            "flag_value": MOST,
            "metavar": "[MAX_SEEDS]",
            "help": "Add seeds to networks that are neither shown to match on every score nor to fall short "
            f"on one, up to so many ({MOST} where no number is given).",
        },
        "metrics": {
            "type": Words(),
            "help": "Metrics; by default the usual ones that the data allow; -A,-B leaves some out.",
        },
        "budget": {
            "help": "quick, short, standard or paper, as far as the task has them; quick-bf16 is in bfloat16."
        },
        "plugin": {
            "multiple": True,
            "expose_value": False,
            "is_eager": True,
            "callback": _take,
            "help": "A file of your own: the plug-ins in it can be named by what they are called.",
        },
        "ood": {
            "type": Words(none=True),
            "help": "Data sets out of distribution, instead of the task's; '' for none.",
        },
        "concepts": {"metavar": "NAME", "help": "Bank of concepts, instead of the task's."},
        "corruptions": {
            "metavar": "SOURCE",
            "help": "Where corrupted images come from: generated here, the official sets, or "
            "official-if-found.",
        },
        "pretrained": {
            "metavar": "FILE|HUB_ID",
            "help": "Weights that networks begin with. If they tell the task's classes, they are the dense "
            "parent; else a new last layer is drawn, and training begins with them.",
        },
        "mean": {
            "type": Numbers(whole=False),
            "help": "With --pretrained, by channel: what its network takes off pixels 0..1.",
        },
        "std": {"type": Numbers(whole=False), "help": "With --pretrained: what it divides them by."},
        "data": {"type": click.Path(path_type=Path), "help": "A folder that holds data sets."},
        "store": {
            "type": Place(),
            "default": "lthbench-store",
            "help": "Where everything computed is kept: a folder, or a URL such as s3://BUCKET/PREFIX.",
        },
        "device": {"default": "auto", "help": "auto, cpu, cuda or cuda:N."},
        "workers": {
            "type": click.IntRange(0, 256),
            "help": "Worker processes; one for each core by default, 0 to work in this one. On a GPU one "
            "does all, however many are asked for.",
        },
        "stack": {
            "type": click.IntRange(0, 1024),
            "default": 0,
            "help": "Networks trained as one, and scored together: 0 as many as pay (GPU 32, CPU 1), 1 none, "
            "N at most N.",
        },
    }
    for name, kind in _COMPLETED.items():
        described[name]["shell_complete"] = names(kind)
    shown = {name: {"show_default": True, **o} if "default" in o else o for name, o in described.items()}
    own = {"plugin": ("files_of_plugins",)}  # an argument may be called as the option is
    return {name: click.option(f"--{name}", *own.get(name, ()), **o) for name, o in shown.items()}


def plugin_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that names files of one's own: for commands that read what asks for them."""
    return _with(command, [_options()["plugin"]])


def grid_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say what is asked for; the same for ``run`` and ``plan``."""
    return _with(command, list(_options().values()))


#: From so many on, a count of seeds may be meant as the one seed of that number, and what it means is said.
MANY_SEEDS = 100
#: The options that say which networks.
_OF_A_GRID = ("methods", "sparsity", "rounds", "seeds", "until-decided", "pretrained", "mean", "std")


def scored_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of them that do not say which networks: for ``score``."""
    kept = [o for name, o in _options().items() if name not in _OF_A_GRID]
    return _with(command, kept)


def result_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is done with results, and what is told on the way; the same for ``run`` and ``score``."""
    options: list[Callable[..., Any]] = [
        click.option(
            "--report",
            "folder",
            type=click.Path(path_type=Path),
            default="lthbench-report",
            show_default=True,
            help="Where the page and the table go.",
        ),
        click.option("--no-report", is_flag=True, help="Write no page and no table."),
        force_option,
        click.option(
            "--rule",
            shell_complete=names("rule"),
            help="The verdict's rule: noninferior (default), std or paper.",
        ),
        click.option("--json", "as_json", is_flag=True, help="The same as JSON, with what was done."),
    ]
    return _with(progress_options(command), options)


def progress_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What is fetched before, what runs steps, and what is told on the way."""
    options: list[Callable[..., Any]] = [
        click.option("--download", is_flag=True, help="Fetch data sets that are missing."),
        click.option(
            "--progress",
            type=click.Choice(["auto", "plain", "none"]),
            default="auto",
            show_default=True,
            help="On stderr.",
        ),
        click.option(
            "--engine",
            default="local",
            show_default=True,
            help="What runs steps: local, or ray for a cluster.",
        ),
        click.option(
            "--address", help="A Ray cluster's, as HOST:PORT or auto; one of this machine by default."
        ),
    ]
    return _with(command, options)


def force_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option of every command that writes where something may be."""
    return click.option("--force", is_flag=True, help="Replace files that lthbench did not write, too.")(
        command
    )


def _with(command: Callable[..., Any], options: list[Callable[..., Any]]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def check_rule(rule: str | None) -> None:
    """Raise BadInput for a rule that there is not."""
    from lthbench.errors import unknown
    from lthbench.verdict.rules import RULES

    if rule is not None and rule not in RULES:
        raise unknown("rule", rule, RULES)


def summary_of(source: Path, rule: str | None, *methods: str) -> Summary:
    """The summary of the table in a folder that a run wrote, or of some methods of it. Raises BadInput."""
    from lthbench.report.explanation import only
    from lthbench.report.summary import summarise

    check_rule(rule)
    scores, facts = read(source)
    with as_a_run_wrote_it(source):
        return summarise(only(scores, *methods) if methods else scores, facts, rule)


def normalization(mean: list[float] | None, std: list[float] | None) -> tuple[Any, Any] | None:
    """Mean and standard deviation of pixels, as they are given; None for neither. Raises BadInput for one."""
    if (mean is None) != (std is None):
        raise BadInput("give both --mean and --std, or neither.")
    return None if mean is None else (mean, std)


def run_options(options: dict[str, Any]) -> RunOptions:
    """How to run, of a command's options; checked."""
    from lthbench.api import RunOptions
    from lthbench.compute.device import default_workers

    names = ("data", "store", "device", "progress", "engine", "address", "stack")
    workers = default_workers() if options["workers"] is None else options["workers"]
    found = RunOptions(
        workers=workers, collect=options.get("collect", False), **{n: options[n] for n in names}
    )
    found.check()
    return found


def ask(options: dict[str, Any]) -> Request:
    """The checked request of the options of a grid."""
    from lthbench.planning import request

    same = ("methods", "rounds", "seeds", "metrics", "budget", "ood", "concepts", "corruptions", "pretrained")
    asked = request.ask(
        options["task"],
        sparsities=options.get("sparsity"),
        normalization=normalization(options.get("mean"), options.get("std")),
        **{name: options.get(name) for name in same},
    )
    count = options.get("seeds")
    if isinstance(count, int) and count >= MANY_SEEDS:
        echo(f"{count} seeds: 0 to {count - 1}; one seed alone is written {count},", err=True)
    most = options.get("until_decided")
    return asked if most is None else asked.until_decided(most)
