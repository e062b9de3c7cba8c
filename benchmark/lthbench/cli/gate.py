"""``lthbench gate``: fail where a score got worse."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import click

from lthbench.cli.options import CONTEXT, Sparsities, Words, as_a_run_wrote_it, force_option, read
from lthbench.cli.targets import check_file
from lthbench.cli.terminal import echo, echo_json
from lthbench.errors import BadInput, unknown


@click.command(context_settings=CONTEXT)
@click.option("--baseline", type=click.Path(path_type=Path), help="The file to hold the scores to.")
@click.option("--write-baseline", "target", type=click.Path(path_type=Path), help="Write one instead.")
@click.option(
    "--report",
    "source",
    type=click.Path(path_type=Path),
    default="lthbench-report",
    show_default=True,
    help="The folder of the report that is held to it.",
)
@click.option("--scores", type=Words(), help="With --write-baseline: these instead of the verdict's.")
@click.option("--methods", type=Words(), help="With --write-baseline: only these, and dense.")
@click.option("--sparsity", type=Sparsities(), help="With --write-baseline: only these.")
@click.option("--rule", help="tolerance (default) or noninferior.")
@click.option(
    "--elsewhere",
    is_flag=True,
    help="Hold to the tolerances for other devices and versions of PyTorch.",
)
@click.option("--summary", type=click.Path(path_type=Path), help="Append a Markdown summary to this file.")
@click.option("--json", "as_json", is_flag=True, help="The same as JSON.")
@force_option
def gate(
    baseline: Path | None,
    target: Path | None,
    source: Path,
    scores: list[str] | None,
    methods: list[str] | None,
    sparsity: list[float] | None,
    rule: str | None,
    elsewhere: bool,
    summary: Path | None,
    as_json: bool,
    force: bool,
) -> None:
    """Hold a report's scores to a baseline; exit with 1 where one got worse than it may.

    By tolerance, a mean over seeds may be worse by the tolerance that stands beside it in the baseline; by
    noninferior, a test over seeds must show that it is worse by less: a score holds, is worse, or has not
    enough data, which ends with 1 as well. On another kind of device or version of PyTorch the wider
    tolerance "elsewhere" holds. On GitHub the summary of the job gets the list as well.

    \b
    Example: lthbench gate --write-baseline baseline.json
             lthbench gate --baseline baseline.json
    """
    from lthbench.files import publish
    from lthbench.report.summary import calibrated
    from lthbench.results import baseline as gates
    from lthbench.results import baseline_file, baseline_text, overwriting

    if rule is not None and rule not in gates.RULES:
        raise unknown("rule", rule, gates.RULES)
    if (baseline is None) == (target is None):
        raise BadInput("give --baseline FILE to hold scores to it, or --write-baseline FILE to make one.")
    if baseline is not None and (scores or methods or sparsity):
        raise BadInput(
            "--scores, --methods and --sparsity choose what a baseline holds: --write-baseline FILE."
        )
    if target is not None:
        given = {"--json": as_json, "--rule": rule, "--elsewhere": elsewhere, "--summary": summary}
        if beside := [option for option, value in given.items() if value]:
            raise BadInput(
                f"{', '.join(beside)} beside --write-baseline: nothing is held to it there; leave it out."
            )
        check_file("--write-baseline", target)
        overwriting.check_one(target, "baseline", force)
        with as_a_run_wrote_it(source):
            table, facts = read(source)
            known = calibrated(table, facts)[0]
            asked = scores or (), methods or (), sparsity or ()
            made = gates.baseline(table, facts, *asked, trainings=known.scores if known else None)
            left_out = gates.left_out(made, table, facts, *asked)
        if not made["scores"]:
            raise BadInput(f"{source}: holds no scores that a baseline could be made of.")
        if not target.absolute().parent.is_dir():
            raise BadInput(f"--write-baseline {target}: no folder {target.absolute().parent}.")
        publish(target, (json.dumps(made, indent=1) + "\n").encode())
        echo(f"{target}: {baseline_text.written(made, left_out)}")
        return
    assert baseline is not None
    on_github = os.environ.get("GITHUB_STEP_SUMMARY")
    places = {"--summary": summary, "GITHUB_STEP_SUMMARY": Path(on_github) if on_github else None}
    for named, place in places.items():
        if place is not None:
            check_file(named, place, appended=True)
    base = baseline_file.read(baseline)
    table, facts = read(source)
    with as_a_run_wrote_it(source):
        wide = elsewhere or not gates.made_alike(facts, base)
        found = gates.hold(table, facts, base, rule or "tolerance", wide)
        titles = {s.name: s.title for s in facts.scores}
        changed = not wide and not gates.dense_alike(table, base)
        where = gates.ELSEWHERE if wide and not elsewhere else gates.CHANGED if changed else ""
        others = baseline_text.other_libraries(facts, base)
        unlike = baseline_text.unfinished(table, facts), baseline_text.unlike(table, base, titles)
        notes = *unlike, where, others
    summed = f"### lthbench gate\n\n{baseline_text.text(found, titles, 'md', notes)}\n\n"
    for named, place in places.items():
        if place is not None:
            _append(named, place, summed)
    if as_json:
        echo_json(json.loads(baseline_text.as_json(found, wide)))
    else:
        echo(baseline_text.text(found, titles, notes=notes))
    if not all(h.good for h in found):
        sys.exit(1)


def _append(option: str, place: Path, text: str) -> None:
    """Add to a file. Raises BadInput where that fails: exit code 1 is for scores that got worse."""
    from lthbench.files import make_folder

    try:
        make_folder(place.parent)
        with place.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise BadInput(f"{option} {place}: cannot be written: {error.strerror}.") from error
