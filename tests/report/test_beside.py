"""One method beside another on the published tables: sentence, table and page."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from lthbench.cli.options import summary_of
from lthbench.errors import BadInput
from lthbench.report import beside, network_page
from lthbench.report.summary import summarise

BUNDLE = Path(__file__).parents[2] / "reports" / "entries" / "c10-r20s-standard-bf16-random-snip.zip"


@pytest.fixture(scope="module")
def trained(published):
    return published["c10-r20s-standard-bf16"]


def test_one_shot_pruning_beside_random_pruning_of_the_trained_resnet(trained):
    found = beside.account(trained, "omp", "random", 67.2)
    assert (found["against"], found["seeds"], found["looks"]) == ("random", 3, 1)
    assert found["said"].startswith(
        "omp is better than random in accuracy, mCE, OoD ROC-AUC, NLL and Hessian trace; "
    )
    assert re.search(r"; equivalent in \d of 13 scores, open in \d\.$", found["said"])
    accuracy = next(s for s in found["scores"] if s["score"] == "accuracy")
    assert (accuracy["mean"], accuracy["other"]) == pytest.approx((0.902, 0.883), abs=0.001)
    assert accuracy["gap"] == pytest.approx(accuracy["other"] - accuracy["mean"])
    assert accuracy["lower"] < accuracy["gap"] < accuracy["upper"] < 0.0
    back = beside.account(trained, "random", "omp", 0.672)["said"]
    assert back.startswith("random is worse than omp in accuracy, mCE, OoD ROC-AUC, NLL and Hessian trace; ")
    said = beside.text(found, 200)
    assert said.startswith(
        "omp beside random at 67.2 %, task c10-r20s, budget standard-bf16, 3 seeds\nomp is better"
    )
    line = next(line for line in said.splitlines() if line.startswith("accuracy, %"))
    assert line.split()[2:6] == ["88.3", "90.2", "-1.9", "-2.5"]
    assert line.split()[-1] == "better"
    assert max(map(len, beside.text(found, 80).splitlines())) <= 80
    json.dumps(found, allow_nan=False)


def test_what_nothing_tells_apart_says_so(trained):
    said = beside.account(trained, "imp", "omp", 0.672)["said"]
    assert re.fullmatch(r"Nothing tells imp from omp: equivalent in \d+ of 13 scores, open in \d+\.", said)


def test_the_page_of_a_network_has_a_line_for_each_other_method(trained):
    level = next(s for m, s in trained.networks if m == "random" and s > 0.6)
    rows = {r["other"]: r for r in beside.lines(trained, "omp", level)}
    assert {"imp", "random", "snip"} <= set(rows)
    assert rows["random"]["better"].startswith("accuracy, mCE")
    assert (rows["random"]["worse"], rows["imp"]["better"]) == ("", "")
    assert re.fullmatch(r"\+1\.9 \(\+1\.\d to \+2\.\d\)", rows["random"]["accuracy"])
    page = network_page.Cards(trained).render("omp", level)
    assert "Beside other methods at 67.2 %" in page
    assert page.index("Score by score") < page.index("Beside other methods") < page.index("Every score")
    assert "Beside other methods" not in network_page.Cards(trained).render("dense", 0.0)


@pytest.mark.parametrize(
    ("method", "other", "said"),
    [
        ("omp", "dense", "--against takes a method of this table: imp, omp, random, snip"),
        ("omp", "omp", "with itself"),
        ("omp", "rand", 'no method "rand". Did you mean random'),
    ],
)
def test_what_cannot_be_asked_is_refused(trained, method, other, said):
    with pytest.raises(BadInput, match=said):
        beside.account(trained, method, other, 0.893)


def test_a_method_that_is_not_there_at_a_sparsity_is_named(published):
    """The digits have 2:4 sparsity at 50 % alone."""
    with pytest.raises(BadInput, match=r"omp:nm is not in this table at sparsity 0\.893"):
        beside.account(published["digits-r8-quick"], "omp", "omp:nm", 0.893)


def test_rounds_of_pruning_beside_one_step_of_the_trained_resnet(trained):
    found = beside.account(trained, "imp", "omp", 0.893)
    assert found["said"].startswith(
        "imp is better than omp in accuracy, mCE, OoD ROC-AUC, NLL and Hessian trace; "
    )


def test_margins_of_shares_are_told_to_either_side(trained):
    said = beside.text(beside.account(trained, "omp", "random", 0.672), 200)
    rows = {line.split("  ")[0]: line for line in said.splitlines()}
    assert " ±1.0 " in rows["accuracy, %"]
    assert " -9.1 % to 10 % " in rows["NLL"]
    assert "each method's scatter informed by the calibration" in said
    mixed = beside.account(trained, "omp", "random", 0.672)
    mixed["scores"] = [{**s, "paired": s["score"] == "nll"} for s in mixed["scores"]]
    assert "(1 of 13 scores paired by seed, of the others each method's" in beside.text(mixed, 200)


def test_of_one_seed_sentence_and_page_say_that_it_is_of_single_networks():
    found = summary_of(BUNDLE.with_name("clothing10-r18.zip"), None)
    said = beside.account(found, "imp", "snip", 0.488)["said"]
    assert said.startswith("imp, this one network of it, is better than snip in ")
    (level,) = found.sparsities
    page = network_page.Cards(found).render("imp", level)
    assert "With one seed this is of single networks, and says nothing of others." in page


def test_networks_at_two_sparsities_that_look_alike_are_not_compared(trained):
    """Both stand at 67.2 %."""
    table = trained.table.copy()
    table.loc[(table["method"] == "snip") & table["sparsity"].between(0.6, 0.7), "sparsity"] = 0.672
    summary = summarise(table, trained.facts)
    with pytest.raises(BadInput, match=r"snip is at sparsity 0\.672 and random at 0\.67232"):
        beside.account(summary, "snip", "random", 0.672)


def test_a_bundle_is_read_without_the_other_methods():
    summary = summary_of(BUNDLE, None, "snip", "random")
    assert summary.methods == ("random", "snip")
    assert beside.account(summary, "snip", "random", 0.672)["said"].startswith(
        "Nothing tells snip from random: "
    )


def test_networks_of_the_same_steps_are_said_to_be_the_same(trained):
    """As one-shot pruning is the first round of iterative pruning."""
    table = trained.table
    level = next(s for m, s in trained.networks if m == "omp" and s > 0.6)
    again = table[(table["method"] == "omp") & (table["sparsity"] == level)].assign(method="first")
    summary = summarise(pd.concat([table, again], ignore_index=True), trained.facts)
    found = beside.account(summary, "first", "omp", level)
    assert found["said"] == "first and omp are the same networks, seed by seed: nothing is to be compared."
    assert {s["finding"] for s in found["scores"]} == {"same"}
    assert {(s["gap"], s["p"]) for s in found["scores"]} == {(0.0, None)}
    said = beside.text(found, 200)
    assert "Hommel" not in said
    (line,) = (line for line in said.splitlines() if line.startswith("accuracy, %"))
    assert line.split()[2:] == ["90.2", "90.2", "0.0", "0.0", "0.0", "–", "same"]
    rows = {r["other"]: r for r in beside.lines(summary, "first", level)}
    assert [rows[m]["same"] for m in ("omp", "random")] == [True, False]
    page = network_page.Cards(summary).render("first", level)
    assert '<th scope="row">omp</th><td colspan="5">the same networks</td></tr>' in page
