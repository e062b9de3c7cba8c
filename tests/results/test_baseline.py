"""Holding a table to a baseline: directions, tolerances, what is missing, and files that are none."""

import dataclasses
import importlib.util
import json
import math
import statistics
from pathlib import Path

import pytest

from lthbench.errors import BadInput
from lthbench.results import baseline, baseline_file, baseline_text
from lthbench.verdict.calibration import DenseScore

SPEC = importlib.util.spec_from_file_location("tables", Path(__file__).parents[1] / "tables.py")
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)
frame, rows, facts = tables.frame, tables.rows, tables.facts

A = (0.900, 0.901, 0.902)
LOSS = (0.300, 0.301, 0.302)


@pytest.fixture
def base():
    made = frame(rows("m", 0.5, "accuracy", A), rows("m", 0.5, "nll", LOSS))
    return baseline.baseline(made, facts())


def held(base, accuracy=A, nll=LOSS, rule="tolerance", **more):
    table = frame(rows("m", 0.5, "accuracy", accuracy, **more), rows("m", 0.5, "nll", nll))
    return {h.score: h for h in baseline.hold(table, facts(), base, rule)}


def test_a_baseline_holds_against_its_own_table_by_either_rule(base):
    assert [e["tolerance"] for e in base["scores"]] == [0.01, 0.0301]
    for rule in baseline.RULES:
        assert all(h.good for h in held(base, rule=rule).values())


def test_the_tolerance_is_twice_the_deviation_over_seeds_where_that_is_more():
    made = baseline.baseline(frame(rows("m", 0.5, "accuracy", (0.8, 0.9, 1.0))), facts())
    assert made["scores"][0]["tolerance"] == 0.2


@pytest.mark.parametrize(
    ("accuracy", "nll", "good"),
    [
        ((0.8911, 0.8911, 0.8911), LOSS, (True, True)),  # 0.0099 lower
        ((0.8909, 0.8909, 0.8909), LOSS, (False, True)),  # 0.0101 lower
        ((0.99, 0.99, 0.99), LOSS, (True, True)),
        (A, (0.33, 0.33, 0.33), (True, True)),
        (A, (0.34, 0.34, 0.34), (True, False)),
        (A, (0.01, 0.01, 0.01), (True, True)),
    ],
)
def test_a_score_may_be_worse_by_its_tolerance_and_better_by_anything(base, accuracy, nll, good):
    found = held(base, accuracy, nll)
    assert (found["accuracy"].good, found["nll"].good) == good


def test_by_noninferior_it_must_be_shown(base):
    assert held(base, (0.897, 0.898, 0.898), rule="noninferior")["accuracy"].good
    found = held(base, (0.88, 0.92, 0.90), rule="noninferior")["accuracy"]
    assert not found.good
    assert found.reason.startswith("not enough data: p = 0.")
    few = held(base, (0.9,), rule="noninferior")["accuracy"]
    assert (few.good, few.finding, few.seeds) == (False, "not enough data", 1)
    assert few.reason == "not enough data: one seed in both, and a test needs two or more"


def test_what_is_missing_failed_or_degenerate_does_not_hold(base):
    found = {h.score: h for h in baseline.hold(frame(rows("m", 0.5, "accuracy", A)), facts(), base)}
    assert (found["nll"].good, found["nll"].reason) == (False, "not measured")
    assert not held(base, (math.nan,) * 3, status="failed", reason="boom")["accuracy"].good
    for status in ("degenerate", "gated"):
        found = held(base, status=status, reason="layer conv1 is empty")["accuracy"]
        assert (found.good, found.reason) == (False, f"{status}: layer conv1 is empty")


def test_seeds_and_scores_that_the_table_lacks_are_named(base):
    table = frame(rows("m", 0.5, "accuracy", A)).assign(seed=lambda t: t["seed"] + 7)
    beside = dataclasses.replace(facts(), seeds=(7, 8, 9))
    found = {h.score: h.reason for h in baseline.hold(table, beside, base)}
    assert found == {"accuracy": "of other seeds", "nll": "not measured"}
    said = baseline_text.unlike(table, base, {"nll": "NLL"})
    assert said.startswith("The baseline has seeds 0, 1, 2, the table 7, 8, 9 (--seeds): those in both")
    assert said.endswith("The run did not measure NLL (--metrics).")
    assert baseline_text.text(baseline.hold(table, beside, base), {}, notes=[said]).endswith(said)
    assert (
        baseline_text.unlike(frame(rows("m", 0.5, "accuracy", A), rows("m", 0.5, "nll", LOSS)), base, {})
        == ""
    )
    other = frame(rows("n", 0.5, "accuracy", A), rows("n", 0.5, "nll", LOSS))
    assert {h.reason for h in baseline.hold(other, facts(), base)} == {"no such method in the table"}


