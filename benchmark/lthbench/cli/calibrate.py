"""``lthbench calibrate``: what another training of the dense network gives, as the yardstick of a task."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

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
    words_of,
)
from lthbench.cli.targets import check_file
from lthbench.cli.terminal import echo, echo_json
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
    done again. REPORT is a folder that a run of dense networks wrote; then nothing is trained, and errors of
    differences over images, by which single networks are judged, are bounded by those of each network.

    \b
    Example: lthbench calibrate --task mine.toml --budget quick --seeds 1000-1039
             lthbench calibrate --task digits-r8 --show
    """
    from lthbench.results.dense_trainings import calibration, judged_alone

    if source is not None:
        _check_alone(source, show)
    if show:
        _say(_kept(options), as_json)
        return
    typed = options["task"]
    if source is not None:
        table, facts = read(source)
        if facts.dense_keys is None:
            raise BadInput(f"{source}: was written by an earlier version; run its command again.")
        found = calibration(table, facts)
        typed = facts.requests[0].task if facts.requests else found.task
        if out is None:
            _check_task(source, typed, found.task)
            _check_copy(typed, found.task)
        usual = _beside(typed) / "calibrations" / f"{found.task}-{found.budget}.json"
        file = _free(out or usual, force)
    else:
        with told_at_once(options):
            asked = ask({**options, "methods": [], "sparsity": None, "rounds": [], "seeds": seeds})
        asked = judged_alone(asked)
        if out is None:
            _check_copy(typed, asked.task.name)
        usual = _beside(typed) / "calibrations" / f"{asked.task.name}-{asked.budget}.json"
        file = _free(out or usual, force)
        if options["download"]:
            fetch_missing(asked, options["data"])
        found = _trained(asked, options)
    file.parent.mkdir(parents=True, exist_ok=True)
    publish(file, found.to_json().encode())
    _say(found, as_json)
    echo(f"\n{file}", err=as_json)
    if source is not None:
        echo(
            "Errors of differences over images are bounded by those of each network: a report has no results "
            "by image. The store has: with --task, and the same seeds, they are measured.",
            err=as_json,
        )
    if out is None and (copy := _copied(typed, found.task)) is not None:
        echo(f"Runs are judged by it with --task ./{copy}: a copy of the task that ships.", err=as_json)


#: What says which networks are trained: a report has them.
_ASKED = ("task", "seeds", "metrics", "budget", "ood", "concepts", "corruptions")


def _check_alone(source: Path, show: bool) -> None:
    """Raise BadInput for an option beside a report that says what the report says already."""
    context = click.get_current_context()
    beside = [n for n in _ASKED if context.get_parameter_source(n) is ParameterSource.COMMANDLINE]
    named = [f"--{name}" for name in beside] + ["--show"] * show
    if named:
        raise BadInput(
            f"{', '.join(named)} beside {source}: a calibration of a report is of what was run for it; give "
            "one of the two."
        )


def _check_task(source: Path, typed: str, name: str) -> None:
    """Raise BadInput where the task that a calibration lies beside is not here as the run had it."""
    from lthbench.planning import task

    try:
        here = task.load(typed).name == name
    except BadInput as error:
        raise BadInput(f"{source}: {error} Say with --out where the calibration goes.") from error
    if not here:
        raise BadInput(f"{source}: is of task {name}, and {typed} is another; say with --out where to.")


def _check_copy(typed: str, task: str) -> None:
    """Raise BadInput where the file that a task that ships would be copied to is another task's."""
    copy = _copy(typed, task)
    if copy is not None and copy.exists() and copy.read_bytes() != _shipped(task):
        raise BadInput(
            f"./{copy}: is not as the task that ships, and a calibration of that would be taken for its own. "
            f"Calibrate it (--task ./{copy}), or say with --out where to."
        )


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
    from lthbench.planning.request_record import from_here
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
    with ExitStack() as held:
        outcome = execute(asked, how, controls=False, held=held)
        if outcome.failures:
            tell_failures(outcome)
            sys.exit(1)
        made = plan(asked, checked_folders(how.data))
        found = calibration(outcome.table, outcome.facts, pair_errors(made, open_store(how.store)))
    words = ["--task", from_here(options["task"]), "--budget", asked.budget, "--seeds", _ranges(found.seeds)]
    words += words_of(options, ("metrics", "ood", "concepts", "corruptions"))
    return replace(found, command=shlex.join(["lthbench", "calibrate", *words]))


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


def _copy(typed: str, task: str) -> Path | None:
    """Where the file of a task that ships is copied to; None for one of one's own, ``typed`` as a path."""
    return None if "/" in typed or typed.endswith(".toml") else Path(f"{task}.toml")


def _shipped(task: str) -> bytes:
    return (resources.tasks() / f"{task}.toml").read_bytes()


def _copied(typed: str, task: str) -> Path | None:
    """The file of a task that ships, copied here: one that ships is judged by the calibration it ships with.

    One that is here already stays. None for a task of one's own.
    """
    copy = _copy(typed, task)
    if copy is not None and not copy.exists():
        publish(copy, _shipped(task))
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
        echo_json(said)
    else:
        echo(text(said, lambda n: scores[n].title if n in scores else n, lambda n: _unit(scores.get(n))))


def _unit(score: Any) -> str:
    return "" if score is None else score.unit
