"""What stands beside a table: the keys that bind it to a calibration."""

import pytest

from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.results import run_facts

METRICS = ["accuracy", "mce", "nll"]


def planned(seeds, **more):
    return plan(ask("digits-r8", ["omp"], [0.5], None, seeds, METRICS, **more), (), data_needed=False)


@pytest.mark.parametrize("seeds", [[0], [3, 0], [7, 9]])
def test_dense_keys_are_those_of_seed_zero_whatever_seeds_are_asked_for(seeds):
    made = planned([0])
    found = {m.metric: m.key for e in made.entries if e.method == "dense" for m in e.measures}
    expected = {"accuracy": found["accuracy"], "mce": found["mce"], "nll": found["nll"]}
    assert run_facts.dense_keys(planned(seeds)) == expected


def test_dense_keys_move_with_the_version_of_a_metric(monkeypatch):
    before = run_facts.dense_keys(planned([0]))
    monkeypatch.setattr("lthbench.registry.version", lambda kind, name: "other")
    after = run_facts.dense_keys(planned([0]))
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())
