"""``lthbench score``: a network that was pruned elsewhere, beside a dense parent."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from lthbench.cli.at_once import told_at_once
from lthbench.cli.data import fetch_missing
from lthbench.cli.options import (
    CONTEXT,
    Numbers,
    normalization,
    result_options,
    run_options,
    scored_options,
    words_of,
)
from lthbench.cli.output import execute_and_show
from lthbench.cli.terminal import echo


@click.command(context_settings=CONTEXT)
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    required=True,
    help="The network: a file, or OWNER/NAME on the Hugging Face hub. Again for each seed.",
)
@click.option(
    "--key", help="Which network of a file that holds several, as state_dict_ema; . for the whole file."
)
@click.option("--mask", "masks", multiple=True, help="A file with its mask: 1 for weights that are kept.")
@click.option(
    "--dense",
    multiple=True,
    help="Its dense parent: a file, or the seed of one that is trained here (the default: 0, 1, ...).",
)
@click.option("--name", default="given", show_default=True, help="What the method is called in the table.")
@click.option("--mean", type=Numbers(whole=False), help="By channel: what the network takes off pixels 0..1.")
@click.option("--std", type=Numbers(whole=False), help="By channel: what it divides them by.")
@scored_options
@result_options
def score(
    checkpoints: tuple[str, ...],
    key: str | None,
    masks: tuple[str, ...],
    dense: tuple[str, ...],
    name: str,
    mean: list[float] | None,
    std: list[float] | None,
    folder: Path,
    no_report: bool,
    force: bool,
    rule: str | None,
    as_json: bool,
    download: bool,
    **options: Any,
) -> None:
    """Score a network that was pruned elsewhere with a task's metrics, beside a dense parent.

    Reads safetensors and what torch.save wrote of a state dict, also inside of a larger checkpoint, as
    torch.nn.utils.prune leaves it, or with the names of torchvision, timm and others. Nothing else is
    unpickled. Of a file that holds several networks (raw weights and an average, a student and its teacher)
    --key says which. The mask is --mask, or that in the file, or else the weights that are not exactly zero.

    \b
    Example: lthbench score --task c10-r18 --checkpoint pruned.pt --dense dense.pt --data DIR
             lthbench score --task c10-r18 --checkpoint a.pt --checkpoint b.pt --dense 0 --dense 1
    """
    from lthbench.checkpoints.bringing import bring

    expected = normalization(mean, std)
    report = None if no_report else folder
    with told_at_once(options, rule, report, force):
        asked, brought = bring(
            options["task"],
            name,
            checkpoints,
            dense,
            masks,
            expected,
            key=key,
            **{key: options[key] for key in ("metrics", "budget", "ood", "concepts", "corruptions")},
            typed=_typed(click.get_current_context(), options),
        )
    how = run_options(options)
    if how.progress != "none":
        for taken in (*brought.pruned.values(), *brought.dense.values()):
            echo(taken.text(), err=True)
    if download:
        fetch_missing(asked, how.data)
    execute_and_show(asked, how, report, rule, brought, force, as_json)


def _typed(context: click.Context, options: dict[str, Any]) -> str:
    """The command line that asks for the same, without where things are kept and shown."""
    words = ["lthbench", "score", "--task", options["task"]]
    params = context.params
    for key, option in (("checkpoints", "--checkpoint"), ("masks", "--mask"), ("dense", "--dense")):
        words += [w for value in params[key] for w in (option, value)]
    words += ["--key", params["key"]] if params["key"] is not None else []
    words += ["--name", params["name"]]
    names = ("mean", "std", "metrics", "budget", "ood", "concepts", "corruptions")
    return shlex.join([*words, *words_of(params, names)])