def test_a_score_without_a_value_is_told_from_one_that_is_not_there(base):
    empty = rows("m", 0.5, "accuracy", (math.nan,) * 3, status="missing", reason="not run")
    elsewhere = rows("m", 0.6, "nll", LOSS)
    table, beside = frame(empty, elsewhere), dataclasses.replace(facts(), sparsities=(0.5, 0.6))
    found = {h.score: h.reason for h in baseline.hold(table, beside, base)}
    assert found == {"accuracy": "not measured yet", "nll": "not in the table"}


def test_a_score_that_lacks_a_seed_of_the_baseline_does_not_hold_yet(base):
    """By the seeds that are there it would, and one that is not there yet may be worse."""
    some = [
        {**row, "value": math.nan, "status": "missing", "reason": "not run"} if row["seed"] == 2 else row
        for row in rows("m", 0.5, "accuracy", A)
    ]
    table = frame(some, rows("m", 0.5, "nll", LOSS))
    for rule in baseline.RULES:
        found = {h.score: h for h in baseline.hold(table, facts(), base, rule)}
        assert (found["accuracy"].good, found["accuracy"].finding) == (False, "missing")
        assert found["accuracy"].reason == "measured for 2 of 3 seeds so far"
        assert found["nll"].good
    said = baseline_text.unfinished(table, facts())
    assert said.startswith("This table is not finished: 2 of 3 networks have all their scores, and 5 of 6")
    assert said.endswith("The command that goes on: lthbench run made")
    assert baseline_text.unfinished(frame(rows("m", 0.5, "nll", LOSS)), facts()) == ""


def test_seeds_that_the_baseline_lacks_may_be_missing(base):
    more = [
        {**row, "status": "missing"} if row["seed"] == 3 else row
        for score, values in (("accuracy", (*A, math.nan)), ("nll", (*LOSS, math.nan)))
        for row in rows("m", 0.5, score, values)
    ]
    assert all(h.good for h in baseline.hold(frame(more), facts(seeds=4), base))


def test_a_table_that_is_not_finished_makes_no_baseline_of_what_it_lacks():
    lacking = {"status": "missing", "reason": "not run"}
    dense = rows("dense", 0.0, "accuracy", A)
    part = [row | lacking if row["seed"] == 2 else row for row in rows("part", 0.5, "accuracy", A)]
    none = rows("none", 0.5, "accuracy", (math.nan,) * 3, **lacking)
    table = frame(dense, part, none, rows("m", 0.5, "accuracy", A))
    said = r"is not finished: 8 of the 12 .* that lack some: part 1 of 3, none 3 of 3.*\(lthbench run made\)"
    with pytest.raises(BadInput, match=said):
        baseline.baseline(table, facts())
    made = baseline.baseline(table, facts(), methods=["m"])
    assert [e["method"] for e in made["scores"]] == ["dense", "m"]
    with pytest.raises(BadInput, match="1 of 3"):
        baseline.baseline(table, facts(), methods=["part"])


@pytest.mark.parametrize("status", ["degenerate", "gated", "failed"])
def test_what_would_not_hold_against_itself_is_left_out_of_a_baseline(status):
    """One seed of one score: the baseline of a table always holds for that table."""
    some = [{**row, "status": status} if row["seed"] == 1 else row for row in rows("m", 0.5, "nll", LOSS)]
    table = frame(rows("m", 0.5, "accuracy", A), some)
    made = baseline.baseline(table, facts())
    assert [entry["score"] for entry in made["scores"]] == ["accuracy"]
    assert all(h.good for h in baseline.hold(table, facts(), made))
    left_out = baseline.left_out(made, table, facts())
    assert baseline_text.written(made, left_out) == (
        f"1 score; 1 score has no value to hold others to: 1 {status}"
    )
    assert baseline.left_out(made, table, facts(), scores=["accuracy"]) == {}
    assert baseline_text.written(made, {}) == "1 score"


