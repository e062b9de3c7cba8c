"""Tables that would give a wrong verdict are refused by name; those with gaps are shown as what they are."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from lthbench import report
from lthbench.errors import BadInput
from lthbench.report import answer, latex, machine_readable, markdown, network_page, task_page
from lthbench.report.summary import summarise
from lthbench.results import validation


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    """Pages are read for their words here; figures but the curves are drawn in tests/report/figures."""
    monkeypatch.setattr(task_page, "kinds", tuple)


@pytest.fixture
def made(made_table):
    """A table of two methods at three sparsities and three seeds, and its facts."""
    return made_table(("imp", "omp"))


def changed(table, **values):
    """The table with columns of its last row replaced."""
    table = table.copy()
    for column, value in values.items():
        table.loc[table.index[-1], column] = value
    return table


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"task": "other"}, "of one task; the table holds made, other"),
        ({"budget": "paper"}, "of one budget; the table holds paper, quick"),
        ({"sparsity": 1.0}, "less than 1; the table has .* at sparsity 1"),
        ({"sparsity": -0.1}, "at least 0"),
        ({"sparsity": math.nan}, "at least 0"),
        ({"method": "dense"}, "a dense network has sparsity 0"),
        ({"status": "fine"}, 'no status "fine"'),
        ({"se": -0.1}, "se is finite and not negative; that of .* is -0.1"),
        ({"se": math.inf}, "se is finite and not negative; that of .* is inf"),
        ({"diff_se": math.inf}, "diff_se is finite"),
        ({"mean_diff_se": -math.inf}, "mean_diff_se is finite and not negative"),
        ({"n": -5}, "n is finite and not negative"),
        ({"forwards": -1}, "forwards is finite and not negative"),
        ({"direction": "sideways"}, 'direction is "sideways" in .*, its facts say "(higher|lower)"'),
        ({"direction": ""}, 'direction is "" in .*, its facts say "(higher|lower)"'),
        ({"unit": "count"}, 'unit is "count" in .*: one was edited'),
        ({"unit": ""}, 'unit is "" in .*: one was edited'),
        ({"group": "other"}, 'group is "other" in .*: one was edited'),
        ({"group": ""}, 'group is "" in .*: one was edited'),
        ({"seed": 9}, "seed 9, which its facts do not name: 0, 1, 2"),
    ],
)
def test_what_cannot_be_is_refused(made, values, said):
    with pytest.raises(BadInput, match=said):
        summarise(changed(made[0], **values), made[1])


def test_an_infinite_value_is_refused_also_of_a_score_without_an_upper_end(made):
    table = made[0].copy()
    table.loc[table.index[table["score"] == "nll"][-1], "value"] = math.inf
    with pytest.raises(BadInput, match=r"nll of .* is infinite"):
        summarise(table, made[1])


def test_a_row_twice_is_refused_by_name(made):
    twice = pd.concat([made[0], made[0].iloc[[5]]], ignore_index=True)
    with pytest.raises(BadInput, match=r"more than one row for .* of dense at sparsity 0, seed 2; keep one"):
        summarise(twice, made[1])


def test_an_empty_table_is_refused(made):
    with pytest.raises(BadInput, match="holds none"):
        summarise(made[0][:0], made[1])


# ------------------------------------------------------------------------------------- gaps are shown


def gap(table, method, sparsity, score, seeds=(0, 1, 2), **values):
    """The table with columns of some rows replaced."""
    table = table.copy()
    rows = (table["method"] == method) & (table["sparsity"] == sparsity) & (table["score"] == score)
    rows &= table["seed"].isin(seeds)
    assert rows.any()
    for column, value in values.items():
        table.loc[rows, column] = value
    return table


def test_a_score_that_failed_never_matches_and_says_why(made):
    table = gap(made[0], "imp", 0.5, "nll", value=math.nan, status="failed", reason="out of memory <b>")
    summary = summarise(table, made[1])
    (imp, _) = summary.headline
    (match,) = (m for m in imp.at(0.5) if m.score == "nll")
    assert (match.matches, match.finding, match.reason) == (False, "failed", "out of memory <b>")
    assert imp.joint != 0.5
    text = task_page.render(summary)
    assert "out of memory &lt;b&gt;" in text
    assert "out of memory <b>" not in text


@pytest.mark.parametrize(
    ("method", "seeds", "said"),
    [
        ("imp", (0, 1, 2), "it is not measured yet"),
        ("imp", (1,), "it is measured for 2 of 3 seeds so far"),
        ("dense", (1, 2), "dense is measured for 1 of 3 seeds so far"),
    ],
)
def test_a_score_that_is_still_to_come_is_no_failure_and_leaves_the_network_undecided(
    made, method, seeds, said
):
    nothing = {"value": math.nan, "status": "missing", "reason": "not run"}
    table = gap(made[0], method, 0.5 if method == "imp" else 0.0, "nll", seeds, **nothing)
    summary = summarise(table, made[1])
    imp = summary.headline[0]
    (match,) = (m for m in imp.at(0.5) if m.score == "nll")
    assert (match.matches, match.finding, match.reason) == (None, "undecided", said)
    assert imp.joint is None
    assert said in task_page.render(summary)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.95])
def test_no_network_passes_because_scores_are_still_to_come(made, share):
    """A network of which all is there is judged as in the whole table, and none gets further than there."""
    random = np.random.default_rng(0)
    whole = summarise(*made)
    for _ in range(3):
        table = made[0].copy()
        chosen = random.choice(len(table), round(share * len(table)), replace=False)
        table.loc[chosen, ["value", "status"]] = math.nan, "missing"
        summary = summarise(table, made[1])
        for rule, found in summary.verdicts.items():
            for part, result in zip(found, whole.verdicts[rule], strict=True):
                assert (part.joint or 0.0) <= (result.joint or 0.0)
                assert (part.paper_pass or 0.0) <= (result.paper_pass or 0.0)
                for level in part.sparsities:
                    if not any(m.finding == "undecided" for m in part.at(level)):
                        assert part.at(level) == result.at(level)
    there = summary.so_far
    assert there.scores == ((table["variant"] == "") & (table["status"] != "missing")).sum()
    said = f"{there.networks} of 21 networks, {there.scores} of {there.of_scores} scores"
    assert dict(answer.of_table(summary).lines)["not finished"] == there.text == said
    for text in (markdown.render(summary), latex.render(summary), task_page.render(summary)):
        assert "This table is not finished" in text
    told = json.loads(machine_readable.as_json(summary))
    assert (told["finished"], told["so_far"]["scores"]) == (False, there.scores)
    assert "unfinished" in machine_readable.badge(summary)


def test_a_table_that_is_finished_says_nothing_of_it(made):
    summary = summarise(*made)
    assert summary.so_far is None
    assert "finished" not in markdown.render(summary)
    assert json.loads(machine_readable.as_json(summary))["finished"] is True


def test_a_seed_that_is_missing_is_counted(made):
    table = gap(made[0], "imp", 0.5, "nll", seeds=(1,), value=math.nan, status="failed", reason="killed")
    summary = summarise(table, made[1])
    assert summary.cell("imp", 0.5, "nll").text.endswith("(2 of 3 seeds)")
    assert not any(m.matches for m in summary.headline[0].at(0.5) if m.score == "nll")


def test_without_dense_networks_there_is_no_verdict_and_still_a_page(made):
    summary = summarise(made[0][made[0]["method"] != "dense"], made[1])
    assert all(v.undecided for v in summary.headline)
    assert "The dense parent was not measured." in task_page.render(summary)


def test_one_seed_is_judged_by_its_images_and_the_rule_std_says_why_it_cannot(made_table):
    summary = summarise(*made_table(("imp",), seeds=1))
    assert summary.rule == "noninferior"
    assert all(v.scope == "network" and not v.undecided for v in summary.headline)
    assert "at least two seeds" in task_page.render(summary)


def test_degenerate_networks_pass_nothing_on_any_page(made):
    table = made[0].copy()
    rows = (table["method"] == "imp") & (table["sparsity"] == 0.5)
    table.loc[rows, ["status", "reason"]] = ["degenerate", "conv1 is empty"]
    summary = summarise(table, made[1])
    assert {m.finding for m in summary.headline[0].at(0.5)} == {"degenerate"}
    assert "conv1 is empty" in task_page.render(summary)
    assert "conv1 is empty" in network_page.Cards(summary).render("imp", 0.5)


@pytest.mark.long
def test_near_sparsities_and_names_that_differ_by_case_have_pages_of_their_own(tmp_path, made_table):
    methods = ("imp", "IMP", "a b", "a-b", "..", "con", "<script>", "ä", "x" * 300, "x" * 301)
    table, facts = made_table(methods, sparsities=(0.99991, 0.99992))
    written = report.write_several([(table, facts)], tmp_path)
    names = [str(p.relative_to(tmp_path)).lower() for p in written]
    assert len(names) == len(set(names)) == len(methods) * 2 + 1 + 5
    assert max(len(p.name) for p in written) < 100
    assert all(p.resolve().is_relative_to(tmp_path.resolve()) for p in written)


@pytest.mark.parametrize(
    ("score", "value"), [("accuracy", 1.7), ("accuracy", -0.1), ("nll", -1.0), ("mce", -0.5)]
)
def test_a_value_beyond_the_range_of_its_score_is_refused(made_table, score, value):
    table, facts = made_table(("imp",))
    row = table.index[(table["score"] == score) & (table["method"] == "imp")][0]
    table.loc[row, "value"] = value
    with pytest.raises(BadInput, match=f"{score} of imp at sparsity .* is {value:g}; it lies between"):
        validation.check(table, facts)


def test_a_table_of_another_task_than_its_facts_is_refused(made_table):
    table, facts = made_table(("imp",))
    with pytest.raises(BadInput, match="one was edited"):
        validation.check(table.assign(task="digits-r9"), facts)


def test_rounding_at_the_ends_of_a_range_is_no_fault(made_table):
    table, facts = made_table(("imp",))
    table.loc[table["score"] == "accuracy", "value"] = 1.0 + 1e-9
    validation.check(table, facts)
