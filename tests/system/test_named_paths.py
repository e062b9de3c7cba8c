"""Files of code that tables, plans and stores of others name: only those are run that the user names, too."""

import json
from types import SimpleNamespace
from typing import Any

import pytest

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.execution.stored import stored
from lthbench.kinds import Architecture, Dataset, Method, Metric
from lthbench.planning import contents, request
from lthbench.report import families, method_pages
from lthbench.report.claims import between
from lthbench.report.figures import units_of
from lthbench.results import score_order
from lthbench.spec import Data, Init, Inputs, Measure, Network, Train
from lthbench.store import LocalStore

#: The ways to name a file by its path.
FORMS = (
    "theirs.py",
    "./theirs.py",
    "theirs.py:x",
    "x:theirs.py",
    "{folder}/theirs.py",
    "{folder}/x:theirs.py",
)


@pytest.fixture(params=FORMS)
def path(request, tmp_path, monkeypatch):
    """The path of a file that must not be run: whether it was is looked at after the test."""
    monkeypatch.chdir(tmp_path)
    for name in ("theirs.py", "x:theirs.py"):
        (tmp_path / name).write_text("open('ran', 'w').close()\n", encoding="utf-8")
    yield request.param.format(folder=tmp_path)
    assert not (tmp_path / "ran").exists()


def told_of(architecture: str, dataset: str) -> Any:
    """What a report is told of a task."""
    task = {"architecture": architecture, "data": {"dataset": dataset}}
    return SimpleNamespace(facts=SimpleNamespace(task=task))


def test_a_path_is_no_name_that_is_known(path):
    assert registry.is_path(path)
    assert registry.known(Architecture, path) is registry.known(Dataset, path) is None
    assert registry.known(Method, path) is registry.known(Metric, path) is None


def test_what_a_table_names_is_not_run_by_its_report(path):
    assert families.family(path) == ""
    assert method_pages._method(path, ())["title"] == path
    summary, digits = told_of(path, path), told_of(path, "digits")
    assert not between._larger(digits, digits)
    assert not between._fewer(digits, summary)
    assert units_of.class_names(summary)(1) == "class 1"
    assert score_order.lacking(summary.facts.task, ()) == ()


def test_what_a_store_names_is_not_run_when_its_networks_are_read(path, recipe, tmp_path):
    store = LocalStore(tmp_path / "store")
    store.open()
    network = Network(path, 1, 10, 1, 8, (0.5,), (0.5,))
    data = Data("digits", 1, "")
    trained = Train(Init(network, 0), recipe, data, 0)
    measured = Measure(path, "1", trained, (("test", Inputs(Data(path, 1, ""), "test", 0, "clean", 1)),))
    for step in (trained, measured):
        store.put(step, {"weights.safetensors": b"", "scores.json": b"{}"}, {"seconds": 1.0})
        contents.misfit_by_key(store.place(step.key), step.key)
    with pytest.raises(BadInput, match=r"which is not known here.*--plugin FILE"):
        stored(store, trained.key)


def test_what_a_plan_names_is_not_run(path, tiny_task):
    plan = request.ask(tiny_task, ["omp"], metrics=["accuracy"]).to_json()
    for named in ({"metrics": [path]}, {"methods": [path]}, {"ood": [path]}, {"concepts": path}):
        with pytest.raises(BadInput, match="no code is run that only a file names"):
            request.from_json(json.loads(json.dumps({**plan, **named})), "plan.json")


def test_what_the_user_names_is_known_by_its_name(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "import dataclasses\nfrom lthbench.methods.omp import METHOD as omp\n"
        "METHOD = dataclasses.replace(omp, name='mine', title='A method of my own', aliases=())\n"
    )
    assert registry.known(Method, "mine") is None
    assert method_pages._method("mine", ())["title"] == "mine"
    assert registry.get(Method, str(own)) is registry.known(Method, "mine")
    assert method_pages._method("mine", ())["title"] == "A method of my own"
