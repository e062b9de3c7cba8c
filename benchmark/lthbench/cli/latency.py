"""``lthbench latency``: what forward passes of the networks of a report take on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lthbench import formatting
from lthbench.cli.options import CONTEXT, Place, Seeds, as_a_run_wrote_it, force_option, plugin_option, read
from lthbench.cli.progress_line import ProgressLine
from lthbench.cli.terminal import echo, echo_json
from lthbench.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lthbench.results.latency import Latency
    from lthbench.results.run_facts import NetworkFacts, RunFacts


@click.command(context_settings=CONTEXT)
@click.argument("folder", type=click.Path(path_type=Path), default="lthbench-report")
@click.option(
    "--store", type=Place(), default="lthbench-store", show_default=True, help="Where its networks are."
)
@click.option(
    "--seeds", type=Seeds(), default="1", show_default=True, help="How many seeds, or which: 3, or 0,1."
)
@click.option("--device", default="cpu", show_default=True, help="auto, cpu, cuda or cuda:N: what is timed.")
@click.option("--json", "as_json", is_flag=True, help="The times of each network as JSON.")
@force_option
@plugin_option
def latency(
    folder: Path, store: Path | str, seeds: int | list[int], device: str, as_json: bool, force: bool
) -> None:
    """Time forward passes of the networks of a report, and put the times beside its scores.

    Pruned networks are timed without the channels that their masks remove whole, of 1 and of 64 images, in
    turns with the dense network. Those of which no channel goes whole take what dense takes, and are left
    out, as are quantised ones that round activations. A CPU is timed by its processor time, which stands
    still while other work runs, a GPU by the wall clock. Times are measurements of this machine: they stand
    in latency.csv and in the report's table of all scores, and in no verdict. The next run into the folder
    leaves them out; time its networks again.

    \b
    Example: lthbench latency lthbench-report --device cuda
    """
    from dataclasses import replace

    from lthbench import report
    from lthbench.compute.device import check_device, resolve
    from lthbench.execution.latency import timed
    from lthbench.execution.stored import stored
    from lthbench.execution.workspace import Workspace
    from lthbench.results import overwriting
    from lthbench.store import open_store

    check_device(device)
    table, facts = read(folder)
    if not folder.is_dir():
        raise BadInput(
            f"{folder}: is no folder; give that of a report. One of a bundle: lthbench report {folder} "
            "--out DIR --format csv."
        )
    overwriting.check([folder / name for name in overwriting.REPORT], force)
    used = resolve(device)
    opened = open_store(store)
    opened.check()
    found: list[Latency] = []
    with as_a_run_wrote_it(folder), ProgressLine() as tell:
        for seed, networks in _by_seed(facts, seeds).items():
            tell(f"timing {formatting.counted(len(networks), 'network', 'networks')} of seed {seed}")
            steps = {(n.method, n.sparsity, n.seed): stored(opened, n.network) for n in networks}
            found += timed(Workspace(opened, (), used), steps)
        if not found:
            raise BadInput(
                f"{folder}: there is no network to time: those that round activations and those of which no "
                "channel goes whole are left out."
            )
        if all(t.method == "dense" for t in found):
            raise BadInput(
                f"{folder}: no mask removes a channel whole, so that its networks take what dense takes. "
                "Structured methods remove channels: lthbench run --methods filter."
            )
        facts = replace(facts, latencies=tuple(found))
        written = report.write(table, facts, folder, facts.rule or None, tell=tell, force=force)
    if as_json:
        files = list(map(str, written))
        echo_json({"report": str(folder), "files": files, "times": [t._asdict() for t in found]})
    else:
        echo(text(found))
        echo(f"Wrote {formatting.listed([path.name for path in written])} to {folder}")


def _by_seed(facts: RunFacts, seeds: int | list[int]) -> dict[int, list[NetworkFacts]]:
    """The networks of the first seeds, or of these. Raises BadInput for a seed that is not there."""
    chosen = facts.seeds[:seeds] if isinstance(seeds, int) else seeds
    if odd := [seed for seed in chosen if seed not in facts.seeds]:
        raise BadInput(f"this table has no seed {odd[0]}; it has {', '.join(map(str, facts.seeds))}.")
    if not chosen:
        raise BadInput("--seeds: give at least one.")
    return {seed: [n for n in facts.networks if n.seed == seed] for seed in chosen}


def text(found: Sequence[Latency]) -> str:
    """What passes take, as a table: a row for each method and sparsity; and by which clock, below it."""
    from statistics import fmean

    from tabulate import tabulate

    from lthbench.results import latency as results

    images = list(dict.fromkeys(t.images for t in found))
    cells: dict[tuple[str, float], list[Latency]] = {}
    for t in found:
        cells.setdefault((t.method, t.sparsity), []).append(t)
    dense = cells.get(("dense", 0.0), [])
    rows, unsaid = [], False
    for (method, sparsity), own in sorted(cells.items(), key=lambda cell: cell[0] != ("dense", 0.0)):
        flops = fmean(t.flops for t in own)
        row = [method, formatting.sparsity(sparsity) if sparsity else "–", f"{flops:,.0f}"]
        row.append(f"{fmean(t.flops for t in dense) / flops:.2f}" if dense else "–")
        for count in images:
            here = [t for t in own if t.images == count]
            row.append(_milliseconds(here))
            speedup = results.speedup_of(here)
            row.append(results.speedup_text(*speedup) if speedup else "–")
            unsaid |= speedup is not None and not results.shown(*speedup[1:])
        rows.append(row)
    heads = ["method", "sparsity", "FLOPs", "fewer"]
    for count in images:
        heads += [formatting.counted(count, "image, ms", "images, ms"), "times as fast"]
    clock = results.CLOCKS[found[0].clock][0]
    said = [str(tabulate(rows, heads, tablefmt="plain", disable_numparse=True))]
    said.append(
        f"Timed by {clock}: medians, in parentheses quartiles; times as fast as dense in the same turn, in "
        "parentheses 95 % intervals. Of several seeds: means, and the widest that their ends reach."
    )
    if unsaid:
        said.append("Not shown: the interval holds 1, so that neither is shown to be faster.")
    return "\n".join(said)


def _milliseconds(own: Sequence[Latency]) -> str:
    """The mean over seeds of the medians, and the outermost quartiles."""
    from statistics import fmean

    middle = f"{1000 * fmean(t.seconds for t in own):.3g}"
    lower = [1000 * t.lower for t in own if t.lower is not None]
    upper = [1000 * t.upper for t in own if t.upper is not None]
    return f"{middle} ({min(lower):.3g} to {max(upper):.3g})" if lower and upper else middle
