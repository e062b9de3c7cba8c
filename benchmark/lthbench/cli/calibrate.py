"""``lthbench calibrate``: what another training of the dense network gives, as the yardstick of a task."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lthbench import resources
from lthbench.cli.at_once import told_at_once
from lthbench.cli.data import fetch_missing
from lthbench.cli.options import (
    CONTEXT,
    Seeds,
    ask,
    force_option,
    progress_options,
    read,
    run_options,
    scored_options,
)
from lthbench.cli.targets import check_file
from lthbench.cli.terminal import echo
from lthbench.errors import BadInput
from lthbench.files import publish

if TYPE_CHECKING:
    from lthbench.verdict.calibration import Calibration

#: Seeds that no run takes by itself: a calibration must not hold the networks that are judged by it.
SEEDS = range(1000, 1040)


@click.command(context_settings=CONTEXT)
@click.argument("source", metavar="[REPORT]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--seeds",
    type=Seeds(),
    default=f"{SEEDS[0]}-{SEEDS[-1]}",
    show_default=True,
    help="Which dense networks: seeds that no run is judged with.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The file; calibrations/TASK-BUDGET.json.")
@click.option("--show", is_flag=True, help="Say what the task's calibration says, and make none.")
@click.option("--json", "as_json", is_flag=True, help="What it says as JSON.")
@scored_options
@progress_options
@force_option
def calibrate(
    source: Path | None, seeds: Any, out: Path | None, show: bool, as_json: bool, force: bool, **options: Any
) -> None:
    """Train the dense network of a task with many seeds, and keep how far its scores scatter.

    Networks are then compared with these trainings: is a pruned network as good as another training of the
    dense one? A task's own file has its calibration beside it, in calibrations/. Of a task that ships, a copy
    of its file is put here, too: give that as --task to have runs judged by it. What the store holds is not
    done again. REPORT is a folder that a run of dense networks wrote; then nothing is trained.

    \b
    Example: lthbench calibrate --task mine.toml --budget quick --seeds 1000-1039
             lthbench calibrate --task digits-r8 --show
    """
    from lthbench.results.dense_trainings import calibration, judged_alone

    if show:
        _say(_kept(options), as_json)
        return
    if source is not None:
        table, facts = read(source)
        if facts.dense_keys is None:
            raise BadInput(f"{source}: was written by an earlier version; run its command again.")
        found = calibration(table, facts)
        file = _free(out or Path("calibrations") / f"{found.task}-{found.budget}.json", force)
    else:
        with told_at_once(options):
            asked = ask({**options, "methods": [], "sparsity": None, "rounds": [], "seeds": seeds})
        asked = judged_alone(asked)
        usual = _beside(options["task"]) / "calibrations" / f"{asked.task.name}-{asked.budget}.json"
        file = _free(out or usual, force)
        if options["download"]:
            fetch_missing(asked, options["data"])
        found = _trained(asked, options)
    file.parent.mkdir(parents=True, exist_ok=True)
    publish(file, found.to_json().encode())
    _say(found, as_json)
    echo(f"\n{file}", err=as_json)
    if source is None and out is None and (copy := _copied(options["task"], found.task)) is not None:
        echo(f"Runs are judged by it with --task ./{copy}: a copy of the task that ships.", err=as_json)


def _free(file: Path, force: bool) -> Path:
    """The file of a calibration, where one can be written. Raises BadInput."""
    from lthbench.results import overwriting

    check_file("--out", file)
    overwriting.check_one(file, "calibration", force)
    return file


def _trained(asked: Any, options: dict[str, Any]) -> Calibration:
    """The calibration out of the store, when it holds all of what is asked for."""
    from lthbench.cli.output import execute, tell_failures
    from lthbench.data.loading import checked_folders
    from lthbench.planning.plan import plan
    from lthbench.planning.settle import settled
    from lthbench.results.dense_trainings import calibration, pair_errors
    from lthbench.store import open_store
    from lthbench.verdict.calibration import FEWEST

    if len(asked.seeds) < FEWEST:
        raise BadInput(
            f"a calibration needs at least {FEWEST} dense networks; --seeds asks for {len(asked.seeds)}."
        )
    how = run_options(options)
    asked = settled(asked, checked_folders(how.data))
    outcome = execute(asked, how, controls=False)
    if outcome.failures:
        tell_failures(outcome)
        sys.exit(1)
    made = plan(asked, checked_folders(how.data))
    found = calibration(outcome.table, outcome.facts, pair_errors(made, open_store(how.store)))
    task = shlex.quote(Path(options["task"]).name)
    return replace(
        found,
        command=f"lthbench calibrate --task {task} --budget {asked.budget} --seeds {_ranges(found.seeds)}",
    )


def _ranges(seeds: Sequence[int]) -> str:
    """Seeds as they are typed: 0,3,1000-1059."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ",".join(f"{r[0]}-{r[-1]}" if len(r) > 2 else ",".join(map(str, r)) for r in runs)


def _beside(task: str) -> Path:
    """The folder of a task file of one's own; here for a task that ships."""
    return Path(task).parent if task.endswith(".toml") else Path()


def _copied(typed: str, task: str) -> Path | None:
    """The file of a task that ships, copied here: one that ships is judged by the calibration it ships with.

    One that is here already stays. None for a task of one's own, which was ``typed`` as a path.
    """
    if "/" in typed or typed.endswith(".toml"):
        return None
    copy = Path(f"{task}.toml")
    if not copy.exists():
        publish(copy, (resources.tasks() / copy.name).read_bytes())
    return copy


def _kept(options: dict[str, Any]) -> Calibration:
    """The calibration that a task has."""
    from lthbench.planning import task
    from lthbench.verdict.calibration import beside, shipped

    loaded = task.load(options["task"])
    budget = options["budget"] or loaded.grid.budget
    found = beside(loaded.name, budget, options["task"]) or shipped(loaded.name, budget)
    if found is None:
        raise BadInput(
            f"task {loaded.name}, budget {budget}, is not calibrated; without --show this command does it, "
            "for the task as a file."
        )
    return found


def _say(found: Calibration, as_json: bool) -> None:
    from lthbench import registry
    from lthbench.kinds import Metric
    from lthbench.verdict.sureness import account, text

    scores = {s.name: s for m in registry.every(Metric) for s in m.scores}
    said = account(found)
    if as_json:
        echo(json.dumps(said, indent=1))
    else:
        echo(text(said, lambda n: scores[n].title if n in scores else n, lambda n: _unit(scores.get(n))))


def _unit(score: Any) -> str:
    return "" if score is None else score.unit
