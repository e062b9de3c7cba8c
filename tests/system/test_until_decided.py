"""A run that adds seeds until all is decided: one report, told by its looks, and done once."""

import dataclasses
import json
from pathlib import Path

import pandas as pd
import pytest

import lthbench
from lthbench.cli import main
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.planning import request
from lthbench.planning.plan import plan
from lthbench.report.summary import summarise
from lthbench.report.yardstick import yardstick_sentence
from lthbench.results import run_facts, table

WORDS = ("--methods", "omp", "--sparsity", "0.5", "--seeds", "2", "--metrics", "accuracy,nll")


def ended(words):
    """A command that ends well."""
    code = None
    try:
        main(words)
    except SystemExit as end:
        code = end.code
    assert not code


def call(tiny_task, folder, *words):
    places = ("--store", folder / "store", "--report", folder / "report", "--workers", 0, "--device", "cpu")
    ended([str(word) for word in ("run", "--task", tiny_task, *places, *WORDS, *words)])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run up to five seeds, each with its look."""
    folder = tmp_path_factory.mktemp("looks")
    call(str(Path(__file__).parents[1] / "tiny.toml"), folder, "--until-decided", 5)
    return folder


def facts_of(folder):
    return json.loads((folder / "report" / "run.json").read_text())


def test_the_report_tells_its_looks(done):
    facts, scores = facts_of(done), pd.read_csv(done / "report" / "scores.csv")
    taken = facts["requests"][0]["looks"]
    assert facts["requests"][0]["most_seeds"] == 5
    assert [look["seeds"] for look in taken] == [[0, 1], [2], [3], [4]][: len(taken)]
    assert taken[0]["networks"] == {"omp": [0.5]}
    assert len(taken) > 1, "two seeds with one degree of freedom decide nothing"
    assert facts["seeds"] == [seed for look in taken for seed in look["seeds"]] == sorted(set(scores["seed"]))
    assert facts["ended"].startswith(("All is decided", "The most seeds", "No more seeds"))
    assert facts["ended"] in (done / "report" / "report.md").read_text()
    assert facts["command"].endswith("--budget quick --until-decided 5")


def test_why_it_ended_is_told_of_the_table_whatever_its_facts_say(done):
    scores, facts = table.read(done / "report")
    forged = summarise(scores, dataclasses.replace(facts, ended="All is decided, and all of it matches."))
    silent = summarise(scores, dataclasses.replace(facts, ended=""))
    assert yardstick_sentence(forged) == yardstick_sentence(summarise(scores, facts))
    assert yardstick_sentence(forged) == f"{yardstick_sentence(silent)} {facts.ended}"


def test_the_plan_of_its_request_is_the_one_that_it_did(done):
    """What a bundle is checked by."""
    facts = facts_of(done)
    asked = request.from_json(facts["requests"][0], "run.json")
    kept = run_facts.from_json(facts)
    for part, value in run_facts.asked(plan(asked, loading.checked_folders(None))).items():
        assert getattr(kept, part) == value
    assert kept.looks.counts == (2, 3, 4, 5)


def test_told_again_it_does_nothing_and_says_the_same(done, tiny_task, capsys):
    before = {path.name: path.read_bytes() for path in (done / "report").iterdir()}
    call(tiny_task, done, "--until-decided", 5)
    assert "nothing to do" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in (done / "report").iterdir()} == before


def test_it_continues_a_run_of_the_first_seeds_and_takes_no_more_than_it_needs(done, tiny_task, tmp_path):
    """The same table from Python, in a store that has only the first look."""
    call(tiny_task, tmp_path, "--no-report")
    found = lthbench.run(
        tiny_task,
        ["omp"],
        [0.5],
        seeds=2,
        metrics=["accuracy", "nll"],
        store=tmp_path / "store",
        device="cpu",
        until_decided=5,
    )
    expected = pd.read_csv(done / "report" / "scores.csv", keep_default_na=False)
    assert found["step"].tolist() == expected["step"].tolist()
    assert found["value"].tolist() == expected["value"].astype(float).tolist()


def test_too_few_seeds_are_refused_before_anything_is_written(tiny_task, tmp_path):
    with pytest.raises(BadInput, match="more than the 2 seeds"):
        lthbench.run(tiny_task, ["omp"], [0.5], seeds=2, store=tmp_path / "s", until_decided=2)
    assert not (tmp_path / "s").exists()


def test_a_plan_says_when_it_looks(tiny_task, capsys):
    ended(["plan", "--task", tiny_task, *WORDS, "--until-decided"])
    assert "looks   at 2, 3, 4, 5, 6, 7, 8, 9 and 10 seeds" in capsys.readouterr().out