def test_numbers_without_end_make_no_baseline():
    table = frame(rows("m", 0.5, "accuracy", A), rows("m", 0.5, "nll", (0.3, math.inf, 0.3)))
    with pytest.raises(BadInput, match=r"nll of m .* is infinite"):
        baseline.baseline(table, facts())


def test_a_table_that_cannot_be_reported_is_no_baseline_and_is_held_to_none(base):
    table = frame(rows("m", 0.5, "accuracy", A), rows("m", 0.5, "accuracy", A), rows("m", 0.5, "nll", LOSS))
    with pytest.raises(BadInput, match="more than one row for accuracy of m"):
        baseline.baseline(table, facts())
    with pytest.raises(BadInput, match="more than one row for accuracy of m"):
        baseline.hold(table, facts(), base)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_baseline_is_read_with_its_byte_order_mark(tmp_path, base, encoding):
    path = tmp_path / "b.json"
    path.write_text(json.dumps(base), encoding=encoding)
    assert baseline_file.read(path) == base


def test_other_sparsities_and_variants_do_not_count(base):
    table = frame(rows("m", 0.6, "accuracy", A), rows("m", 0.5, "accuracy", A, variant="x"))
    assert not any(h.good for h in baseline.hold(table, facts(), base))


def test_the_list_names_what_does_not_hold(base):
    found = list(held(base, (0.85, 0.85, 0.85)).values())
    said = baseline_text.text(found, {"accuracy": "accuracy"})
    assert said.startswith("1 score does not hold against the baseline, 1 does.")
    assert "90.1" in said
    assert "85.0" in said
    assert "5.1" in said
    assert baseline_text.text(list(held(base).values()), {}) == "All 2 scores hold against the baseline."
    assert json.loads(baseline_text.as_json(found))["good"] is False


@pytest.mark.parametrize(("part", "facts_"), [("task", {"task": "other"}), ("budget", {"budget": "paper"})])
def test_another_task_or_budget_is_refused(base, part, facts_):
    with pytest.raises(BadInput, match=f"the baseline is of {part} "):
        baseline.hold(frame(rows("m", 0.5, "accuracy", A)), facts(**facts_), base)


def test_scores_may_be_named_and_unknown_ones_are_refused():
    table = frame(rows("m", 0.5, "accuracy", A), rows("m", 0.5, "nll", LOSS))
    assert [e["score"] for e in baseline.baseline(table, facts(), ["nll"])["scores"]] == ["nll"]
    with pytest.raises(BadInput, match="Did you mean accuracy"):
        baseline.baseline(table, facts(), ["acuracy"])


