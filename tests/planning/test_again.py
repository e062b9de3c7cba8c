"""A plan says why steps are done again whose results are stored: of another version, or of a changed file."""

import dataclasses

import pytest

from lthbench.cli.app import main
from lthbench.planning import again, plan, request
from lthbench.spec import Measure, Prune
from lthbench.store import LocalStore

WORDS = ("--methods", "omp", "--rounds", "1", "--seeds", "2", "--metrics", "accuracy,ece")


@pytest.fixture
def made(tiny_task):
    asked = request.ask(tiny_task, ["omp"], rounds=[1], seeds=2, metrics=["accuracy", "ece"])
    return plan.plan(asked, (), data_needed=False)


@pytest.fixture
def store(tmp_path):
    found = LocalStore(tmp_path / "store")
    found.open()
    return found


def stored(store, *steps):
    for step in steps:
        store.put(step, {}, {"seconds": 1.0, "collapsed": []})
    return {step.key for step in steps}


def of(made, metric):
    return [s for s in made.steps if isinstance(s, Measure) and s.metric == metric]


def as_of(steps, version):
    return [dataclasses.replace(s, metric_version=version) for s in steps]


def test_a_later_version_of_a_metric_is_told_by_both_numbers(made, store, tiny_task, capsys):
    eces = of(made, "ece")
    others = [s for s in made.steps if s not in eces]
    stored(store, *others, *as_of(eces[:3], "1"))
    main(["plan", "--task", tiny_task, *WORDS, "--store", str(store.root), "--device", "cpu"])
    assert "again   3 measures: ece version 1 is stored, 2 is wanted\n" in capsys.readouterr().out


def test_a_later_version_of_a_criterion_is_told(made, store):
    prunes = [s for s in made.steps if isinstance(s, Prune)]
    later = [dataclasses.replace(s, criterion_version="3") for s in prunes]
    keys = stored(store, *(s.given for s in prunes), *prunes)
    name, was = prunes[0].criterion, prunes[0].criterion_version
    said = f"2 masks: {name} version {was} is stored, 3 is wanted"
    assert again.reasons(later, keys, store) == [said]


def test_a_plug_in_whose_file_has_changed_is_told_by_its_name(made, store):
    own = [dataclasses.replace(s, metric="top2") for s in of(made, "ece")]
    keys = stored(store, *(s.subject for s in own))
    stored(store, *as_of(own[:2], "1+0123456789ab"))
    wanted = as_of(own, "1+ba9876543210")
    assert again.reasons(wanted, keys, store) == ["2 measures: top2 has changed"]
    later = as_of(own, "2+ba9876543210")
    assert again.reasons(later, keys, store) == ["2 measures: top2 version 1 is stored, 2 is wanted"]


def test_what_was_never_stored_or_differs_in_more_has_no_reason(made, store):
    eces = of(made, "ece")
    keys = stored(store, *(s.subject for s in eces))
    assert again.reasons(made.steps, keys, store) == []
    stored(store, *as_of((dataclasses.replace(s, maps=s.inputs) for s in eces), "1"))
    assert again.reasons(made.steps, keys, store) == []
    stored(store, *as_of(eces, "1"))
    assert again.reasons(made.steps, set(), store) == [], "networks that are made anew are measured anew"


def test_few_artefacts_are_opened(made, store, monkeypatch):
    own = as_of([dataclasses.replace(s, metric="top2") for s in of(made, "ece")], "1+ba9876543210")
    keys = stored(store, *(s.subject for s in own))
    stored(store, *(dataclasses.replace(own[0], metric_version=f"1+{n:012}") for n in range(9)))
    opened = []
    monkeypatch.setattr(again, "OPENED", 4)
    monkeypatch.setattr(again, "history_of", lambda folder: opened.append(folder) or {})
    assert again.reasons(own, keys, store) == []
    assert [f.name for f in opened] == [
        dataclasses.replace(own[0], metric_version=f"1+{n:012}").key for n in (8, 7, 6, 5)
    ]
