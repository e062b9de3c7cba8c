"""Which scores the verdict asks for: static calibration error on tasks of many classes alone."""

import numpy as np
import pandas as pd
import pytest

from lthbench import scoring
from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.results import dense_trainings, run_facts, score_order
from lthbench.verdict import rules
from lthbench.verdict.comparison import Yardstick

METRICS = ("accuracy", "ece", "calibration")


@pytest.mark.parametrize(
    ("task", "more"),
    [("c10-r20s", ()), ("imagenette-r18", ()), ("c100-r20s", ("sce",)), ("img-r50", ("sce",))],
)
def test_static_calibration_error_is_judged_on_tasks_of_many_classes_alone(task, more):
    asked = ask(task, ["omp"], [0.5], metrics=METRICS, seeds=1)
    made = plan(asked, (), data_needed=False)
    facts = run_facts.asked(made)
    judged = ("accuracy", "ece", *more)
    assert tuple(a.score for a in facts["aspects"]) == judged
    assert tuple(s.name for s in facts["scores"] if s.verdict) == judged
    sce = next(s for s in facts["scores"] if s.name == "sce")
    assert (sce.margin, sce.relative_margin) == ((0.1, True) if more else (0.0, False))
    assert set(run_facts.dense_keys(made)) == set(judged)
    assert ("calibration" in dense_trainings.judged_alone(asked).metrics) == bool(more)


def test_other_probabilities_than_the_largest_are_judged_by_sce_where_ece_is_blind():
    """The probabilities behind the largest go to other classes: accuracy and ECE stay to the bit."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2.0, (2000, 100))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    dense = np.exp(scoring.log_softmax(logits))
    order = np.argsort(-dense, 1)
    moved, rows = dense.copy(), np.arange(len(dense))[:, None]
    moved[rows, order[:, 1:]] = dense[rows, np.roll(order[:, 1:], 5, axis=1)]
    hit = (order[:, 0] == labels).astype(float)
    found = []
    for method, p in (("dense", dense), ("omp", moved)):
        ece, sce = scoring.resampled_ece(p.max(1), hit, 15), scoring.resampled_sce(p, labels, 15)
        for score, value in (("accuracy", hit.mean()), ("ece", ece[0]), ("sce", sce[0])):
            level = 0.0 if method == "dense" else 0.5
            row = {"method": method, "sparsity": level, "score": score, "variant": "", "reason": ""}
            row |= {"status": "ok", "diff_se": 0.0, "mean_diff_se": 0.0}
            found += [{**row, "seed": k, "value": value * (1 + 0.001 * k)} for k in range(3)]
    table = pd.DataFrame(found)
    yardstick = Yardstick.of(table)
    (few,) = rules.verdicts(yardstick, score_order.aspects(METRICS, 10))["noninferior"]
    (many,) = rules.verdicts(yardstick, score_order.aspects(METRICS, 100))["noninferior"]
    assert few.joint == 0.5
    assert many.joint is None
    assert {m.score: m.finding for m in many.matches} == {
        "accuracy": "matches",
        "ece": "matches",
        "sce": "worse",
    }


@pytest.mark.parametrize(
    ("dataset", "concepts", "measured", "count"),
    [
        ("cifar10", "shapes", (), 13),
        ("cifar10", None, (), 10),
        ("cifar10", None, ("accuracy",), 9),
        ("cifar10", None, ("accuracy", "of_a_plugin"), 9),
        ("cifar100", None, (), 11),
        ("of_a_plugin", "shapes", (), 0),
    ],
)
def test_what_lth_pass_asks_for_and_was_not_measured(dataset, concepts, measured, count):
    lacking = score_order.lacking({"data": {"dataset": dataset, "concepts": concepts}}, measured)
    assert len(lacking) == count
    assert ("accuracy" in lacking) == (count > 0 and "accuracy" not in measured)


def test_what_was_not_measured_is_told_of_a_data_set_that_is_not_known_here_too():
    task = {"data": {"dataset": "of_a_plugin", "concepts": None}}
    assert len(score_order.lacking(task, ("accuracy",), classes=10)) == 9
    assert len(score_order.lacking(task, (), classes=100)) == 11


@pytest.mark.parametrize("form", ["{}", "./{}", "{}:x"])
def test_a_file_that_a_table_names_as_its_data_is_not_run(form, tmp_path, monkeypatch):
    """Who opens a table of others runs no code of theirs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text("open('ran', 'w').close()\n", encoding="utf-8")
    named = form.format("theirs.py")
    assert score_order.lacking({"data": {"dataset": named, "concepts": None}}, ()) == ()
    assert score_order.lacking({"data": {"dataset": str(tmp_path / named), "concepts": None}}, ()) == ()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "task", [{}, {"data": None}, {"data": {"dataset": ["cifar10"]}}, {"data": {"dataset": 3}}]
)
def test_of_a_task_of_another_version_nothing_is_lacking(task):
    assert score_order.lacking(task, ()) == ()
