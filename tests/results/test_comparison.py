"""Two tables side by side: pairing, intervals against SciPy's, and what is only in one."""

import dataclasses
import importlib.util
import math
from pathlib import Path

import pytest
from scipy import stats

from lthbench.errors import BadInput
from lthbench.planning.request_record import RequestRecord
from lthbench.results.comparison import compare, text

SPEC = importlib.util.spec_from_file_location("tables", Path(__file__).parents[1] / "tables.py")
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)
frame, rows, facts = tables.frame, tables.rows, tables.facts

A = (0.90, 0.91, 0.92)


def one(before, after, score="accuracy", **more):
    first = frame(rows("m", 0.5, score, before, step="a")), facts()
    second = frame(rows("m", 0.5, score, after, step="b", **more)), facts()
    return compare(first, second).changes[0]


def test_the_interval_is_that_of_the_paired_t_test():
    after = (0.93, 0.95, 0.94)
    found = one(A, after)
    interval = stats.ttest_rel(after, A).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.difference == pytest.approx(0.03)
    assert (found.a, found.b, found.seeds) == (pytest.approx(0.91), pytest.approx(0.94), 3)


@pytest.mark.parametrize(
    ("score", "after", "finding"),
    [
        ("accuracy", (0.93, 0.941, 0.95), "better"),
        ("accuracy", (0.87, 0.881, 0.89), "worse"),
        ("accuracy", (0.95, 0.90, 0.91), "unsure"),
        ("nll", (0.93, 0.941, 0.95), "worse"),
        ("nll", (0.87, 0.881, 0.89), "better"),
        ("accuracy", A, "same"),
    ],
)
def test_what_is_found_follows_the_interval_and_the_direction(score, after, finding):
    assert one(A, after, score).finding == finding


@pytest.mark.parametrize(("score", "finding"), [("accuracy", "better"), ("nll", "worse")])
def test_two_tables_are_compared_by_the_direction_and_the_unit_of_their_facts(score, finding):
    first = frame(rows("m", 0.5, score, A, step="a")), facts()
    second = frame(rows("m", 0.5, score, (0.93, 0.941, 0.95), step="b")), facts()
    (found,) = compare(first, second).changes
    assert found.finding == finding
    assert found.unit == next(s.unit for s in facts().scores if s.name == score)
    blank = frame(rows("m", 0.5, score, A, step="a", direction="")), facts()
    with pytest.raises(BadInput, match=r'direction is "" in .*: one was edited'):
        compare(blank, second)


def test_only_seeds_in_both_are_compared_and_one_has_no_interval():
    found = one((0.9, 0.8), (0.95,))
    assert (found.seeds, found.difference) == (1, pytest.approx(0.05))
    assert math.isnan(found.low)
    assert found.finding == "unsure"


def test_the_same_steps_are_the_same_measurements():
    table = frame(rows("m", 0.5, "accuracy", A)), facts()
    found = compare(table, table)
    assert [c.finding for c in found.changes] == ["same"]
    assert found.specs == ()
    assert "1 score is the same in both" in text(found, {})


def test_the_same_measurement_with_another_value_is_not_the_same():
    first, seeds = (frame(rows("m", 0.5, "accuracy", A)), facts()), (0.5, 0.51, 0.52)
    rounded = frame(rows("m", 0.5, "accuracy", [v + 1e-4 for v in A])), facts()
    assert [(c.finding, c.odd) for c in compare(first, rounded).changes] == [("same", False)]
    found = compare(first, (frame(rows("m", 0.5, "accuracy", seeds)), facts()))
    assert [(c.finding, c.odd) for c in found.changes] == [("worse", True)]
    said = "1 score is of the same measurements and of other values (m 50.0 %, accuracy): "
    assert said + "one table was changed." in text(found, {})
    here = [facts().environments[0] | {"device": "cuda"}]
    found = compare(first, (frame(rows("m", 0.5, "accuracy", seeds)), facts(environments=here)))
    assert said + "other machines or versions give other networks, or one table was" in text(found, {})


def test_versions_of_libraries_are_compared_where_both_have_recorded_them():
    table = frame(rows("m", 0.5, "accuracy", A))
    (early,) = facts().environments

    def compared(a, b):
        told = [facts(environments=[early | e for e in side]) for side in (a, b)]
        found = compare((table, told[0]), (table, told[1]))
        return found.specs, text(found, {}).splitlines()[0]

    old, new = {"scipy": "1.16", "captum": "0.9"}, {"scipy": "1.17", "dreamsim": "0.2"}
    assert compared([old], [new])[0] == (("environments.0.scipy", "1.16", "1.17"),)
    alike = "Both were asked for alike and done with the same versions"
    assert compared([old], [old]) == ((), f"{alike}.")
    for some in ([{}], [{}, old]):  # an earlier run, and one that was gone on with
        assert compared(some, [old]) == ((), f"{alike}, as far as these were recorded.")


def test_a_table_that_cannot_be_reported_is_named():
    first = frame(rows("m", 0.5, "accuracy", A)), facts()
    with pytest.raises(BadInput, match="B: the table has more than one row"):
        compare(first, (frame(rows("m", 0.5, "accuracy", A), rows("m", 0.5, "accuracy", A)), facts()))