def test_a_baseline_may_hold_some_methods_and_sparsities_and_always_dense():
    parts = [rows("dense", 0.0, "accuracy", A)]
    parts += [rows(m, s, "accuracy", A) for m in ("omp", "snip") for s in (0.5904, 0.8322)]
    table = frame(*parts)

    def cells(**chosen):
        return [(e["method"], e["sparsity"]) for e in baseline.baseline(table, facts(), **chosen)["scores"]]

    assert len(cells()) == 5
    assert cells(methods=["omp"]) == [("dense", 0.0), ("omp", 0.5904), ("omp", 0.8322)]
    assert cells(methods=["omp"], sparsities=[0.59]) == [("dense", 0.0), ("omp", 0.5904)]
    with pytest.raises(BadInput, match=r"no sparsity 0\.6 in this table"):
        cells(sparsities=[0.6])
    with pytest.raises(BadInput, match="Did you mean snip"):
        cells(methods=["snap"])
    with pytest.raises(BadInput, match=r"no sparsity 0.7 in this table. Valid: 0, 0.5904, 0.8322"):
        cells(sparsities=[0.7])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.update(what="x"), "is none; write one with"),
        (lambda b: b.update(schema=9), "has schema 9"),
        (lambda b: b.update(scores=[]), "holds no scores"),
        (lambda b: b.update(scores=[3]), r"scores\[0\]: expected an object"),
        (lambda b: b["scores"][1].pop("tolerance"), r"scores\[1\].tolerance: expected a float, got None"),
        (lambda b: b["scores"][0].update(tolerance=-1), r"scores\[0\].tolerance: must not be negative"),
        (lambda b: b["scores"][0].update(direction="up"), "higher or lower, got 'up'"),
        (lambda b: b.update(libraries={"scipy": "1"}), "libraries: expected a list of versions for each"),
        (lambda b: b.update(libraries={"scipy": [1]}), "libraries: expected a list of versions for each"),
        (lambda b: b["scores"][0]["values"].update({"1": "x"}), "a finite number for each seed"),
        (lambda b: b["scores"][0].update(values={}), "a finite number for each seed"),
        (lambda b: b["scores"][0].update(values={"a": 1.0}), "whole numbers"),
    ],
)
def test_a_file_that_is_no_baseline_is_refused_by_name(base, tmp_path, change, said):
    change(base)
    path = tmp_path / "base.json"
    path.write_text(json.dumps(base))
    with pytest.raises(BadInput, match=said) as caught:
        baseline_file.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("content", [None, "{", "[]"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "base.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BadInput, match=str(path)):
        baseline_file.read(path)


# ------------------------------------------------------------------------------- other devices and versions


def trained(accuracy, dense=A, device="cpu: one", torch="2.14"):
    """A table with its dense networks, and where it was made."""
    table = frame(rows("dense", 0.0, "accuracy", dense), rows("m", 0.5, "accuracy", accuracy))
    return table, dataclasses.replace(facts(), environments=({"device": device, "torch": torch},))


@pytest.mark.parametrize(
    ("how", "alike"),
    [
        ({}, True),
        ({"device": "cpu: another"}, False),
        ({"torch": "2.15"}, False),
    ],
)
def test_elsewhere_a_score_may_be_worse_by_what_another_training_may(how, alike):
    known = DenseScore("accuracy", "key", True, False, 0.01, 0.02, (0.88, 0.90, 0.92))
    table, told = trained(A)
    made = baseline.baseline(table, told, trainings={"accuracy": known})
    entry = next(e for e in made["scores"] if e["method"] == "m")
    assert entry["elsewhere"] == pytest.approx(3 * 0.02 * math.sqrt(2 / 3), abs=5e-5)
    for worse, good in ((0.009, True), (0.02, not alike), (0.06, False)):
        table, told = trained([v - worse for v in A], **how)
        assert baseline.made_alike(told, made) == alike
        found = next(h for h in baseline.hold(table, told, made, wide=not alike) if h.method == "m")
        assert found.good == good


def test_other_dense_networks_on_the_same_device_are_told_and_widen_nothing():
    table, told = trained(A)
    made = baseline.baseline(table, told)
    assert baseline.dense_alike(table, made)
    other, _ = trained(A, dense=(0.900, 0.901, 0.903))
    assert baseline.made_alike(told, made)
    assert not baseline.dense_alike(other, made)


def test_a_gpu_trains_otherwise_each_time():
    table, told = trained(A, device="cuda: one")
    made = baseline.baseline(table, told)
    assert not baseline.made_alike(told, made)
    assert baseline.made_alike(trained(A)[1], baseline.baseline(*trained(A)))


def test_elsewhere_fewer_seeds_scatter_more():
    made = baseline.baseline(*trained((0.7, 0.8, 0.9)))
    entry = next(e for e in made["scores"] if e["method"] == "m")
    table, told = trained((0.7, 0.8, 0.9), torch="2.15")
    found = baseline.hold(table[table["seed"] == 0], dataclasses.replace(told, seeds=(0,)), made, wide=True)
    assert next(h for h in found if h.method == "m").tolerance == pytest.approx(
        entry["elsewhere"] * math.sqrt(3)
    )


def test_elsewhere_is_a_share_where_differences_are_ratios_and_by_these_seeds_without_calibration():
    known = DenseScore("nll", "key", False, True, 0.1, 0.2, (0.2, 0.3, 0.45))
    table = frame(rows("m", 0.5, "nll", (0.1, 0.2, 0.3)))
    (entry,) = baseline.baseline(table, facts(), trainings={"nll": known})["scores"]
    assert entry["elsewhere"] == pytest.approx(
        0.2 * math.expm1(3 * math.log(1.5) * math.sqrt(2 / 3)), rel=0.01
    )
    (entry,) = baseline.baseline(table, facts())["scores"]
    assert entry["elsewhere"] == pytest.approx(3 * 0.1 * math.sqrt(2 / 3), rel=0.01)


@pytest.mark.parametrize("values", [(1.0, 1.05, 0.95), (0.7, 1.0, 1.6)])
def test_elsewhere_a_ratio_to_the_parent_varies_as_the_network_and_its_parent_do(values):
    """Another machine trains both anew: the variance is twice that of trainings, or that of these seeds."""
    trainings = [math.exp(0.18 * v) for v in (-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5)]
    known = DenseScore("mce", "key", False, True, 0.05, 0.5, tuple(trainings))
    table, told = tables.grid(("m",), sparsities=(0.5,))
    ours = (table["method"] == "m") & (table["score"] == "mce")
    table.loc[ours, "value"] = values
    made = baseline.baseline(table, told, ["mce"], ["m"], trainings={"mce": known})
    entry = next(e for e in made["scores"] if e["method"] == "m")
    own = statistics.variance(map(math.log, values))
    wide = math.expm1(3 * math.sqrt(2 / 3 * max(2 * known.variance, own)))
    assert entry["elsewhere"] == pytest.approx(statistics.fmean(values) * wide, rel=0.01)


def test_a_baseline_without_environments_is_as_narrow_as_it_was(base):
    del base["environments"]
    for entry in base["scores"]:
        del entry["elsewhere"]
    table = frame(rows("m", 0.5, "accuracy", A), rows("m", 0.5, "nll", LOSS))
    assert baseline.made_alike(facts(), base)
    assert [h.tolerance for h in baseline.hold(table, facts(), base, wide=True)] == [0.01, 0.0301]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: b.pop("task"), "task: expected a name, got None"),
        (lambda b: b.update(budget=5), "budget: expected a name, got 5"),
        (lambda b: b["scores"][0].update(tolerance=10**400), "tolerance: expected a float"),
        (lambda b: b["scores"][0].update(values={"0": 10**400}), "expected a finite number for each seed"),
        (lambda b: b["scores"][0].update(values={"0": True}), "expected a finite number for each seed"),
        (lambda b: b["scores"][0].update(values={"0": 0.1, "00": 0.9}), "seeds are whole numbers"),
        (lambda b: b["scores"][0].update(values={"9" * 5000: 0.1}), "seeds are whole numbers"),
    ],
)
def test_a_baseline_edited_by_hand_is_refused_by_its_own_name(tmp_path, change, said):
    made = baseline.baseline(*trained(A))
    change(made)
    (tmp_path / "b.json").write_text(json.dumps(made))
    with pytest.raises(BadInput, match=f"baseline {tmp_path / 'b.json'}.*{said}"):
        baseline_file.read(tmp_path / "b.json")


