"""The script that measures a GPU runs at tiny sizes on a CPU, and projects by the arithmetic it states."""

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_hours_are_images_over_rates(gpu):
    asked = {"images_trained": 7.2e6, "images_evaluated": 3.0e6, "images_to_prune_by": 0.6e6}
    found = gpu.projection(asked, train_rate=1000.0, score_rate=2000.0)
    assert (found["training"], found["scoring"], found["hours"]) == (2.0, 0.5, 2.5)


def test_the_grid_is_that_of_the_paper(gpu):
    """504 trainings of 182 epochs of 45,000 images; imp's dense parent has a place in the grid of imp."""
    asked = gpu.counts("paper")
    assert asked["trainings"] == 504
    assert asked["images_trained"] == pytest.approx(504 * 182 * 45_000, rel=0.01)
    # 504 networks on 19 corruptions of 5 strengths, and on what is clean, attacked or strange beside them.
    assert asked["images_evaluated"] > 504 * 19 * 5 * 10_000


def test_the_best_stack_is_projected_and_what_was_skipped_is_not(gpu, monkeypatch):
    monkeypatch.setattr(
        gpu,
        "counts",
        lambda budget: dict.fromkeys(("images_trained", "images_evaluated", "images_to_prune_by"), 3600.0),
    )
    monkeypatch.setattr(gpu, "formed", lambda budget, most: {8: 24, 3: 12} if most == 8 else {})
    rows = {
        "one, launched step by step": {"networks": 1, "images_per_second": 0.5},
        "1, lanes": {"networks": 1, "images_per_second": 1.0},
        "8, lanes": {"networks": 8, "images_per_second": 4.0},
        "8, turns": {"networks": 8, "images_per_second": 3.0},
        "64, lanes": {"skipped": "full"},
    }
    found = gpu.projected({"training": {"float32": rows}, "evaluation": {"as scored": 2.0}}, "paper", "lanes")
    assert found["float32"]["stack"] == "8, lanes"
    # Two thirds of the images at 4 a second, and a third, of stacks of three, at the rate of one.
    assert found["float32"]["training"] == pytest.approx(2 / 3 / 4 + 1 / 3)
    assert found["float32"]["scoring"] == pytest.approx(1.0)


def test_most_of_the_grid_is_done_in_full_stacks(gpu):
    sizes = gpu.formed("paper", 32)
    assert sum(sizes.values()) == 504
    assert sizes[32] > 380
    assert set(sizes) - {32} == {3, 11, 14}


def test_a_stage_that_fails_or_has_no_time_says_so(gpu):
    assert gpu.attempt(lambda: 1 / 0, lambda: 1.0) == {"skipped": "ZeroDivisionError: division by zero"}
    assert gpu.attempt(lambda: 1, lambda: 0.0) == {"skipped": "no time left"}
    assert gpu.attempt(lambda: 1, lambda: 1.0) == 1


@pytest.mark.long
def test_what_is_measured_runs_on_a_pretended_gpu(gpu, pretended, monkeypatch):
    """All but what ``torch.func`` does, which the pretended device does not."""
    sizes = dataclasses.replace(gpu.DRY, device="cuda", epochs=5, stacks=(1, 2, 3))
    with pretended.device(monkeypatch.setattr):
        assert all(rate > 0 for rate in gpu.ceilings(sizes).values())
        assert all(rate > 0 for rate in gpu.evaluation(sizes).values())
        found = gpu.training(sizes, lambda: 1.0)
        assert gpu.facts("cuda")["device"] == "pretended"
    assert {"3, lanes", "2, turns", "2, turns, not replayed", "2, 1 lanes"} <= set(found["float32"])
    skipped = [name for rows in found.values() for name, row in rows.items() if "skipped" in row]
    assert skipped == ["2, batched"]


@pytest.mark.long
def test_the_script_runs_from_a_checkout(gpu, tmp_path):
    environment = {**os.environ, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONPATH", None)
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
    network = gpu.DRY.network
    operations = 6.0 * registry.get(Architecture, network.architecture).count(network).macs
    for precision, rows in found["training"].items():
        rate = operations * rows[found["paper"][precision]["stack"]]["images_per_second"]
        share = found["reached"][precision]["share_of_the_matrix_product"]
        assert share == pytest.approx(rate / found["ceilings"]["bfloat16_flop_per_second"])
    assert found["ceilings"]["copy_bytes_per_second"] > 0
