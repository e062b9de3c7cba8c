"""Timed networks: without the channels that masks remove, in turns, and beside the scores of a report."""

import dataclasses
import itertools
import json

import numpy as np
import pytest
import torch
from scipy import stats

from lthbench import registry
from lthbench.checkpoints import files, importing, taking
from lthbench.cli import main
from lthbench.errors import StepFailed
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


class Pretended(torch.nn.Linear):
    """A layer whose passes take ticks of pretended clocks, and on the wall what other work takes besides."""

    def __init__(self, now, ticks, others):
        super().__init__(2, 2)
        self.now, self.ticks, self.others = now, ticks, others

    def forward(self, x):
        self.now["processor"] += self.ticks
        self.now["wall"] += self.ticks + next(self.others)
        return super().forward(x)


@pytest.fixture
def clocks(monkeypatch):
    """Pretended clocks: that of the wall, and that of the thread and of the process."""
    now = {"processor": 0.0, "wall": 0.0}
    monkeypatch.setattr("time.perf_counter", lambda: now["wall"])
    for name in ("thread_time", "process_time"):
        monkeypatch.setattr(f"time.{name}", lambda: now["processor"])
    return now


def test_a_busy_machine_leaves_ratios_as_they_are(clocks):
    """Other work meets every pass of one network, and each third of the other."""
    dense = Pretended(clocks, 3.0, itertools.repeat(30.0))
    small = Pretended(clocks, 1.0, itertools.cycle((0.0, 0.0, 12.0)))
    took = latency.passes({"dense": dense, "small": small}, (4, 2))
    assert took.quartiles("dense") == (3.0, 3.0, 3.0)
    assert took.quartiles("small") == (1.0, 1.0, 1.0)
    assert took.speedup("dense", "small") == (3.0, 3.0, 3.0)
    assert len(took.seconds["dense"]) == len(took.seconds["small"]) == latency.FEWEST


def test_ratios_are_those_of_the_same_turn(clocks):
    """Both networks become slower in turns: seconds spread, and their ratio does not."""
    turns = latency.Passes("thread", {"dense": [2.0, 4.0, 6.0] * 4, "small": [1.0, 2.0, 3.0] * 4})
    assert turns.quartiles("dense") == (2.0, 4.0, 6.0)
    assert turns.speedup("dense", "small") == (2.0, 2.0, 2.0)


def test_the_clock_is_named_by_device_and_threads(clocks, monkeypatch):
    cpu = torch.device("cpu")
    for threads, named in ((1, "thread"), (2, "process")):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert latency.clock_of(cpu) == named
        assert latency.passes({"a": Pretended(clocks, 1.0, itertools.repeat(0.0))}, (4, 2)).clock == named
    assert latency.clock_of(torch.device("cuda")) == "wall"


def test_a_clock_that_stands_still_is_refused(clocks):
    with pytest.raises(StepFailed, match="counts no time in a pass"):
        latency.passes({"a": Pretended(clocks, 0.0, itertools.repeat(1.0))}, (4, 2))


def test_where_a_clock_is_too_coarse_all_passes_are_timed_on_the_wall(clocks):
    model = Pretended(clocks, 0.0, itertools.repeat(1.0))
    assert [made.clock for made in latency.in_turns({"a": model}, [(1, 2), (4, 2)])] == ["wall", "wall"]
    counted = Pretended(clocks, 1.0, itertools.repeat(0.0))
    assert {made.clock for made in latency.in_turns({"a": counted}, [(1, 2), (4, 2)])} != {"wall"}


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(6, 1, 6), (8, 1, 8), (9, 2, 8), (10, 2, 9), (20, 6, 15), (50, 18, 33), (100, 40, 61)],
)
def test_the_interval_of_a_median_is_that_of_the_sign_test(count, low, high):
    """Which of the ordered values its ends are, as tables of the sign test have them."""
    values = [float(value) for value in range(count, 0, -1)]
    assert latency.median_interval(values) == (low, high)
    outside = 2 * stats.binom.cdf(low - 1, count, 0.5)
    assert outside <= 0.05 < 2 * stats.binom.cdf(low, count, 0.5)


def test_the_interval_misses_the_median_as_seldom_as_it_says():
    draws = np.random.default_rng(0).exponential(size=(2000, 20))
    found = np.array([latency.median_interval(draw) for draw in draws])
    missed = np.mean((found[:, 0] > np.log(2)) | (found[:, 1] < np.log(2)))
    assert missed == pytest.approx(2 * stats.binom.cdf(5, 20, 0.5), abs=0.015)  # 4.1 %


def test_few_values_have_no_interval():
    with pytest.raises(ValueError, match="5 values have no interval"):
        latency.median_interval([1.0] * 5)


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
    assert {t.clock for t in times} <= {"thread", "process"}
    assert all(t.lower <= t.seconds <= t.upper for t in times)
    assert dense.speedup is None
    assert pruned.speedup_low <= pruned.speedup <= pruned.speedup_high
    (alone,) = latency.timed(Workspace(store, (), "cpu"), {("pruned", 0.0, 0): steps["pruned"]}, (1,))
    assert alone[12:] == (None, None, None)  # there is no dense network that it would be faster than


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
    assert {t["clock"] for t in told["times"]} <= {"thread", "process"}
    assert all((t["speedup"] is None) == (t["method"] == "dense") for t in told["times"])
    assert "by the processor time of" in said
    assert "by the processor time of" in (made / "report" / "report.html").read_text(encoding="utf-8")
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
