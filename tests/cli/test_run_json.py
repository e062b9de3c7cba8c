"""``run --json`` and ``score --json``: one document, and nothing else, on stdout."""

import dataclasses
import json
import math
from types import SimpleNamespace
from typing import Any

import pytest

from lthbench import api
from lthbench.cli import main, output
from lthbench.cli.run_json import Tally
from lthbench.report import explanation, machine_readable
from lthbench.report.summary import summarise
from lthbench.results import table as tables
from lthbench.verdict.explanation import standing
from lthbench.verdict.rules import Match


def read(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(name))


def steps(*keys):
    return [SimpleNamespace(key=key) for key in keys]


@pytest.fixture
def done(made_table, monkeypatch):
    """What the next runs give, and which step of theirs fails."""
    table, facts = made_table(("imp", "omp"), seeds=2, sparsities=(0.5, 0.9))
    failures = {}

    def execute(asked, options, announce, brought, *, controls, held):
        announce(SimpleNamespace(steps=steps("a", "b", "c")), steps("b", "c"), None, 2)
        announce(SimpleNamespace(steps=steps("a", "b", "c", "d")), steps("c", "d"), None, 2)
        return api.Outcome(table, dataclasses.replace(facts, ended=found.ended), failures)

    monkeypatch.setattr(api, "execute", execute)
    found = SimpleNamespace(table=table, facts=facts, failures=failures, ended="")
    return found


RUN = ["run", "--no-report", "--progress", "none", "--workers", "0", "--json"]


def test_a_run_tells_what_was_done_and_the_verdict_on_each_network(done, capsys):
    main(RUN)
    out, err = capsys.readouterr()
    told = read(out)
    assert err == ""
    assert (told["state"], told["report"], told["files"], told["failures"]) == ("complete", None, [], [])
    assert told["steps"] == {"all": 4, "reused": 1, "done": 3, "failed": 0}
    networks = {(n["method"], n["sparsity"]): n["passes"] for n in told["networks"]}
    assert list(networks) == [(m, s) for m in ("imp", "omp") for s in (0.5, 0.9)]
    assert set(networks.values()) <= {True, False, None}
    assert told.items() >= read(machine_readable.as_json(summarise(done.table, done.facts))).items()
    assert "values" not in told
    assert told["ended"] is None
    summary = summarise(done.table, done.facts)
    for network in told["networks"]:
        assert network["said"] == explanation.account(summary, network["method"], network["sparsity"])["said"]
        assert network["said"].endswith(".")


def test_a_run_that_added_seeds_tells_why_it_ended(done, capsys):
    done.ended = "All is decided."
    main(RUN)
    assert read(capsys.readouterr().out)["ended"] == "All is decided."


def test_steps_that_failed_count_where_they_were_to_do_and_what_is_collected_was_not_done():
    failures = {"a": "stored since", "c": "it is too hot", "elsewhere": "of no plan"}
    for collected, counts in (
        (False, {"done": 1, "failed": 1}),
        (True, {"done": 0, "failed": 1, "missing": 1}),
    ):
        tally = Tally(collected)
        made: Any = SimpleNamespace(steps=steps("a", "b", "c"))
        tally.add(made, steps("b", "c"))
        assert tally.counts(failures) == {"all": 3, "reused": 1, **counts}


def test_what_is_open_is_told_apart_from_what_falls_short_by_explain_too(done, tmp_path, capsys):
    table = done.table
    dense = table[table["method"] == "dense"].set_index(["seed", "score", "variant"])["value"]
    own = table["method"] != "dense"
    places = [tuple(place) for place in table[["seed", "score", "variant"]].to_numpy()]
    table.loc[own, "value"] = dense.loc[places].to_numpy()[own]
    table.loc[own, ["diff_se", "mean_diff_se"]] = 1e-5
    nll = table["score"] == "nll"
    for method, sparsity, seed, more in (("imp", 0.9, 0, 0.5), ("omp", 0.5, 0, 0.5), ("omp", 0.5, 1, 0.5)):
        cell = (table["method"] == method) & (table["sparsity"] == sparsity) & (table["seed"] == seed)
        table.loc[nll & cell, "value"] += more  # in one seed of two it may be chance
    lost = nll & (table["method"] == "omp") & (table["sparsity"] == 0.9)
    table.loc[lost, ["value", "status"]] = math.nan, "failed"
    main(RUN)
    told = read(capsys.readouterr().out)
    found = {(n["method"], n["sparsity"]): (n["finding"], n["passes"]) for n in told["networks"]}
    assert found == {
        ("imp", 0.5): ("pass", True),
        ("imp", 0.9): ("open", False),
        ("omp", 0.5): ("short", False),
        ("omp", 0.9): ("failed", False),
    }
    tables.write(table, done.facts, tmp_path / "report")
    for (method, sparsity), said in found.items():
        main(["explain", method, str(sparsity), "--from", str(tmp_path / "report"), "--json"])
        explained = read(capsys.readouterr().out)
        assert (explained["finding"], explained["passes"]) == said


@pytest.mark.parametrize(
    ("scores", "finding", "passes"),
    [
        (("matches", "better"), "pass", True),
        (("better", "open"), "open", False),
        (("open", "worse"), "short", False),
        (("matches", "gated"), "short", False),
        (("degenerate", "degenerate"), "short", False),
        (("undecided", "worse"), "short", False),
        (("failed", "undecided"), "failed", False),
        (("open", "undecided"), "undecided", None),
        ((), "undecided", None),
    ],
)
def test_a_network_has_one_finding_that_agrees_with_whether_it_passes(scores, finding, passes):
    said = {"better": True, "matches": True, "undecided": None}
    matches = [
        Match("imp", 0.5, str(place), "noninferior", 0, 0, 0, 0, said.get(word, False), finding=word)
        for place, word in enumerate(scores)
    ]
    assert standing(matches) == finding
    result: Any = SimpleNamespace(at=lambda level: matches)
    assert explanation.passes(result, 0.5) is passes


def test_a_run_in_which_a_step_failed_tells_so_and_ends_with_1(done, capsys):
    done.failures["c"] = "it is too hot"
    with pytest.raises(SystemExit) as end:
        main(RUN)
    out, err = capsys.readouterr()
    told = read(out)
    assert end.value.code == 1
    assert (told["state"], told["failures"]) == ("failed", ["it is too hot"])
    assert told["steps"] == {"all": 4, "reused": 1, "done": 2, "failed": 1}
    assert err == "failed: it is too hot\n"


def test_bad_input_leaves_stdout_empty(done, capsys):
    with pytest.raises(SystemExit) as end:
        main([*RUN, "--methods", "ipm"])
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert "Did you mean imp?" in err


def test_a_scoring_tells_each_score_with_its_errors_and_where_the_report_is(
    done, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(api.Outcome, "report", lambda self, folder, **more: [folder / "report.html"])
    outcome = api.Outcome(done.table, done.facts, {})
    output.show(outcome, tmp_path / "r", None, tally=Tally(), scored=True)
    told = read(capsys.readouterr().out)
    assert told["report"] == str(tmp_path / "r")
    assert told["files"] == [str(tmp_path / "r" / "report.html")]
    shown = done.table[done.table["variant"] == ""]
    assert len(told["values"]) == len(shown)
    for row, found in zip(shown.to_dict("records"), told["values"], strict=True):
        assert found == {k: None if row[k] != row[k] else row[k] for k in found}
    assert {math.isfinite(row["se"]) for row in told["values"] if row["se"] is not None} == {True}
