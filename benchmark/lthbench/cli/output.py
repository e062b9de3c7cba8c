"""What a run and a scoring print when they are done."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench.cli.run_json import Tally, record
from lthbench.cli.terminal import columns, echo, echo_json, pasted, wrapped
from lthbench.formatting import duration, span

if TYPE_CHECKING:
    from lthbench.api import Outcome, RunOptions
    from lthbench.checkpoints.importing import Brought
    from lthbench.planning.estimate import Estimate
    from lthbench.planning.plan import Plan
    from lthbench.planning.request import Request
    from lthbench.report.summary import Summary
    from lthbench.spec import Step
    from lthbench.verdict.rules import Verdict


def execute_and_show(
    asked: Request,
    options: RunOptions,
    report: Path | None,
    rule: str | None,
    brought: Brought | None = None,
    force: bool = False,
    as_json: bool = False,
    again: str = "",
) -> None:
    """Do what is asked for, say before what it takes, and then ``show`` it; exit with 130 when stopped.

    ``again`` is the command that makes what is missing, where what is stored was collected.
    """
    tally = Tally(options.collect) if as_json else None
    with ExitStack() as held:
        outcome = execute(asked, options, brought, held=held, tally=tally, again=again)
        show(outcome, report, rule, force, tally, scored=brought is not None)


def execute(
    asked: Request,
    options: RunOptions,
    brought: Brought | None = None,
    *,
    controls: bool = True,
    held: ExitStack | None = None,
    tally: Tally | None = None,
    again: str = "",
) -> Outcome:
    """Do what is asked for, and say before what it takes; exit with 130 when stopped: see ``api.execute``.

    Its steps are counted in the ``tally``.
    """
    from lthbench import api
    from lthbench.cli import foresight
    from lthbench.engines.queue import Interrupted
    from lthbench.planning.summary import collected, header

    planned: list[Estimate] = []
    left: list[Step] = []
    started = time.monotonic()

    def announce(made: Plan, todo: list[Step], estimate: Estimate, workers: int) -> None:
        if tally is not None:
            tally.add(made, todo)
        if options.collect:
            left[:] = todo
        elif todo:
            planned.append(estimate)
        if options.progress != "none":
            said = collected(made, todo) if options.collect else header(made, todo, estimate, workers)
            for line in said.splitlines():  # a log keeps one line for each
                echo(wrapped(line, 7) if sys.stderr.isatty() else line, err=True)
            foreseen = None if options.collect else foresight.of_plan(made)
            if foreseen is not None:
                said = foresight.in_words(made, foreseen, options.data)
                echo(wrapped(f"decide {said}", 7), err=True)

    try:
        outcome = api.execute(asked, options, announce, brought, controls=controls, held=held)
        if planned and options.progress != "none":
            took = duration(time.monotonic() - started)
            said = span(sum(p.low for p in planned), sum(p.high for p in planned))
            echo(f"done   in {took}; planned were {said.removeprefix('about ')}", err=True)
        if left:
            _tell_missing(outcome, left, again)
        return outcome
    except Interrupted:
        echo(f"Stopped. What was finished is in {options.store}. Continue with the same command.", err=True)
        sys.exit(130)


def _tell_missing(outcome: Outcome, left: Sequence[Step], again: str) -> None:
    """Say on stderr what a table lacks that was collected, and the command that makes it."""
    from lthbench.results.so_far import of_table

    found = of_table(outcome.table)
    how = "Go on with"
    if found is not None:
        echo(wrapped(f"{found.sentence} Networks that lack scores: {found.lacking_in_words}."), err=True)
    elif all(step.key in outcome.failures for step in left):
        how = "What failed is tried again by"
    else:
        echo(
            "All scores are there; other steps, of which pictures and facts are told, are missing.", err=True
        )
    echo(f"{how}:\n{pasted(again)}", err=True)


def show(
    outcome: Any,
    folder: Path | None,
    rule: str | None,
    force: bool = False,
    tally: Tally | None = None,
    scored: bool = False,
) -> None:
    """Write the report, print the verdict on stdout, and say where the report is; exit with 1 on failures.

    The report comes first: it is there even when nobody reads stdout to its end. With a ``tally`` all is told
    as JSON, of networks that were made elsewhere (``scored``) with their scores.
    """
    from lthbench.report.summary import summarise

    summary = summarise(outcome.table, outcome.facts, rule)
    earlier = "" if folder is None else _other_request(folder, outcome.facts.command)
    if earlier:
        echo(
            f"{folder} held the report of another request, which this one replaces:\n  {earlier}\n"
            "What was computed for it is still in its store; --report DIR keeps both reports.",
            err=True,
        )
    written = [] if folder is None else outcome.report(folder, rule=rule, force=force, summary=summary)
    if folder is not None and not any(p.suffix == ".parquet" for p in written):
        echo("scores.parquet is not written: pip install 'lthbench[parquet]'", err=True)
    if tally is not None:
        echo_json(record(outcome, summary, tally, written, folder, scored))
    else:
        _tell(summary, folder)
    if outcome.failures:
        tell_failures(outcome)
        sys.exit(1)


def _tell(summary: Summary, folder: Path | None) -> None:
    """Print the verdict in words, and where the report is."""
    from lthbench.report import shell
    from lthbench.report.summary import RULE_TEXT

    width = columns()
    echo(shell.text(summary, width))
    others = [
        f"Rule {other}: {', '.join(f'{v.method} {_far(v)}' for v in results)}."
        for other, results in summary.verdicts.items()
        if other != summary.rule and results
    ]
    for line in (f"Rule {summary.rule}: {RULE_TEXT[summary.rule]}.", *others):
        echo(shell.wrapped(line, width))
    echo(f"\n{shell.answer(summary, width)}")
    if folder is not None:
        echo(f"\nPage   {folder / 'report.html'}\nTable  {folder / 'scores.csv'}")


def tell_failures(outcome: Any) -> None:
    """Say on stderr what failed, each reason once, with the metrics that failed for it."""
    from lthbench.engines.failures import told

    measured = dict(zip(outcome.table["step"], outcome.table["metric"], strict=True))
    for line in told(outcome.failures, measured):
        echo(f"failed: {line}", err=True)


def _other_request(folder: Path, command: str) -> str:
    """The command of the report that lies in a folder; "" for none, or the same one."""
    import json

    try:
        there = json.loads((folder / "run.json").read_text(encoding="utf-8"))["command"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""
    return "" if there == command else str(there)


def _far(result: Verdict) -> str:
    from lthbench.report.summary import far

    return "undecided" if result.undecided else far(result)
