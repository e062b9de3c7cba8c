"""What rows of the table say of one another: errors of differences to dense, and accuracy at chance."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lthbench.errors import Damaged
from lthbench.results import rows
from lthbench.store.artifacts import SCORES

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


#: Images of each class of DermaMNIST's test images, in its order.
LESIONS = (66, 103, 220, 23, 223, 1341, 29)


class Results:
    """A store of results: values of scores, and what else ``scores.json`` says, by the key of a measure."""

    def __init__(self, held):
        self.held = held

    def has(self, step):
        return step.key in self.held

    def files(self, step):
        return [SCORES.name]

    def read(self, step, name):
        if not self.has(step):
            raise Damaged(f"{step.key}: is not there")
        values = [
            {"score": score, "variant": variant, "value": value, "se": 0.01, "n": n, "reason": ""}
            for score, variant, value, n in self.held[step.key]
        ]
        return SCORES.encode({"values": values, "degenerate": [], "forwards": 0})


def lesions(accuracies: Any, by_class: Any = (), metrics: Any = ("accuracy", "gini")) -> tuple[Any, Any]:
    """A plan on DermaMNIST and its results: accuracies by method, and by class of some methods."""
    total, held, entries = sum(LESIONS), {}, []
    for method, right in accuracies.items():
        names = (*metrics, *(["class-accuracy"] if by_class else []))
        measures = tuple(made_of(key=f"{name} {method}", metric=name) for name in names)
        sparsity = 0.0 if method == "dense" else 0.5
        named = {"method": method, "sparsity": sparsity, "seed": 0}
        entries.append(made_of(**named, dense=measures[0], measures=measures, controls=()))
        held[f"accuracy {method}"] = [("accuracy", "", right, total)]
        held[f"gini {method}"] = [("ig_gini", "", 0.5, total)]
        if method in by_class:
            classes = [("balanced_accuracy", f"class {k}", 0.5, n) for k, n in enumerate(LESIONS)]
            held[f"class-accuracy {method}"] = [("balanced_accuracy", "", 0.5, total), *classes]
    task = made_of(data=made_of(dataset="derma"))
    return made_of(request=made_of(task=task), entries=entries), Results(held)


def found(plan, results, metric):
    return {r.source.entry.method: r for r in rows.of(plan, results, {}) if r.source.metric == metric}


def test_a_network_that_always_says_the_largest_class_is_degenerate():
    largest = max(LESIONS) / sum(LESIONS)
    accuracies = {"dense": 0.75, "omp": largest, "snip": 0.72}
    of_all = found(*lesions(accuracies, accuracies), "accuracy")
    assert of_all["omp"].status == "degenerate"
    assert of_all["omp"].reason == "accuracy 0.669 is not above chance (up to 0.690)"
    assert of_all["snip"].status == "ok"


def test_half_of_what_dense_has_above_the_largest_class_is_the_gate():
    accuracies = {"dense": 0.75, "omp": 0.705, "snip": 0.72}
    of_all = found(*lesions(accuracies, accuracies), "gini")
    assert of_all["snip"].status == "ok"
    assert of_all["omp"].status == "gated"
    assert "accuracy 0.705 is below the gate, 0.709" in of_all["omp"].reason


def test_chance_is_that_of_the_images_as_far_as_any_network_tells_how_many_each_class_has():
    accuracies = {"dense": 0.75, "omp": 0.6, "snip": 0.72}
    assert rows.accuracy_of_chance(*lesions(accuracies, ["snip"]), {}) == max(LESIONS) / sum(LESIONS)
    plan, results = lesions(accuracies, ["omp"])
    assert rows.accuracy_of_chance(plan, results, {"class-accuracy omp": "diverged"}) == 1 / 7
    assert rows.accuracy_of_chance(*lesions(accuracies), {}) == 1 / 7
    assert found(*lesions(accuracies), "accuracy")["omp"].status == "ok"


def test_accuracy_is_at_chance_within_two_standard_errors():
    said = "accuracy 0.155 is not above chance (up to 0.160)"
    assert rows._at_chance([accuracy("omp", 0, 0.155)], 0.1) == [said]
    assert rows._at_chance([accuracy("omp", 0, 0.17)], 0.1) == []


def test_interpretability_is_gated_where_half_of_what_dense_has_above_chance_is_lost():
    made = []
    for method, value in (("dense", 0.9), ("omp", 0.51), ("snip", 0.49)):
        row = accuracy(method, 0, value)
        row.score.group = "generalization"
        maps = accuracy(method, 0)
        maps.score.name, maps.score.group = "ig_road_gap", "interpretability"
        made += [row, maps]
    rows._gate(made, 0.1)
    assert [row.status for row in made] == ["ok", "ok", "ok", "ok", "ok", "gated"]


@pytest.mark.parametrize("awaited", ["dense", "omp"])
def test_interpretability_waits_for_the_accuracy_of_its_own_and_of_dense(awaited):
    made = [accuracy("dense", 0), accuracy("omp", 0), accuracy("omp", 0)]
    row = made[0 if awaited == "dense" else 1]
    row.value, row.status = np.nan, "missing"
    made[2].score.name, made[2].score.group = "ig_road_gap", "interpretability"
    for one in made[:2]:
        one.score.group = "generalization"
    rows._gate(made, 0.1)
    assert made[2].status == "missing"
    assert made[2].reason == "its accuracy, or that of dense, is not measured yet"


@pytest.mark.parametrize("there", ["dense", "omp", ""])
def test_interpretability_is_gated_where_accuracy_of_its_own_or_of_dense_is_not_known(there):
    accuracies = [accuracy(method, 0, 0.9 if method == there else np.nan) for method in ("dense", "omp")]
    maps = accuracy("omp", 0)
    maps.score.name, maps.score.group = "ig_road_gap", "interpretability"
    for row in accuracies:
        row.score.group = "generalization"
    rows._gate([*accuracies, maps], 0.1)
    assert [row.status for row in accuracies] == ["ok", "ok"]
    said = "without its accuracy, or that of dense, it cannot be compared with dense"
    assert (maps.status, maps.reason) == ("gated", said)