@pytest.mark.parametrize(("field", "value"), [("direction", "lower"), ("unit", "nats")])
def test_a_baseline_that_reads_a_score_otherwise_than_the_table_is_refused(field, value):
    table, told = trained(A)
    made = baseline.baseline(table, told)
    made["scores"][1][field] = value
    with pytest.raises(BadInput, match=rf"scores\[1\].{field}, of accuracy, is {value}, and the table's"):
        baseline.hold(table, told, made)


def test_by_noninferior_equal_numbers_hold_where_no_tolerance_is_given(base):
    exact = {**base, "scores": [{**e, "tolerance": 0.0} for e in base["scores"]]}
    assert held(exact, rule="noninferior")["accuracy"].good
    assert not held(exact, (A[0] - 0.001, *A[1:]), rule="noninferior")["accuracy"].good


# -------------------------------------------------------------------------------- what a test does not show


@pytest.mark.parametrize(
    ("accuracy", "finding", "said"),
    [
        ((0.897, 0.898, 0.898), "holds", ""),
        ((0.870, 0.872, 0.871), "worse", "worse than the baseline (p = 0.0"),
        ((0.893, 0.893, 0.892), "worse", "worse than the baseline (p = 0.01"),
        ((0.890, 0.910, 0.900), "not enough data", "about 6 seeds would do, if these are typical"),
        ((0.860, 0.920, 0.880), "not enough data", "beyond its tolerance, and it may be chance"),
        ((0.852, 0.890, 0.935), "not enough data", "not with 100 seeds either"),
    ],
)
def test_by_noninferior_what_is_worse_is_told_from_what_has_not_enough_data(base, accuracy, finding, said):
    found = held(base, accuracy, rule="noninferior")["accuracy"]
    assert (found.finding, found.good) == (finding, finding == "holds")
    assert said in found.reason


