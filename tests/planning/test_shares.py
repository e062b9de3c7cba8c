"""Which part of a plan's time goes to what: trainings, and what metrics ask for."""

import pytest

from lthbench.cli import main
from lthbench.planning.estimate import More, seconds
from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.planning.seeds import thinned
from lthbench.planning.shares import shares
from lthbench.spec import Explain, Measure, Predict


def planned(*metrics, seeds=2):
    return plan(ask("digits-r8", ["omp"], sparsities=[0.5], seeds=seeds, metrics=list(metrics)), ())


def test_shares_are_of_the_seconds_of_steps_and_sum_to_one():
    steps = planned("accuracy", "nll", "mce", "lime", "gini").steps
    found = shares(steps, {}, "cpu")
    assert sum(found.values()) == pytest.approx(1.0)
    assert list(found.values()) == sorted(found.values(), reverse=True)
    whole = sum(seconds(step, {}, "cpu") for step in steps)

    def spent(chosen):
        return sum(seconds(step, {}, "cpu") for step in steps if chosen(step)) / whole

    assert found[()] == pytest.approx(spent(lambda s: not isinstance(s, (Predict, Explain, Measure))))
    assert found[("lime",)] == pytest.approx(spent(lambda s: isinstance(s, Measure) and s.metric == "lime"))


def test_what_one_metric_asks_for_alone_is_what_leaving_it_out_saves():
    """Also its passes and maps; what others ask for, too, stays."""
    with_all, without = (planned("accuracy", "mce", *more).steps for more in (("gini",), ()))
    whole, rest = (sum(seconds(step, {}, "cpu") for step in steps) for steps in (with_all, without))
    assert shares(with_all, {}, "cpu")[("gini",)] == pytest.approx((whole - rest) / whole)


def test_what_several_ask_for_stands_under_all_of_them():
    found = shares(planned("accuracy", "nll").steps, {}, "cpu")
    assert ("accuracy", "nll") in found
    assert shares([], {}, "cpu") == {}


def test_seeds_that_are_not_listed_count():
    asked = ask("digits-r8", ["omp"], sparsities=[0.5], seeds=200, metrics=["accuracy", "lime"])
    few = thinned(asked, ())
    assert isinstance(few.more, More)
    whole = shares(plan(asked, ()).steps, {}, "cpu")
    assert shares(few.plan.steps, {}, "cpu", few.more) == pytest.approx(whole)


def test_a_plan_says_where_the_time_goes_and_what_is_cheaper(tmp_path, capsys):
    def said(*words):
        main(["plan", "--task", "digits-r8", "--methods", "omp", "--store", str(tmp_path / "s"), *words])
        return " ".join(capsys.readouterr().out.split())

    usual = said()
    assert "spent training and masks" in usual
    assert "; cheaper: --metrics -lime," in usual
    typed = said("--metrics", "accuracy,lime")
    assert "lime" in typed.partition("spent ")[2].partition("disk")[0]
    assert "cheaper" not in typed
    assert "scores" in said("--metrics", "accuracy").partition("spent ")[2].partition("disk")[0]
