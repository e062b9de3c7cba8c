"""The argument behind a verdict: all its numbers, in words that fit them."""

import dataclasses
import json
import math
import re

import pandas as pd
import pytest

from lthbench.errors import BadInput
from lthbench.report import network_page
from lthbench.report.explanation import account, only, record, text
from lthbench.report.summary import summarise
from lthbench.results import run_facts, score_order, table

METRICS = ("accuracy", "nll", "mce")
DENSE = {"accuracy": (0.90, 0.91, 0.92), "nll": (0.30, 0.31, 0.32), "mce": (1.0, 1.0, 1.0)}


def rows(method, sparsity, score, values, error=0.001, status="ok", reason=""):
    facts = next(s for s in score_order.scores(METRICS) if s.name == score)
    for seed, value in enumerate(values):
        yield {
            **dict.fromkeys(table.COLUMNS, ""),
            "task": "made",
            "budget": "quick",
            "method": method,
            "sparsity": sparsity,
            "seed": seed,
            "score": score,
            "value": value,
            "se": 0.01,
            "diff_se": math.nan if method == "dense" else error,
            "mean_diff_se": math.nan if method == "dense" else error,
            "n": 100,
            "unit": facts.unit,
            "direction": "higher" if facts.higher_is_better else "lower",
            "group": facts.group,
            "status": status,
            "reason": reason,
            "forwards": 1,
        }


@pytest.fixture
def build(made_table):
    """A summary of a network whose scores are worse by so much, in each of three seeds."""

    def made(accuracy=(0.001, 0.002, 0.001), nll=(0.0, 0.001, 0.0), rule="noninferior", **nll_facts):
        found = [r for score, values in DENSE.items() for r in rows("dense", 0.0, score, values)]
        found += rows(
            "m", 0.79028, "accuracy", [d - g for d, g in zip(DENSE["accuracy"], accuracy, strict=True)]
        )
        found += rows(
            "m", 0.79028, "nll", [d + g for d, g in zip(DENSE["nll"], nll, strict=True)], **nll_facts
        )
        frame = pd.DataFrame(found, columns=list(table.COLUMNS)).astype(table.COLUMNS)
        metrics = ("accuracy", "nll")
        facts = dataclasses.replace(
            made_table(("m",))[1],
            aspects=tuple(score_order.aspects(metrics)),
            scores=run_facts.score_facts(metrics),
        )
        return summarise(frame, facts, rule)

    return made


@pytest.mark.parametrize("sparsity", [0.79, 0.79028, 79.0, 79.03])
def test_a_network_that_passes_says_so_with_its_numbers(build, sparsity):
    found = account(build(), "m", sparsity)
    assert (found["passes"], found["why"], found["region"], found["seeds"]) == (True, "", "I", 3)
    accuracy = found["scores"][0]
    assert accuracy["margin_reason"].startswith("one percentage point")
    assert accuracy["shortfall"] == pytest.approx(0.004 / 3)
    assert accuracy["shortfall"] < accuracy["bound"] < accuracy["allowed"] == 0.01
    said = text(found)
    assert said.startswith("m at 79.0 %, task made, budget quick, 3 seeds\nLTH-PASS: ")
    assert "LTH-PASS: as good as dense on all 2 scores.\n" in said
    assert "By the rule noninferior it passes." in said
    assert "By the rule paper it does not pass: it is worse in NLL." in said
    line = next(s for s in said.splitlines() if s.startswith("accuracy, %"))
    assert line.split()[2:8] == ["91.0", "90.9", "0.1", "0.0", "0.3", "1.0"]
    assert line.endswith("matches")
    json.dumps(found, allow_nan=False)


def test_what_is_worse_and_what_is_open_are_told_apart(build):
    found = account(build(accuracy=(0.03, 0.031, 0.03), nll=(-0.05, 0.06, 0.01)), "m", 0.79)
    assert [s["finding"] for s in found["scores"]] == ["worse", "open"]
    assert found["why"].startswith("it is worse in accuracy; NLL is open (")
    assert found["region"] == "II"
    said = text(found)
    assert "more than one percentage point below the dense parents" in " ".join(said.split())
    assert "Not LTH-PASS: accuracy is 3.0 points lower; 1 of 2 scores is open.\n" in said
    assert "m is shown to be as good as dense at no sparsity of this table. What breaks first: accuracy" in (
        " ".join(said.split())
    )
    assert "seeds might" in " ".join(text(found, 200).split())