def test_the_seeds_that_would_do_are_those_with_which_it_holds_at_this_mean_and_scatter(base):
    found = held(base, (0.890, 0.910, 0.900), rule="noninferior")["accuracy"]
    scatter = statistics.variance(a - b for a, b in zip(A, (0.890, 0.910, 0.900), strict=True))
    from scipy.stats import t

    def p(seeds):
        return t.sf((found.tolerance - found.worse_by) / math.sqrt(scatter / seeds), seeds - 1)

    assert p(found.seeds_needed) <= 0.05 < p(found.seeds_needed - 1)


def test_worse_is_shown_for_all_scores_of_a_network_together():
    """A score that is worse with p = .03 by itself, and one of two, has not enough data."""
    names = [s.name for s in facts().scores if s.verdict and s.name != "accuracy"]
    same = [rows("m", 0.5, name, (0.3, 0.4, 0.5)) for name in names]
    made = baseline.baseline(frame(rows("m", 0.5, "accuracy", A), *same), facts())
    fallen = [v - d for v, d in zip(A, (0.012, 0.02, 0.03), strict=True)]
    (alone,) = [e for e in made["scores"] if e["score"] == "accuracy"]
    for scores, finding in (([alone], "worse"), (made["scores"], "not enough data")):
        table = frame(rows("m", 0.5, "accuracy", fallen), *same)
        found = baseline.hold(table, facts(), {**made, "scores": scores}, "noninferior")
        assert next(h.finding for h in found if h.score == "accuracy") == finding


def test_the_first_line_says_what_is_worse_and_for_what_there_is_not_enough_data(base):
    found = list(held(base, (0.87, 0.872, 0.871), (0.30, 0.35, 0.28), rule="noninferior").values())
    first = baseline_text.text(found, {}, "md").splitlines()[0]
    assert first == (
        "2 scores do not hold against the baseline, 0 do. 1 is shown to be worse; for 1 there is not enough "
        f"data (about {found[1].seeds_needed} seeds would do, if these are typical)."
    )
    found = list(held(base, (0.890, 0.910, 0.900), rule="noninferior").values())
    assert "None is shown to be worse; for 1 there is" in baseline_text.text(found, {}).splitlines()[0]
    told = json.loads(baseline_text.as_json(found))["scores"]
    assert [(t["finding"], t["good"], t["seeds_needed"]) for t in told] == [
        ("not enough data", False, 6),
        ("holds", True, None),
    ]


def test_no_number_of_seeds_is_named_where_the_tolerance_shrinks_with_them():
    made = baseline.baseline(*trained(A))
    for entry in made["scores"]:
        entry["elsewhere"] = 0.02
    table, told = trained((0.88, 0.92, 0.90), torch="2.15")
    found = next(h for h in baseline.hold(table, told, made, "noninferior", wide=True) if h.method == "m")
    assert (found.finding, found.seeds_needed) == ("not enough data", None)
    assert found.reason == f"not enough data: p = {found.p:.3f}"


@pytest.mark.parametrize("rule", baseline.RULES)
def test_the_first_line_says_by_how_many_seeds_scores_are_held(base, rule):
    for few, said in ((A[:1], ", by 1 of its 3 seeds alone."), (A, ", 1 score by fewer seeds than it has.")):
        found = list(held(base, few, LOSS[:1], rule=rule).values())
        assert baseline_text.text(found, {}).splitlines()[0].split(". None")[0].rstrip(".") + "." == (
            {
                ("tolerance", 1): "All 2 scores hold against the baseline",
                ("tolerance", 3): "All 2 scores hold against the baseline",
                ("noninferior", 1): "2 scores do not hold against the baseline, 0 do",
                ("noninferior", 3): "1 score does not hold against the baseline, 1 does",
            }[rule, len(few)]
            + said
        )
    assert "seeds" not in baseline_text.text(list(held(base).values()), {})


def test_other_versions_of_libraries_are_named_where_both_have_recorded_them():
    table, told = trained(A)

    def of(**versions):
        return dataclasses.replace(told, environments=(told.environments[0] | versions,))

    made = baseline.baseline(table, of(scipy="1.16", numpy="2.1"))
    assert baseline.made_alike(of(scipy="1.17"), made)
    said = "Scores may differ by other versions: scipy 1.17 (the baseline 1.16)."
    assert baseline_text.other_libraries(of(scipy="1.17", pillow="12"), made) == said
    assert baseline_text.other_libraries(of(scipy="1.16"), made) == ""
    assert baseline_text.other_libraries(told, made) == ""
    del made["libraries"]
    assert baseline_text.other_libraries(of(scipy="1.17"), made) == ""
