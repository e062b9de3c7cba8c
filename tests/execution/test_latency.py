"""Timed networks: without the channels that masks remove, in turns, and beside the scores of a report."""

import dataclasses
import json

import pytest
import torch

from lthbench import registry
from lthbench.checkpoints import files, importing, taking
from lthbench.cli import main
from lthbench.execution import latency
from lthbench.execution.runner import Runner
from lthbench.execution.stored import stored
from lthbench.execution.workspace import Workspace
from lthbench.functional.model_size import cost
from lthbench.kinds import Architecture
from lthbench.masks.structured import cuts, mask_without
from lthbench.planning import plan
from lthbench.planning import task as tasks
from lthbench.results import table
from lthbench.store import LocalStore
from lthbench.submission import bundle


def test_networks_take_turns_and_their_medians_are_those_of_the_clock(monkeypatch):
    """Of two networks, one takes three ticks of a clock that only their passes move."""
    now = [0.0]

    class Slow(torch.nn.Linear):
        ticks = 1.0

        def forward(self, x):
            now[0] += self.ticks
            return super().forward(x)

    slow, slower = Slow(2, 2), Slow(2, 2)
    slower.ticks = 3.0
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    assert latency.latencies({"a": slow, "b": slower}, (4, 2)) == {"a": 1.0, "b": 3.0}


@pytest.fixture
def scored(tmp_path):
    """A store with networks that were made elsewhere: dense, without filters, and quantised."""
    network = plan.network(tasks.load("digits-r8"))
    model = registry.get(Architecture, "resnet8").build(network)
    every = cuts(model)
    widths = {cut.producer: len(model.get_parameter(f"{cut.producer}.weight")) for cut in every}
    mask = mask_without(model, every, {name: torch.arange(width) > 1 for name, width in widths.items()})
    dense = taking.take(network, files.of(model.state_dict(), "dense"), dense=True)
    pruned = taking.take(network, files.of(model.state_dict(), "model"), mask)
    ways = (("fc", "tokens", 0.0, 0, 0),)
    quantised = dataclasses.replace(dense, step=dataclasses.replace(dense.step, activations=ways))
    store = LocalStore(tmp_path / "store")
    store.open()
    importing.publish(store, (dense, pruned, quantised))
    return store, {"dense": dense.step, "pruned": pruned.step, "quantised": quantised.step}


def test_networks_made_elsewhere_are_found_and_timed(scored, monkeypatch):
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    store, steps = scored
    found = {(name, 0.0, 0): stored(store, step.key) for name, step in steps.items()}
    assert {name: step.key for (name, _, _), step in found.items()} == {n: s.key for n, s in steps.items()}
    times = latency.timed(Workspace(store, (), "cpu"), found, (1,))
    dense, pruned = times
    assert (dense.method, pruned.method) == ("dense", "pruned")  # and none of what rounds activations
    assert pruned.flops < dense.flops


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_task):
    """A report with networks of filter and omp of two seeds, and the store behind it."""
    folder = tmp_path_factory.mktemp("made")
    asked = ["--task", tiny_task, "--methods", "filter,omp", "--sparsity", "0.5", "--seeds", "2"]
    how = ["--metrics", "accuracy", "--workers", "0", "--progress", "none"]
    main(["run", *asked, *how, "--store", str(folder / "store"), "--report", str(folder / "report")])
    return folder


@pytest.mark.long
def test_the_networks_of_a_report_are_timed_as_small_as_their_masks_make_them(made, capsys, monkeypatch):
    monkeypatch.setattr(latency, "SECONDS", 0.01)
    before = (made / "report" / "scores.csv").read_bytes()
    main(["latency", str(made / "report"), "--store", str(made / "store")])
    said = capsys.readouterr().out
    assert "64 images" in said
    assert (made / "report" / "scores.csv").read_bytes() == before
    _, facts = table.read(made / "report")
    assert {(t.method, t.seed, t.images) for t in facts.latencies} == {
        (method, 0, images) for method in ("dense", "filter") for images in (1, 64)
    }
    space = Runner(LocalStore(made / "store"), ()).space
    for t in facts.latencies:
        step = stored(space.store, t.network)
        counted = cost(space.network(step).eval(), space.held(step), (1, 8, 8))
        assert t.flops == (counted.flops_sparse if t.method == "filter" else counted.flops_dense)
    assert "time of 64 images" in (made / "report" / "report.html").read_text(encoding="utf-8")
    main(["latency", str(made / "report"), "--store", str(made / "store"), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert {(t["method"], t["images"]) for t in told["times"]} == {
        (method, images) for method in ("dense", "filter") for images in (1, 64)
    }
    assert str(made / "report" / "latency.csv") in told["files"]


@pytest.mark.long
def test_what_cannot_be_timed_is_said_and_the_report_stays(made, capsys, tmp_path, tiny_task):
    before = (made / "report" / "run.json").read_bytes()
    for more, said in [
        (("--seeds", "7,"), "no seed 7; it has 0, 1"),
        (("--store", str(tmp_path)), "does not hold this network"),
        (("--device", "cuda:99"), "cuda"),
    ]:
        with pytest.raises(SystemExit, match="2"):
            main(["latency", str(made / "report"), "--store", str(made / "store"), *more])
        assert said in " ".join(capsys.readouterr().err.split())
    assert (made / "report" / "run.json").read_bytes() == before


@pytest.mark.long
def test_a_bundle_carries_the_times(tmp_path, capsys):
    where = ["--store", str(tmp_path / "store")]
    asked = ["--methods", "filter,omp,small", "--sparsity", "0.5", "--seeds", "0,", "--metrics", "accuracy"]
    how = ["--workers", "0", "--progress", "none", "--report", str(tmp_path / "report")]
    main(["run", *asked, *how, *where])
    main(["latency", str(tmp_path / "report"), *where])
    bundle.write(tmp_path / "report", LocalStore(tmp_path / "store"), tmp_path / "bundle.zip")
    _, facts = bundle.verify(tmp_path / "bundle.zip")
    assert {t.method for t in facts.latencies} == {"dense", "filter", "small"}  # which has fewer channels
    alone = ["--methods", "omp", "--report", str(tmp_path / "omp")]
    with pytest.raises(SystemExit, match="2"):
        main(["latency", str(tmp_path / "bundle.zip"), *where])
    assert "is no folder" in capsys.readouterr().err
    main(["run", *asked, *how[:4], *where, *alone])
    with pytest.raises(SystemExit, match="2"):
        main(["latency", str(tmp_path / "omp"), *where])
    assert "no mask removes a channel whole" in capsys.readouterr().err