@pytest.mark.parametrize("status", ["gated", "degenerate", "failed"])
def test_scores_that_are_not_ok_in_both_are_told_and_not_compared(status):
    """A network that collapsed is not better, and what failed for some seeds is told beside the others."""
    better = rows("m", 0.5, "nll", (0.1, 0.11, 0.12), status=status, reason="it <lost> all")
    some = [
        {**r, "status": status, "value": math.nan} if r["seed"] else r for r in rows("m", 0.5, "accuracy", A)
    ]
    some += rows("m", 0.9, "accuracy", (math.nan,) * 3, status=status)
    first = frame(*(rows("m", at, score, A, step="a") for at in (0.5, 0.9) for score in ("accuracy", "nll")))
    second = frame(better, some, rows("m", 0.5, "accuracy", A, variant="x"))
    found = compare((first, facts()), (second, facts()))
    assert [(c.score, c.seeds) for c in found.changes] == [("accuracy", 1)]
    left = [(u.sparsity, u.score, u.seeds, u.a, u.b) for u in found.uncompared]
    assert left == [
        (0.5, "accuracy", (1, 2), "ok", status),
        (0.5, "nll", (0, 1, 2), "ok", status),
        (0.9, "accuracy", (0, 1, 2), "ok", status),
    ]
    assert (found.only_a, found.only_b) == ((), ())
    said = text(found, {"nll": "NLL"})
    assert f"  m 50.0 %, seeds 0, 1, 2: NLL ({status} in B: it <lost> all)\n" in said
    assert "<lost>" not in text(found, {}, "md")
    both = compare((second, facts()), (second, facts()))
    assert f"m 90.0 %, seeds 0, 1, 2: accuracy ({status} in both)" in text(both, {})


def test_what_is_not_compared_has_the_reasons_of_the_side_that_lacks_it():
    fine = frame(rows("m", 0.5, "nll", A, reason="3 images were left out"))
    lost = list(rows("m", 0.5, "nll", A, status="failed", reason="no memory"))
    lost[2]["reason"] = "diverged"
    (left,) = compare((frame(lost), facts()), (fine, facts())).uncompared
    assert (left.seeds, left.reason) == ((0, 1, 2), "no memory (and 1 more)")


def test_specs_that_differ_are_named_and_cells_of_one_table_only():
    first = frame(rows("m", 0.5, "accuracy", A), rows("old", 0.9, "accuracy", A)), facts()
    changed = facts().budget | {"train": {"epochs": 5, "lr": 0.1}}
    second = (
        frame(rows("m", 0.5, "accuracy", A), rows("new", 0.9, "accuracy", A)),
        dataclasses.replace(facts(), budget=changed),
    )
    found = compare(first, second)
    assert found.specs == (("budget.train.epochs", "2", "5"), ("budget.train.lr", "–", "0.1"))
    assert (found.only_a, found.only_b) == (("old 90.0 %",), ("new 90.0 %",))
    said = text(found, {})
    assert "Only in A: old 90.0 %." in said
    assert "budget.train.epochs" in said


def test_tables_of_different_tasks_are_refused():
    with pytest.raises(BadInput, match="A is of task made and B of task other"):
        compare((frame(), facts()), (frame(), facts(task="other")))


def test_markdown_is_escaped():
    first = frame(rows("<script>", 0.5, "accuracy", A, step="a")), facts()
    second = frame(rows("<script>", 0.5, "accuracy", (0.8, 0.9, 0.7), step="b")), facts()
    said = text(compare(first, second), {"accuracy": "a|b"}, "md")
    assert "<script>" not in said
    assert "a\\|b" in said


def test_scores_and_networks_that_only_one_was_asked_for_are_told():
    def made(scores, **given):
        found = facts(**given)
        return frame(rows("m", 0.5, "accuracy", A)), dataclasses.replace(
            found, scores=tuple(found.scores[:scores])
        )

    every = [score.name for score in facts().scores]
    found = compare(made(len(every)), made(1))
    assert found.specs == (("scores", f"{', '.join(sorted(every[1:]))}, too", "–"),)
    assert "Both were asked for alike" not in text(found, {})


def test_code_of_plugins_that_changed_is_told():
    def made(digest, folder):
        plugin = {"kind": "metric", "name": "rude", "source": f"{folder}mine.py", "digest": digest * 64}
        return frame(rows("m", 0.5, "accuracy", A)), facts(plugins=[plugin])

    assert compare(made("0", ""), made("0", "/elsewhere/")).specs == ()
    found = compare(made("0", ""), made("1", ""))
    code = (f"mine.py, hash {digit * 12}" for digit in "01")
    assert found.specs == (("metric rude", *code),)
    assert "Both were asked for alike" not in text(found, {})


def test_pretrained_weights_that_only_one_began_with_are_told():
    asked = RequestRecord("made", ("m",), (0.5,), (0, 1, 2), ("accuracy",), "quick", pretrained="w.pth")
    begun = dataclasses.replace(facts(), requests=(asked,))
    table = frame(rows("m", 0.5, "accuracy", A))
    assert compare((table, begun), (table, facts())).specs == (("pretrained", "w.pth", ""),)
