"""What rows of the table say of one another: errors of differences to dense, and accuracy at chance."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lthbench.results import rows

SEEDS = (0, 1, 2)


def made_of(**parts: object) -> Any:
    return SimpleNamespace(**parts)


def accuracy(method, seed, value=0.9, n=100):
    entry = made_of(method=method, sparsity=0.0 if method == "dense" else 0.5, seed=seed)
    source = rows.Source(entry, "accuracy", made_of(key=f"{method}{seed}"))
    return rows.Row(source, made_of(name="accuracy"), "", value, 0.01, n, "ok", "")


def test_errors_of_differences_are_those_of_paired_draws_for_a_seed_and_for_their_mean(monkeypatch):
    random = np.random.default_rng(0)
    draws = {f"{method}{seed}": random.random(200) for method in ("dense", "omp") for seed in SEEDS}
    monkeypatch.setattr(rows, "draws_of", lambda store, measure: {"accuracy": draws[measure.key]})
    made = [accuracy(method, seed) for method in ("dense", "omp") for seed in SEEDS]
    rows._add_paired_errors(made, None)
    gaps = np.stack([draws[f"omp{seed}"] - draws[f"dense{seed}"] for seed in SEEDS])
    assert [row.diff_se for row in made[3:]] == pytest.approx(gaps.std(1, ddof=1))
    assert [row.mean_diff_se for row in made[3:]] == pytest.approx([gaps.mean(0).std(ddof=1)] * 3)
    assert np.isnan([(row.diff_se, row.mean_diff_se) for row in made[:3]]).all()


def test_accuracy_is_at_chance_within_two_standard_errors():
    plan = made_of(request=made_of(task=made_of(data=made_of(dataset="digits"))))
    said = "accuracy 0.155 is not above chance (up to 0.160)"
    assert rows._at_chance(plan, [accuracy("omp", 0, 0.155)]) == [said]
    assert rows._at_chance(plan, [accuracy("omp", 0, 0.17)]) == []


def test_interpretability_is_gated_where_half_of_what_dense_has_above_chance_is_lost():
    plan = made_of(request=made_of(task=made_of(data=made_of(dataset="digits"))))
    made = []
    for method, value in (("dense", 0.9), ("omp", 0.51), ("snip", 0.49)):
        row = accuracy(method, 0, value)
        row.score.group = "generalization"
        maps = accuracy(method, 0)
        maps.score.name, maps.score.group = "ig_road_gap", "interpretability"
        made += [row, maps]
    rows._gate(made, plan)
    assert [row.status for row in made] == ["ok", "ok", "ok", "ok", "ok", "gated"]


@pytest.mark.parametrize("awaited", ["dense", "omp"])
def test_interpretability_waits_for_the_accuracy_of_its_own_and_of_dense(awaited):
    plan = made_of(request=made_of(task=made_of(data=made_of(dataset="digits"))))
    made = [accuracy("dense", 0), accuracy("omp", 0), accuracy("omp", 0)]
    row = made[0 if awaited == "dense" else 1]
    row.value, row.status = np.nan, "missing"
    made[2].score.name, made[2].score.group = "ig_road_gap", "interpretability"
    for one in made[:2]:
        one.score.group = "generalization"
    rows._gate(made, plan)
    assert made[2].status == "missing"
    assert made[2].reason == "its accuracy, or that of dense, is not measured yet"


@pytest.mark.parametrize("there", ["dense", "omp", ""])
def test_interpretability_is_gated_where_accuracy_of_its_own_or_of_dense_is_not_known(there):
    plan = made_of(request=made_of(task=made_of(data=made_of(dataset="digits"))))
    accuracies = [accuracy(method, 0, 0.9 if method == there else np.nan) for method in ("dense", "omp")]
    maps = accuracy("omp", 0)
    maps.score.name, maps.score.group = "ig_road_gap", "interpretability"
    for row in accuracies:
        row.score.group = "generalization"
    rows._gate([*accuracies, maps], plan)
    assert [row.status for row in accuracies] == ["ok", "ok"]
    said = "without its accuracy, or that of dense, it cannot be compared with dense"
    assert (maps.status, maps.reason) == ("gated", said)
