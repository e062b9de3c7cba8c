"""One method beside another on the published tables: sentence, table and page."""

import json
import re
from pathlib import Path

import pytest

from lthbench.cli.options import summary_of
from lthbench.errors import BadInput
from lthbench.report import beside, network_page

BUNDLE = Path(__file__).parents[2] / "reports" / "entries" / "c10-r20s-standard-bf16-random-snip.zip"


@pytest.fixture(scope="module")
def trained(published):
    return published["c10-r20s-standard-bf16"]


def test_one_shot_pruning_beside_random_pruning_of_the_trained_resnet(trained):
    found = beside.account(trained, "omp", "random", 67.2)
    assert (found["against"], found["seeds"], found["paired"]) == ("random", 3, False)
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
    level = next(s for m, s in trained.networks if m == "random")
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
        ("omp", "imp", r"imp is not in this table at sparsity 0\.8926"),
    ],
)
def test_what_cannot_be_asked_is_refused(trained, method, other, said):
    with pytest.raises(BadInput, match=said):
        beside.account(trained, method, other, 0.893)


def test_a_bundle_is_read_without_the_other_methods():
    summary = summary_of(BUNDLE, None, "snip", "random")
    assert summary.methods == ("random", "snip")
    assert beside.account(summary, "snip", "random", 0.672)["said"].startswith(
        "Nothing tells snip from random: "
    )
