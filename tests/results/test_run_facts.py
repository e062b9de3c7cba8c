"""The facts of a run: the same after JSON, of other versions, refused by key; what binds a calibration."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Metric
from lthbench.kinds.origins import Origin
from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.report.markdown import provenance
from lthbench.results import run_facts
from lthbench.results.plugin_facts import PluginFacts
from lthbench.store import LocalStore

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
METRICS = ["accuracy", "ece", "nll"]
VERSIONS = {"device": "cpu", "threads": 1, "torch": "2", "numpy": "2", "python": "3", "lthbench": "0"}


@pytest.fixture(scope="module")
def facts(tmp_path_factory, tiny_task):
    """Those of a plan of which nothing was done yet."""
    made = plan(ask(tiny_task, ["imp", "omp:erk"], rounds=[1, 2], seeds=[0, 2**62]), ())
    return run_facts.facts(made, LocalStore(tmp_path_factory.mktemp("store")))


def content(facts):
    return json.loads(json.dumps(facts.to_json()))


def test_they_are_the_same_after_json(facts):
    assert run_facts.from_json(content(facts)) == facts
    assert json.dumps(run_facts.from_json(content(facts)).to_json()) == json.dumps(facts.to_json())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["budget"].pop("about"), "budget: missing about"),
        (lambda c: c["budget"].update(source=None), "budget: source: expected str, got None"),
        (lambda c: c["task"].update(about=[1, 2]), r"task: about: expected str, got \[1, 2\]"),
        (lambda c: c.update(environments=[{}]), r"environments\[0\]: missing device"),
        (lambda c: c.update(environments=[{**VERSIONS, "device": ["x"]}]), "device: expected str"),
        (
            lambda c: c.update(environments=[{**VERSIONS, "torch": "2\n"}]),
            "has a text with control characters",
        ),
        (lambda c: c.update(environments=[{**VERSIONS, "threads": "z"}]), "threads: expected int"),
        (lambda c: c.update(environments=[{**VERSIONS, "scipy": 1}]), "scipy: expected str, got 1"),
    ],
)
def test_what_pages_tell_is_there(facts, change, said):
    found = content(facts) | {"environments": [VERSIONS, {**VERSIONS, "threads": None}]}
    assert len(run_facts.from_json(found).environments) == 2
    change(found)
    with pytest.raises(BadInput, match=said):
        run_facts.from_json(found)


def test_a_network_is_found_by_its_place_and_not_by_its_text(facts):
    network = facts.network("omp:erk", 0.75, 2**62)
    assert (network.method, network.sparsity, network.seed) == ("omp:erk", 0.75, 2**62)
    assert network.expression.startswith("train(")
    assert facts.network("dense", 0, 0).mask is None
    assert facts.network("snip", 0.75, 0) is None
    assert content(facts)["networks"]["omp:erk 0.75 0"].keys() == {"network", "expression", "mask"}
    assert facts.empty_layers(network) == ()
    emptied = dataclasses.replace(facts, masks={network.mask: {"collapsed": ["a.weight"]}})
    assert emptied.empty_layers(network) == ("a.weight",)


def test_the_version_of_a_plugin_that_does_not_ship_ends_in_a_hash(facts):
    mine = content(facts)
    mine["data"][0]["version"] = "1+ab55dc1366ca"
    found = run_facts.from_json(mine)
    assert found.data[0].version == "1+ab55dc1366ca"
    assert json.loads(json.dumps(found.to_json())) == mine
    for version in (None, 1.5, True, ["1"]):
        mine["data"][0]["version"] = version
        with pytest.raises(BadInput, match=r"data\[0\]: version: expected int"):
            run_facts.from_json(mine)


def test_plugins_that_do_not_ship_are_told_with_the_code_that_they_were(tiny_task, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = EXAMPLES / "taylor.py"
    made = plan(ask(tiny_task, ["imp", str(file)], rounds=[1], metrics=["gini"]), ())
    found = run_facts.facts(made, LocalStore(tmp_path))
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert found.plugins == (PluginFacts("method", "taylor", str(file), digest),)
    assert f"method taylor of {file}, hash {digest[:12]}" in provenance(found)
    assert run_facts.from_json(content(found)) == found
    old = {k: v for k, v in content(found).items() if k not in ("plugins", "classes")}
    assert run_facts.from_json(old) == dataclasses.replace(found, plugins=(), classes=0)


def test_a_plugin_in_a_folder_whose_name_has_control_characters_is_read_back(
    monkeypatch, tiny_task, tmp_path
):
    origin = Origin("/my\rfolder/\x1b\udcff.py", "0" * 64)
    monkeypatch.setattr(registry, "origin", lambda kind, name: origin if name == "omp" else None)
    found = run_facts.facts(plan(ask(tiny_task, ["omp"]), ()), LocalStore(tmp_path))
    assert run_facts.from_json(content(found)) == found
    assert [p.source for p in found.plugins] == [r"/my\u000dfolder/\u001b\udcff.py"]


def test_a_data_set_in_a_folder_whose_name_is_not_utf8_or_has_control_characters_is_read_back(
    tiny_task, tmp_path
):
    folder = tmp_path / "my\tcaf\udce9"
    try:
        folder.mkdir()
    except (OSError, UnicodeError):
        pytest.skip("no folder can be called so here")
    file = shutil.copy(EXAMPLES / "two_digits.py", folder)
    made = plan(ask(tiny_task, ["omp"], metrics=["ood"], ood=[str(file)]), ())
    found = run_facts.facts(made, LocalStore(tmp_path / "store"))
    assert run_facts.from_json(content(found)) == found
    assert found.task["data"]["ood"] == [rf"{tmp_path}/my\tcaf\udce9/two_digits.py"]
    assert found.command.endswith(f"--ood '{file}'")


def test_a_file_without_requests_has_those_of_its_command(facts):
    old = content(facts)
    del old["requests"]
    assert run_facts.from_json(old) == facts
    by_hand = run_facts.from_json(old | {"command": "make it"})
    assert by_hand.requests == ()
    assert "requests" not in by_hand.to_json()


def test_what_a_later_version_adds_is_kept_at_the_top_and_passed_over_within(facts):
    later = content(facts) | {"weather": ["fair"]}
    later["scores"][0]["colour"] = "blue"
    found = run_facts.from_json(later)
    assert found.scores == facts.scores
    assert found.to_json()["weather"] == ["fair"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": ["0"]}, r"run.json: seeds\[0\]: expected int, got '0'"),
        ({"task": {"name": 3, "title": "t"}}, "run.json: task: name: expected str, got 3"),
        ({"budget": None}, "run.json: budget: expected a table"),
        ({"scores": [{"name": "a"}]}, r"scores\[0\]: missing title, unit"),
        ({"networks": []}, "networks: cannot be read"),
        ({"networks": {"imp 0.5": {"network": "k"}}}, "'imp 0.5' is no method, sparsity and seed"),
        ({"networks": {"imp 0.5 0": {"network": 3}}}, r"networks\[0\]: network: expected str"),
        ({"seconds": {"train": "1"}}, "seconds.train: expected float"),
        ({"requests": {}}, "requests: expected a list"),
        ({"data": [{"name": "digits", "version": 1}]}, r"data\[0\]: missing digest"),
    ],
)
def test_what_is_wrong_is_named_by_its_key(facts, change, said):
    with pytest.raises(BadInput, match=said):
        run_facts.from_json(content(facts) | change)


def test_what_is_missing_is_named(facts):
    with pytest.raises(BadInput, match="missing command, seeds"):
        run_facts.from_json({k: v for k, v in content(facts).items() if k not in ("command", "seeds")})
    with pytest.raises(BadInput, match="cannot be read as facts"):
        run_facts.from_json([])


def planned(seeds, **more):
    return plan(ask("digits-r8", ["omp"], [0.5], None, seeds, METRICS, **more), (), data_needed=False)


@pytest.mark.parametrize("seeds", [[0], [3, 0], [7, 9]])
def test_dense_keys_are_those_of_seed_zero_whatever_seeds_are_asked_for(seeds):
    made = planned([0])
    found = {m.metric: m.key for e in made.entries if e.method == "dense" for m in e.measures}
    expected = {"accuracy": found["accuracy"], "ece": found["ece"], "nll": found["nll"]}
    assert run_facts.dense_keys(planned(seeds)) == expected


def test_dense_keys_stay_where_a_later_version_has_the_same_values(monkeypatch):
    before, get = run_facts.dense_keys(planned([0])), registry.get
    metric = get(Metric, "nll")
    later = dataclasses.replace(metric, version=metric.version + 1, values_since=metric.version)
    version = registry.version
    monkeypatch.setattr(registry, "get", lambda kind, name: later if name == "nll" else get(kind, name))
    monkeypatch.setattr(registry, "version", lambda k, n: str(later.version) if n == "nll" else version(k, n))
    made = planned([0])
    assert {m.metric_version for e in made.entries for m in e.measures if m.metric == "nll"} == {
        str(later.version)
    }
    assert run_facts.dense_keys(made) == before


def test_dense_keys_move_with_the_version_of_a_metric(monkeypatch):
    before = run_facts.dense_keys(planned([0]))
    monkeypatch.setattr("lthbench.registry.version", lambda kind, name: "other")
    after = run_facts.dense_keys(planned([0]))
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