def test_a_score_that_failed_keeps_its_reason(build):
    found = account(build(nll=(math.nan,) * 3, status="failed", reason="out of memory"), "m", 0.79)
    assert found["passes"] is False
    assert found["why"] == "it failed: out of memory"
    assert "failed: out of memory" in text(found)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_a_number_that_json_has_none_for_is_null(build, value):
    summary = build()
    match = next(m for v in summary.verdicts[summary.rule] for m in v.matches if m.score == "nll")
    found = record(summary, dataclasses.replace(match, bound=value))
    assert found["bound"] is None
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("rule", ["std", "paper"])
def test_other_rules_have_no_p_values(build, rule):
    found = account(build(rule=rule), "m", 0.79)
    assert set(found["other_rules"]) == {"noninferior", "std", "paper"} - {rule}
    assert found["scores"][0]["p"] is None
    assert "Margins:" not in text(found)


def test_what_is_not_in_the_table_is_refused(build):
    with pytest.raises(BadInput, match='no method "n"'):
        account(build(), "n", 0.79)
    with pytest.raises(BadInput, match=r"m is not in this table at sparsity 0\.5; it is at 0\.7903\."):
        account(build(), "m", 0.5)


def test_dense_has_no_verdict_of_its_own_and_a_network_from_which_nothing_was_removed_says_so(build):
    with pytest.raises(BadInput, match=r"dense is what the others are compared with.*this table: m\."):
        account(build(), "dense", 0.0)
    found = account(build(), "m", 0.79)
    assert "Nothing was removed" not in text(found)
    assert "Nothing was removed from m: two dense networks are compared." in text(found | {"sparsity": 0.0})


def test_the_verdict_on_one_method_rests_on_no_other(made_table):
    scores, facts = made_table(("imp", "omp", "snip"), seeds=2)
    whole = summarise(scores, facts)
    for method in ("imp", "omp", "snip"):
        assert account(summarise(only(scores, method), facts), method, 0.9) == account(whole, method, 0.9)
    assert only(scores, "imq") is scores


def regions(made):
    """What is said of the region in the shell, and on the page of the network."""
    said = text(account(made, "m", 0.79), 200), network_page.Cards(made).render("m", 0.79028)
    return [re.findall(r"Region [^<\n]*", one) for one in said]


def test_a_region_is_told_by_accuracy_at_this_sparsity(build):
    end = "the dense parents of these seeds."
    assert regions(build()) == [[f"Region I: accuracy is within one percentage point of {end}"]] * 2
    made = build(accuracy=(0.03, 0.031, 0.03))
    better_later = tuple(dataclasses.replace(v, region=0.9) for v in made.headline)
    made = dataclasses.replace(made, verdicts={**made.verdicts, made.rule: better_later})
    assert regions(made) == [[f"Region II: accuracy is more than one percentage point below {end}"]] * 2


def test_without_accuracy_no_region_is_told_and_the_verdict_ends_in_a_full_stop(build):
    whole = build()
    asked = tuple(aspect for aspect in whole.facts.aspects if aspect.score != "accuracy")
    task = {**whole.facts.task, "data": {"dataset": "digits"}}
    facts = dataclasses.replace(whole.facts, task=task, aspects=asked)
    left = summarise(whole.table[whole.table["score"] != "accuracy"], facts)
    assert account(left, "m", 0.79)["region"] is None
    assert regions(left) == [[], []]
    (lead,) = re.findall(r'<p class="lead">(.*?)</p>', network_page.Cards(left).render("m", 0.79028))
    assert re.fullmatch(r'<b class="pass">As good as dense on NLL, of \d+ for LTH-PASS\.</b>', lead), lead


@pytest.mark.parametrize("finding", ["worse", "gated", "degenerate", "failed"])
def test_one_score_that_does_not_hold_is_enough_not_to_pass(build, finding):
    """Also where another cannot be compared: pages said "Not LTH-PASS" and "cannot be judged"."""
    made = build()
    (result,) = made.headline
    nll, accuracy = (
        dataclasses.replace(m, matches=m.score == "accuracy" and None, finding=f)
        for m, f in zip(result.matches[::-1], (finding, "undecided"), strict=True)
    )
    judged = dataclasses.replace(result, matches=(accuracy, nll))
    made = dataclasses.replace(made, verdicts={**made.verdicts, made.rule: (judged,)})
    found = account(made, "m", 0.79)
    assert found["passes"] is False
    assert found["said"].startswith("Not LTH-PASS")
    undecided = dataclasses.replace(judged, matches=(accuracy,))
    made = dataclasses.replace(made, verdicts={**made.verdicts, made.rule: (undecided,)})
    assert account(made, "m", 0.79)["passes"] is None


def test_the_seeds_are_those_of_the_network_where_others_have_more(build):
    made = build()
    more = dataclasses.replace(made, facts=dataclasses.replace(made.facts, seeds=tuple(range(10))))
    assert account(more, "m", 0.79)["seeds"] == 3
