"""The script that measures a GPU runs at tiny sizes on a CPU, and projects by the arithmetic it states."""

import argparse
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import time
import warnings
from functools import partial
from pathlib import Path

import pytest
import torch

from lthbench import registry
from lthbench.kinds import Architecture

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def gpu():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("gpu", ROOT / "tests" / "benchmarks" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["gpu"]


@pytest.fixture
def projection(gpu, monkeypatch):
    """The arithmetic of hours, over a grid of 36 trainings: 24 in stacks of 8, 12 of 3."""
    images = dict.fromkeys(("images_trained", "images_evaluated", "images_to_prune_by"), 3600.0)
    monkeypatch.setattr(gpu.projection, "counts", lambda budget: images)
    monkeypatch.setattr(
        gpu.projection, "formed", lambda budget, most: {8: 24, 3: 12} if most == 8 else {2: 36}
    )
    return gpu.projection


def test_hours_are_images_over_rates(gpu):
    asked = {"images_trained": 7.2e6, "images_evaluated": 3.0e6, "images_to_prune_by": 0.6e6}
    found = gpu.projection.projection(asked, train_rate=1000.0, score_rate=2000.0)
    assert (found["training"], found["scoring"], found["hours"]) == (2.0, 0.5, 2.5)
    assert "hours" not in gpu.projection.projection(asked, train_rate=1000.0, score_rate=None)


def test_the_grid_is_that_of_the_paper(gpu):
    """504 trainings of 182 epochs of 45,000 images; imp's dense parent has a place in the grid of imp."""
    asked = gpu.projection.counts("paper")
    assert asked["trainings"] == 504
    assert asked["images_trained"] == pytest.approx(504 * 182 * 45_000, rel=0.01)
    # 504 networks on 19 corruptions of 5 strengths, and on what is clean, attacked or strange beside them.
    assert asked["images_evaluated"] > 504 * 19 * 5 * 10_000


def test_the_best_stack_is_projected_and_what_was_skipped_is_not(projection):
    rows = {
        "one, launched step by step": {"networks": 1, "images_per_second": 0.5},
        "1, lanes": {"networks": 1, "images_per_second": 1.0},
        "8, lanes": {"networks": 8, "images_per_second": 4.0},
        "8, turns": {"networks": 8, "images_per_second": 3.0},
        "64, lanes": {"skipped": "full"},
    }
    found = {"training": {"float32": rows}, "evaluation": {"as scored": 2.0}}
    found = projection.projected(found, "paper", "lanes")
    assert found["float32"]["stack"] == "8, lanes"
    # Two thirds of the images at 4 a second, and a third, of stacks of three, at the rate of one.
    assert found["float32"]["training"] == pytest.approx(2 / 3 / 4 + 1 / 3)
    assert found["float32"]["scoring"] == pytest.approx(1.0)


def test_most_of_the_grid_is_done_in_full_stacks(gpu):
    sizes = gpu.projection.formed("paper", 32)
    assert sum(sizes.values()) == 504
    assert sizes[32] > 380
    assert set(sizes) - {32} == {3, 11, 14}


def test_a_row_that_fails_or_has_no_time_says_so(gpu):
    assert gpu.attempt(lambda: 1 / 0, lambda: 1.0) == {"skipped": "ZeroDivisionError: division by zero"}
    assert gpu.attempt(lambda: 1, lambda: 0.0) == {"skipped": "no time left"}
    assert gpu.attempt(lambda: 1, lambda: 1.0) == 1
    assert gpu.attempt(lambda: 1) == 1


def test_each_precision_is_projected_by_itself_from_what_is_there(projection):
    whole = {"networks": 8, "images_per_second": 4.0}
    rows = {"float32": {"8, lanes": {"skipped": "full"}}, "bfloat16": {"8, lanes": whole}}
    found = projection.projected({"training": rows}, "paper", "lanes")
    assert found["float32"] == {"skipped": "no stack was measured"}
    # Stacks of three fill none that was measured: they go at the rate of the smallest.
    assert found["bfloat16"]["training"] == pytest.approx(1 / 4)
    assert "hours" not in found["bfloat16"]


def test_operations_a_second_are_those_of_estimates(gpu):
    network = gpu.rates.RESNET20
    macs = registry.get(Architecture, network.architecture).count(network).macs
    rows = {gpu.rates.ALONE: {"networks": 1, "images_per_second": 5.0}, "8, lanes": {"skipped": "full"}}
    found = {"training": {"float32": rows, "bfloat16": {}}, "evaluation": {"as scored": 7.0}}
    done = gpu.projection.flop_per_second(found, network)
    assert done == {"training in float32": 3 * 2 * macs * 5.0, "scoring": 2 * macs * 7.0}


def test_what_is_found_is_kept_and_projected_after_each_row(gpu, projection, tmp_path):
    path = tmp_path / "found.json"
    found = gpu.Found(gpu.rates.DRY, path, dry=True)

    def kept():
        return json.loads(path.read_text(encoding="utf-8"))

    found.put(("training", "float32", gpu.rates.ALONE), {"skipped": "RuntimeError: no kernel"})
    assert kept()["paper"]["float32"] == {"skipped": "no stack was measured"}
    row = {"networks": 8, "images_per_second": 4.0, "peak_bytes": 0}
    found.put(("training", "float32", "8, turns"), dict(row))
    assert kept()["paper"]["float32"]["training"] == pytest.approx(1 / 4)
    assert "over_step_by_step" not in kept()["training"]["float32"]["8, turns"]
    found.put(("training", "bfloat16", gpu.rates.ALONE), dict(row, networks=1, images_per_second=1.0))
    found.put(("training", "bfloat16", "8, turns"), dict(row))
    found.put(("evaluation", "2 together"), 2.0)
    assert kept()["training"]["bfloat16"]["8, turns"]["over_step_by_step"] == 4.0
    assert kept()["paper"]["bfloat16"]["hours"] == pytest.approx(1 / 4 + 1)
    assert kept()["reached"]["bfloat16"]["share_of_the_matrix_product"] is None
    assert [p.name for p in tmp_path.iterdir()] == ["found.json"]


def test_a_training_ends_early_where_time_is_used_up(gpu, monkeypatch):
    asked, told = [], gpu.rates.loop.train

    def trains(*given, **how):
        asked.append([how["pauses"](epoch) for epoch in (1, 2)])
        return told(*given, **how)

    monkeypatch.setattr(gpu.rates.loop, "train", trains)
    sizes = dataclasses.replace(gpu.rates.DRY, steps=1, epochs=50)
    found = gpu.rates.trained(sizes, 1, "float32", None, left=lambda: 0.0)
    assert found["images_per_second"] > 0
    assert asked == [[False, True]]


def test_what_matters_most_is_measured_first_and_what_may_be_slow_last_in_few_steps(gpu):
    sizes = gpu.rates.Sizes(device="cpu")  # only named here, and not done
    first = [place for place, _ in gpu.first(sizes, lambda: 1.0)]
    assert first[1:3] == [("training", "float32", gpu.rates.ALONE), ("training", "float32", "32, turns")]
    assert first[4] == ("training", "bfloat16", "32, turns")
    *_, fast, slow, slowest = [(place[-1], work) for place, work in gpu.sweeps(sizes, lambda: 1.0)]
    assert [fast[0], slow[0], slowest[0]] == ["32, turns", "32, turns, not replayed", "32, batched"]
    assert fast[1].args[0] == sizes
    for _, work in (slow, slowest):
        assert work.args[0].steps * work.args[0].epochs <= 12


def test_whole_runs_are_the_first_tests_on_a_gpu_and_none_measures(gpu):
    names = gpu.gpu_tests()
    assert names[: len(gpu.FIRST)] == list(gpu.FIRST)
    assert "tests/corruptions/test_kinds.py" in names
    assert not [name for name in names if "benchmarks" in name]


def test_tests_that_run_out_of_time_leave_what_was_done(gpu, monkeypatch):
    def runs(command, stdout, timeout, **how):
        stdout.write(
            "tests/a.py::test_one[x y] PASSED [ 1%]\ntests/a.py::test_two FAILED [ 2%]\ntests/a.py::test_3 "
        )
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(gpu.subprocess, "run", runs)
    found = gpu.checks(5.0)
    assert (found["rc"], found["said"]) == (None, "not done after 5 s")
    assert found["ended"] == {"PASSED": 1, "FAILED": 1}
    assert found["failed"] == ["tests/a.py::test_two"]
    assert found["output"][-1] == "tests/a.py::test_3 "


def test_the_file_goes_where_it_is_asked_for(gpu, monkeypatch, tmp_path):
    def place(out=None, dry=False):
        return gpu.place_for(argparse.Namespace(out=out, dry=dry), "A B")

    monkeypatch.delenv("OUT", raising=False)
    assert place() == ROOT / "reports" / "performance" / "a-b.json"
    assert place(dry=True) is None
    monkeypatch.setenv("OUT", str(tmp_path))
    assert place() == tmp_path / "gpu.json"
    assert place(out=tmp_path / "mine.json") == tmp_path / "mine.json"


def fails(error):
    raise error


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_row_that_crashes_hangs_or_fails_costs_no_other(gpu):
    """On a device that failed all that follows in its process would fail, too."""
    apart = gpu.Apart(least=0.3, start="fork")  # which need not import torch again

    def done(work, left=240.0):
        return apart(work, lambda: left).result

    first = done(os.getpid)
    assert first not in (done(partial(os._exit, 3)), os.getpid())
    seen = [first, done(os.getpid)]
    assert done(partial(os._exit, 3)) == {"skipped": "its process ended with exit code 3"}
    seen.append(done(os.getpid))
    assert done(partial(time.sleep, 60), left=0.1) == {"skipped": "not done after 0 s"}
    seen.append(done(os.getpid))
    error = torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    assert done(partial(fails, error)) == {"skipped": f"AcceleratorError: {error}"}
    seen += [done(os.getpid), done(os.getpid)]
    assert len(set(seen)) == 5
    assert seen[-1] == seen[-2]  # one that goes well leaves its process to the next
    assert done(os.getpid, left=0.0) == {"skipped": "no time left"}
    apart.end()


def test_work_that_is_not_captured_is_told_with_its_row(gpu, projection):
    def refused():
        for _ in range(2):
            warnings.warn("no CUDA graph", gpu.NotCaptured, stacklevel=1)
        return 2.0

    assert gpu.watched(refused) == (2.0, ["no CUDA graph"])
    assert gpu.watched(lambda: 2.0) == (2.0, [])
    found = complete(gpu)
    assert found.whole()
    found.put(("training", "float32", "2, batched"), {"skipped": "no kernel"}, ["no CUDA graph"])
    assert found.whole()  # it is only held against the others
    found.put(("evaluation", "2 together"), *gpu.watched(refused))
    assert found.all["refused"]["evaluation: 2 together"] == ["no CUDA graph"]
    assert not found.whole()


@pytest.mark.parametrize(
    "tests",
    [
        {"skipped": "OSError: no space left"},
        {"rc": 1, "ended": {"PASSED": 3, "FAILED": 1}},
        {"rc": None, "ended": {"PASSED": 3}},
        {"rc": 0, "ended": {"SKIPPED": 3}},
    ],
)
def test_nothing_is_whole_where_the_tests_on_a_gpu_did_not_pass(gpu, projection, tests):
    found = complete(gpu)
    found.all["checks"] = tests
    assert not found.whole()
    found.all["dry"] = True
    assert found.whole()


def complete(gpu):
    """All that a run wants to have found on a GPU."""
    found = gpu.Found(gpu.rates.DRY, None, dry=False)
    found.put(["ceilings"], {"bfloat16_flop_per_second": 1e12})
    for precision in gpu.rates.PRECISIONS:
        row = {"networks": 8, "images_per_second": 4.0, "peak_bytes": 0}
        found.put(("training", precision, "8, turns"), row)
    found.put(("evaluation", "2 together"), 2.0)
    found.put(["checks"], {"rc": 0, "ended": {"PASSED": 3, "SKIPPED": 1}})
    return found


@pytest.mark.long
def test_what_is_measured_runs_on_a_pretended_gpu(gpu, pretended, monkeypatch):
    """All but what ``torch.func`` does, which the pretended device does not."""
    sizes = dataclasses.replace(gpu.rates.DRY, device="cuda", epochs=5, stacks=(1, 2, 3), few=(2, 5))
    with pretended.device(monkeypatch.setattr):
        found = gpu.Found(sizes, None, dry=True)
        for rows in (gpu.first, gpu.sweeps):
            for place, work in rows(sizes, lambda: 1.0):
                found.put(place, *gpu.watched(work))
    assert found.all["facts"]["device"] == "pretended"
    assert all(rate > 0 for rate in (*found.all["ceilings"].values(), *found.all["evaluation"].values()))
    assert all(found.all["repeated"][precision]["differ"] == 0 for precision in gpu.rates.PRECISIONS)
    rows = found.all["training"]
    assert {"3, lanes", "2, turns", "2, turns, not replayed", "2, 1 lanes"} <= set(rows["float32"])
    skipped = [name for every in rows.values() for name, row in every.items() if "skipped" in row]
    assert skipped == ["2, batched"]
    assert found.all["refused"] == {}


@pytest.mark.long
def test_the_script_runs_from_a_checkout(gpu, tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    for name in ("PYTHONPATH", "OUT"):
        environment.pop(name, None)
    out = tmp_path / "found" / "dry.json"
    done = subprocess.run(
        [str(ROOT / "ci" / "gpu"), "--dry", "--out", str(out)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["dry"]
    assert set(found["training"]) == {"float32", "bfloat16"}
    for rows in found["training"].values():
        assert all(r["images_per_second"] > 0 for r in rows.values())
    assert found["paper"]["float32"]["hours"] > 0
    network = gpu.rates.DRY.network
    operations = 6.0 * registry.get(Architecture, network.architecture).count(network).macs
    for precision, rows in found["training"].items():
        rate = operations * rows[found["paper"][precision]["stack"]]["images_per_second"]
        share = found["reached"][precision]["share_of_the_matrix_product"]
        assert share == pytest.approx(rate / found["ceilings"]["bfloat16_flop_per_second"])
        assert found["flop_per_second"][f"training in {precision}"] == pytest.approx(rate)
    assert found["ceilings"]["copy_bytes_per_second"] > 0
