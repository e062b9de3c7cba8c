"""A request as data: it comes back equal from JSON, gives its command, and runs no code that nobody named."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Method
from lthbench.planning import task
from lthbench.planning.request import ask, from_json
from lthbench.planning.request_record import RequestRecord, of_commands

TINY = str(Path(__file__).parents[1] / "tiny.toml")
OWN = """
from lthbench.kinds import Method

METHOD = Method("mine", "mine", "w", "here", "none", lambda cell: cell.train(cell.init))
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A method of one's own, forgotten after the test, and what forgets it."""

    def forget():
        monkeypatch.setattr(registry, "_paths", {})
        for name in [n for n in sys.modules if n.startswith("lthbench_user_")]:
            monkeypatch.delitem(sys.modules, name)

    forget()
    path = tmp_path / "my own.py"
    path.write_text(OWN)
    return path, forget


def through_json(asked):
    return json.loads(json.dumps(asked.to_json()))


@pytest.mark.parametrize("name", [TINY, *task.names()])
def test_a_request_comes_back_from_json_as_it_was(name):
    asked = ask(name)
    assert from_json(through_json(asked), "run.json") == asked


@pytest.mark.parametrize(
    "how",
    [
        {"methods": ["omp:erk"], "sparsities": [0.123456789, 1 / 3, 0.5], "seeds": [7]},
        {"methods": [], "rounds": [], "metrics": ["ece"], "budget": "quick-bf16"},
        {"methods": ["dense"], "rounds": [3]},
        {"ood": ["svhn", "gaussian-noise"], "rounds": [1, 12], "seeds": 4},
        {"ood": [], "concepts": "broden", "metrics": ["accuracy", "dissection"]},
    ],
)
def test_what_was_replaced_is_told_and_comes_back(how):
    asked = ask("c10-r20s", **how)
    record = through_json(asked)
    assert from_json(record, "run.json") == asked
    assert {"ood", "concepts"} & set(record) == {"ood", "concepts"} & set(how)
    (old,) = of_commands(asked.command(), asked.methods, "run.json")
    assert old == asked.record()


def test_a_record_can_be_read_off_the_command_of_a_version_without_one():
    asked = ask(TINY, ["imp", "omp:erk"], sparsities=[0.3], seeds=[3])
    assert (asked.record(),) == of_commands(asked.command(), (), "run.json")
    (scored,) = of_commands("lthbench.score(..., task='t')", ["mine"], "run.json")
    assert (scored.elsewhere, scored.methods) == (True, ("mine",))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": ["0"]}, r"run.json: request: seeds\[0\]: expected int, got '0'"),
        ({"sparsities": 0.5}, "request: sparsities: expected a list"),
        ({"sparsities": [2.0]}, "sparsity 2 must lie between 0 and 1"),
        ({"metric": ["ece"]}, 'request: no key "metric"'),
        ({"methods": ["imq"]}, "Did you mean imp"),
        ({"budget": None}, "request: budget: expected str"),
        ({"elsewhere": True}, "scores networks made elsewhere"),
        ({"plugins": [{"kind": "method"}]}, "missing name, file"),
    ],
)
def test_what_is_no_request_is_refused_by_the_key(change, said):
    with pytest.raises(BadInput, match=said):
        from_json(through_json(ask(TINY)) | change, "run.json")
    with pytest.raises(BadInput, match=r"run.json: request: expected a table"):
        from_json([], "run.json")


def test_a_plugin_is_named_with_its_file_and_run_only_where_it_was_named_again(own):
    path, forget = own
    asked = ask(TINY, [str(path)], rounds=[1])
    record = through_json(asked)
    assert record["methods"] == ["mine"]
    assert record["plugins"] == [{"kind": "method", "name": "mine", "file": str(path)}]
    assert shlex.split(asked.command())[5] == str(path)
    assert from_json(record, "p.json") == asked
    assert of_commands(asked.command(), ["mine"], "run.json") == (asked.record(),)
    forget()
    path.write_text("raise SystemExit('was run')")
    forged = [record, *({**record, "plugins": [], key: [str(path)]} for key in ("methods", "metrics", "ood"))]
    for given in [*forged, {**record, "plugins": [], "concepts": str(path)}]:
        with pytest.raises(BadInput, match=r"p\.json: asks for .*my own\.py.*--plugin '.*my own\.py'"):
            from_json(given, "p.json")
    path.write_text(OWN)
    registry.take(path)
    assert from_json(record, "p.json") == asked


def test_a_plugin_of_the_same_name_in_another_place_stands_for_it(own, tmp_path):
    path, forget = own
    record = through_json(ask(TINY, [str(path)], rounds=[1]))
    forget()
    registry.take(path.rename(tmp_path / "moved.py"))
    assert from_json(record, "p.json").methods == ("mine",)
    assert registry.path_of(Method, "mine") == tmp_path / "moved.py"


def test_a_file_in_the_working_folder_is_named_from_there(own, tmp_path, monkeypatch):
    """What is kept of a request is committed to repositories, and read on other machines."""
    path, _ = own
    monkeypatch.chdir(tmp_path)
    asked = ask(TINY, [str(path)], rounds=[1])
    assert through_json(asked)["plugins"] == [{"kind": "method", "name": "mine", "file": path.name}]
    assert shlex.split(asked.command())[5] == path.name
    assert from_json(through_json(asked), "p.json") == asked


def test_a_command_names_each_file_once_and_only_where_a_name_would_not_do(own):
    path, _ = own
    record = ask(TINY, [str(path)], rounds=[1]).record()
    assert "--plugin" not in record.command()
    (plugin,) = record.plugins
    network = replace(plugin, kind="architecture", name="net")
    more = replace(record, plugins=(plugin, network, replace(network, kind="dataset")))
    assert more.command().count(" --plugin ") == 1
    assert isinstance(more, RequestRecord)
