"""The calibrations that ship: of today's steps, and as sure as the documents say."""

import json

import pytest

from lthbench import resources
from lthbench.planning import task
from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.results.run_facts import dense_keys
from lthbench.verdict import calibration
from lthbench.verdict.simulation import recorded, simulated

FILES = sorted((resources.tasks() / "calibrations").glob("*.json"))


def of(path):
    record = json.loads(path.read_text())
    return calibration.shipped(record["task"], record["budget"])


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_its_name_is_its_task_and_budget_and_it_has_seeds_that_no_run_takes(path):
    found = of(path)
    assert found is not None
    assert path.stem == f"{found.task}-{found.budget}"
    assert found.budget in task.load(found.task).budgets()
    assert min(found.seeds) >= 1000


def test_that_of_the_embedded_task_is_of_todays_steps():
    found = of(next(p for p in FILES if p.stem == "digits-r8-quick"))
    keys = dense_keys(plan(ask("digits-r8", ["omp"], [0.5], None, 1), ()))
    kept, outdated = calibration.fitting(found, keys)
    assert outdated == (), "calibrate again: lthbench calibrate --task digits-r8 --seeds 1000-1059"
    assert kept is not None
    assert kept.scores.keys() == keys.keys()


@pytest.mark.parametrize("name", ["digits-r8-quick", "c10-r20s-quick", "c10-r20s-standard-bf16"])
def test_the_tasks_with_published_tables_can_decide(name):
    """The bar: dense against dense in half of cases with three seeds, in four fifths with five; level 5 %."""
    found = of(next(p for p in FILES if p.stem == name))
    for seeds, bar in ((3, 0.5), (5, 0.8)):
        ways = [simulated(found, seeds, trials=2000)]
        if len(found.seeds) - seeds >= calibration.FEWEST:  # as many as a calibration needs are left
            ways.append(recorded(found, seeds, trials=2000))
        for trials in ways:
            assert trials.passes() >= bar
            assert trials.joint_level().max() <= 0.05 + 0.015
