"""``lthbench export``: a network of a report as files for use elsewhere."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lthbench import formatting
from lthbench.cli.completion import names
from lthbench.cli.options import (
    CONTEXT,
    Place,
    Sparsity,
    as_a_run_wrote_it,
    force_option,
    plugin_option,
    read,
)
from lthbench.cli.targets import check_folder
from lthbench.cli.terminal import echo, echo_json
from lthbench.errors import BadInput, StepFailed, unknown

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.results.run_facts import NetworkFacts, RunFacts


@click.command(context_settings=CONTEXT)
@click.argument("method", shell_complete=names("method"))
@click.argument("sparsity", type=Sparsity())
@click.option("--seed", type=int, help="Which of its networks; the first by default.")
@click.option(
    "--compact", "smaller", is_flag=True, help="Leave out the channels that its mask removes whole."
)
@click.option(
    "--from",
    "source",
    type=click.Path(path_type=Path),
    default="lthbench-report",
    show_default=True,
    help="The folder of a report.",
)
@click.option(
    "--store", type=Place(), default="lthbench-store", show_default=True, help="Where its networks are."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default="lthbench-export", show_default=True, help="A folder."
)
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda or cuda:N: what is timed.")
@click.option("--json", "as_json", is_flag=True, help="The account as JSON.")
@force_option
@plugin_option
def export(
    method: str,
    sparsity: float,
    seed: int | None,
    smaller: bool,
    source: Path,
    store: Path | str,
    out: Path,
    device: str,
    as_json: bool,
    force: bool,
) -> None:
    """Write the network of METHOD at SPARSITY as safetensors and as a program that PyTorch runs by itself.

    With --compact, a network whose filters were pruned becomes physically smaller, and both sizes are timed,
    on a CPU by the processor time.
    What passes take is a measurement of this machine: it stands in export.json, and in no score.

    \b
    Example: lthbench export filter 0.5 --compact --from lthbench-report --out smaller
    """
    from lthbench import files
    from lthbench.compute.device import check_device, resolve
    from lthbench.execution.exporting import NAMES, exported
    from lthbench.execution.stored import stored
    from lthbench.execution.workspace import Workspace
    from lthbench.results import overwriting
    from lthbench.store import open_store

    check_device(device)
    check_folder("--out", out)
    overwriting.check([out / name for name in NAMES], force)
    scores, facts = read(source)
    with as_a_run_wrote_it(source):
        found = _meant(facts, method, sparsity, seed)
        verdict = _verdict(scores, facts, found)
    opened = open_store(store)
    opened.check()
    step = stored(opened, found.network)
    try:
        named = {"method": found.method, "sparsity": found.sparsity, "seed": found.seed, "verdict": verdict}
        contents, account = exported(Workspace(opened, (), resolve(device)), step, smaller, named)
    except StepFailed as error:
        raise BadInput(f"{method} at {formatting.sparsity(found.sparsity)}: {error}.") from error
    files.make_folder(out)
    files.publish_all({out / name: content for name, content in contents.items()})
    if as_json:
        echo_json(account)
    else:
        echo(_text(account, out, list(contents)))


def _verdict(scores: pd.DataFrame, facts: RunFacts, network: NetworkFacts) -> str | None:
    """What the table says of the networks of this method and sparsity; None for the dense parent itself."""
    from lthbench.report import explanation
    from lthbench.report.summary import summarise

    if network.method == "dense":
        return None
    summary = summarise(explanation.only(scores, network.method), facts)
    return str(explanation.account(summary, network.method, network.sparsity)["said"])


def _meant(facts: RunFacts, method: str, sparsity: float, seed: int | None) -> NetworkFacts:
    """The network of the nearest sparsity, if it is one as tables round it. Raises BadInput."""
    named = list(dict.fromkeys(n.method for n in facts.networks))
    if method not in named:
        raise unknown("method", method, named, "in this table")
    own = [n for n in facts.networks if n.method == method]
    nearest = min((n.sparsity for n in own), key=lambda there: abs(there - sparsity))
    if not math.isclose(nearest, sparsity, abs_tol=5e-4):
        there = ", ".join(f"{s:.4g}" for s in sorted({n.sparsity for n in own}))
        raise BadInput(f"{method} has no network at sparsity {sparsity:g} in this table; there are {there}.")
    near = [n for n in own if n.sparsity == nearest]
    if seed is None:
        return near[0]
    if not any(n.seed == seed for n in near):
        there = ", ".join(str(n.seed) for n in near)
        raise BadInput(f"{method} has no network of seed {seed} at this sparsity; there are {there}.")
    return next(n for n in near if n.seed == seed)


def _text(account: dict[str, Any], out: Path, names: list[str]) -> str:
    from tabulate import tabulate

    from lthbench.results import latency

    batches = [key.removeprefix("seconds_") for key in account["rows"][0] if key.startswith("seconds_")]
    rows = [
        [
            row["network"],
            f"{row['parameters']:,}",
            f"{row['flops']:,}",
            f"{row['bytes']:,}",
            *(f"{1000 * row[f'seconds_{b}']:.3g} ms" for b in batches),
        ]
        for row in account["rows"]
    ]
    heads = ["", "parameters", "FLOPs", "bytes", *(f"{b} image{'s' * (b != '1')}" for b in batches)]
    said = [tabulate(rows, heads, tablefmt="plain", disable_numparse=True)]
    if "difference" in account:
        full, small = account["rows"]
        fewer = full["flops"] / small["flops"]
        faster = [small[f"speedup_{b}"] for b in batches]
        shown = [latency.speedup_text(f["median"], f["low"], f["high"]) for f in faster]
        said.append(f"Compact: 1/{fewer:.2f} of the operations; times as fast: {' and '.join(shown)}.")
        said.append(f"Logits differ by {account['difference']:.2g} at most, on 64 images of noise.")
    where = account["environment"]
    threads = f", {formatting.counted(where['threads'], 'thread', 'threads')}" if where["threads"] else ""
    said.append(
        f"Timed on {where['device']}{threads}, by {latency.CLOCKS[account['clock']][0]}: medians of passes, "
        "on this machine at this moment; in parentheses 95 % intervals over turns. "
        "Not shown: an interval that holds 1."
    )
    network = f"{account['method']} at {formatting.sparsity(account['sparsity'])}"
    if account["verdict"]:
        said.append(f"{network}: {account['verdict']}")
    said.append(f"Wrote {network}, seed {account['seed']}: {formatting.listed(names)} to {out}")
    return "\n".join(said)
