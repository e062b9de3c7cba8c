"""``lthbench plan``: what would run, and what it costs."""

from __future__ import annotations

import dataclasses
import shlex
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from lthbench import formatting
from lthbench.cli.at_once import told_at_once
from lthbench.cli.options import CONTEXT, ask, grid_options
from lthbench.cli.terminal import echo, echo_json, pasted, wrapped

if TYPE_CHECKING:
    from lthbench.planning.request import Request


@click.command("plan", context_settings=CONTEXT)
@grid_options
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
def show_plan(as_json: bool, **options: Any) -> None:
    """Say what would run, what is already there, and about how long it takes. Runs nothing.

    Weights of a hub or of torchvision that --pretrained names are fetched if they are not here, as what would
    run follows from them. Data sets are not fetched.

    \b
    Example: lthbench plan --task c10-r20s --rounds 1-12
    """
    from lthbench.cli import foresight
    from lthbench.compute import device
    from lthbench.data import loading
    from lthbench.planning.seeds import thinned
    from lthbench.planning.settle import settled
    from lthbench.planning.summary import costed
    from lthbench.spec import Train
    from lthbench.store import open_store

    with told_at_once(options):
        asked = ask(options)
    places = loading.checked_folders(options["data"])
    workers = device.default_workers() if options["workers"] is None else options["workers"]
    store = open_store(options["store"])
    store.check()  # of a store at a URL: what it holds
    asked = settled(asked, places)
    asked = _with_start(asked)
    found = thinned(asked, places, store)
    used, workers = device.with_workers(options["device"], workers, here=False)
    account = costed(found, store, places, workers, used, options["stack"])
    foreseen = foresight.of_plan(found.plan)
    account["verdict"] = foreseen and foreseen.record()
    account["decides"] = foreseen and foresight.in_words(found.plan, foreseen, options["data"])
    if asked.looks:
        at_last = _with_start(dataclasses.replace(asked, seeds=asked.to_the_last_look().seeds, looks=()))
        last = thinned(at_last, places)
        account["most_trainings"] = round(
            last.total(lambda made: sum(isinstance(step, Train) for step in made.steps))
        )
    account["command"] += _places_given()
    account["data_folder"] = options["data"] and str(options["data"].absolute())
    if as_json:
        echo_json(account)
    else:
        echo(_plan_text(account))


def _with_start(asked: Request) -> Request:
    """The request with what is read of its pretrained weights."""
    if asked.pretrained is None:
        return asked
    from lthbench.checkpoints.pretrained import begun

    return begun(asked)[0]


def _places_given() -> str:
    """The options of this command that say where and not what, as they were typed."""
    context = click.get_current_context()
    names = ("data", "store", "device", "workers", "stack")
    named = [n for n in names if context.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    return "".join(f" --{n} {shlex.quote(str(context.params[n]))}" for n in named)


#: Bytes of memory that are not worth a line.
LITTLE = 1e9


def _memory(account: dict[str, Any]) -> str:
    """What the step that takes most memory takes, and whether there is room for it; "" for little."""
    from lthbench.compute.memory import memory

    most = account["memory"]
    workers, here = max(account["workers"], 1), memory()[0] * 2**30
    room = account["device"] != "cpu" or not 0.0 < here < workers * most
    if most < LITTLE and room:
        return ""
    what = {"train": "training", "prune": "finding masks"}[account["memory_step"]]
    said = f"about {formatting.size(most)} at most, for {what}"
    if account["device"] != "cpu":
        return f"{said}, on the device for each network"
    said += " in each worker" if workers > 1 else ""
    if room:
        return said
    fit = int(here // most)
    cure = f"use --workers {fit}" if 0 < fit < workers else "it may end for want of memory"
    return f"{said}; this machine has {formatting.size(round(here))}: {cure}"


#: A share of the time that is worth a word, and how many are named at most.
WORTH, NAMED = 0.05, 4


def _spent(account: dict[str, Any]) -> str:
    """Where the time goes: training and masks, and the metrics that take most of it; "" for no time."""
    left = {tuple(one["metrics"]): one["share"] for one in account["shares"]}
    if not left:
        return ""
    said = [f"training and masks {100 * left.pop((), 0.0):.0f} %"]
    named = [askers for askers, share in left.items() if share >= WORTH][:NAMED]
    for askers in named:
        others = [f"{len(askers) - 2} more"] if len(askers) > 2 else []
        said.append(f"{formatting.listed([*askers[:2], *others])} {100 * left.pop(askers):.0f} %")
    said.append(f"{'other ' if named else ''}scores {100 * sum(left.values()):.0f} %")
    alone = ",".join(f"-{askers[0]}" for askers in named if len(askers) == 1)
    typed = click.get_current_context().get_parameter_source("metrics") is ParameterSource.COMMANDLINE
    return ", ".join(said) + (f"; cheaper: --metrics {alone}" if alone and not typed else "")


def _plan_text(account: dict[str, Any]) -> str:
    from tabulate import tabulate

    rows = [
        (verb, f"{n['all']:,}", f"{n['stored']:,}", f"{n['all'] - n['stored']:,}")
        for verb, n in account["steps"].items()
    ]
    lines = [
        f"task {account['task']} · budget {account['budget']} · "
        f"methods {' '.join(account['methods']) or 'dense only'}",
        f"sparsities {' '.join(formatting.sparsity(s) for s in account['sparsities']) or '–'} · "
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
        + (f", {account['like']}" if account["like"] else "")
        + ("" if account["learned"] else " (a guess: nothing of this kind was run in this store yet)"),
        *([f"spent   {said}"] if (said := _spent(account)) else []),
        *([f"disk    about {formatting.size(account['bytes'])} in the store"] if account["bytes"] else []),
        *([f"memory  {said}"] if (said := _memory(account)) else []),
        f"longest chain of trainings that must follow one another: {account['chain']}",
    ]
    if account["looks"]:
        counts = formatting.listed([str(count) for count in account["looks"]])
        lines.append(
            f"looks   at {counts} seeds, each for what is still open; this is the first, and all would take "
            f"{account['most_trainings']:,} trainings at most"
        )
    lines += [
        f"data    {name}: {facts['state']}: {facts['detail']}" for name, facts in account["data"].items()
    ]
    lines += [
        f"empty   {name}: nothing is left of {', '.join(layers)}"
        for name, layers in account["collapsed"].items()
    ]
    lines += [f"again   {reason}" for reason in account["again"]]
    lines += [f"note    {note}" for note in account["notes"]]
    if account["decides"]:
        lines.append(f"decide  {account['decides']}")
    shown = [line if "\n" in line else wrapped(line, 8) for line in lines]
    return "\n".join([*shown, "", "Run it:", pasted(account["command"])])


def _costs(flops: dict[str, dict[str, float]]) -> list[tuple[str, str, str]]:
    return [(name, f"{cost['finding']:.1e}", f"{cost['training']:.1e}") for name, cost in flops.items()]
