"""Claims held to tables made by hand: they agree and differ where they should, and else say nothing."""

import dataclasses
import math
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from scipy import stats

from lthbench.planning import task
from lthbench.report.cells import Cell, Shown
from lthbench.report.claims import any_task, base, interpretability, lth_pass, relations
from lthbench.report.claims.base import NOT_MEASURED, difference, estimate, near
from lthbench.report.claims.interpretability import SCORES
from lthbench.report.summary import Summary
from lthbench.verdict.rules import Match, Verdict

LEVELS = tuple(round(1 - 0.8**n, 12) for n in range(1, 20))


def summary(
    values, methods=("imp",), verdict=None, name="made", nulls=(), spread=0.0005, seeds=3, headline=()
):
    """A summary of cells: ``values`` by (method, sparsity, score), ``nulls`` (score, variant, value).

    A null may have its method and sparsity behind it; else it is of the dense network. ``headline`` are
    verdicts of the rule that heads the report.
    """
    rows = [
        (*(null[3:] or ("dense", 0.0)), seed, null[0], null[1], null[2] + step * spread)
        for null in nulls
        for seed, step in enumerate((-1.0, 0.0, 1.0)[:seeds])
    ]
    columns = ["method", "sparsity", "seed", "score", "variant", "value"]
    table = pd.DataFrame(rows, columns=columns).astype({"value": float})
    cells = {
        key: Cell(value, spread if seeds > 1 else math.nan, seeds, "ok", "", "")
        for key, value in values.items()
    }
    levels = tuple(sorted({s for _, s, _ in values} - {0.0}))
    found: dict[str, tuple[Verdict, ...]] = {"paper": (verdict,) if verdict else ()}
    sure = headline or ((as_sure(verdict),) if verdict else ())
    scores = tuple(
        Shown(s, s, "fraction", True, "generalization", True) for s in dict.fromkeys(k[2] for k in values)
    )
    facts: Any = SimpleNamespace(task_name=name)
    rule = "noninferior" if headline else "paper"
    made = Summary(facts, table, scores, methods, levels, cells, rule, found | {"noninferior": sure})
    made.__dict__["lacking"] = ()
    return made


def extremes(found, levels=LEVELS, undecided=""):
    """A verdict by the paper's rule, given the extreme of each score."""
    known = [e for e in found.values() if e is not None]
    least = min(known) if len(known) == len(found) else None
    binding = tuple(s for s, e in found.items() if e == least)
    return Verdict(
        "imp", "paper", levels, found, least, binding, least, (), True, least, undecided, matches=()
    )


def as_sure(verdict, beyond="worse"):
    """The verdict of the headline rule that shows each score to match up to its extreme, and then this."""
    found = {
        score: ["matches" if extreme is not None and s <= extreme else beyond for s in verdict.sparsities]
        for score, extreme in verdict.extremes.items()
    }
    return judged(found, verdict.sparsities)


def judged(findings, levels=(0.5, 0.8, 0.9)):
    """A verdict on tickets by the headline rule: at each level the finding of each score."""
    matches = tuple(
        Match("imp", s, score, "noninferior", 0, 0, 0, 0, row[k] in ("matches", "better"), "", row[k])
        for score, row in findings.items()
        for k, s in enumerate(levels)
    )
    return Verdict("imp", "noninferior", levels, {}, None, (), None, (), True, None, "", matches)


def of(text):
    """The only claim whose sentence has this in it."""
    (claim,) = (c for c in any_task.every() if text in c.text)
    return claim


def series(name, dense, means, method="imp"):
    """A score of the dense networks and of a method, by sparsity."""
    return {("dense", 0.0, SCORES[name]): dense} | {
        (method, s, SCORES[name]): mean for s, mean in means.items()
    }


# --------------------------------------------------------------------------------------------- all of them


def test_every_claim_has_a_sentence_a_source_and_tasks_that_there_are():
    for claim in any_task.every():
        assert claim.text.endswith(".")
        assert claim.source
        assert set(claim.tasks) <= set(task.names())
    assert len({c.text for c in any_task.every()}) == len(any_task.every()) >= 58


def test_nothing_is_said_of_what_is_not_measured():
    empty = summary({("dense", 0.0, "other"): 1.0, ("imp", 0.2, "other"): 1.0})
    for claim in any_task.every():
        assert claim.check(empty) == NOT_MEASURED, claim.text


def test_each_claim_that_is_no_published_number_is_held_to_tables_here():
    """By a part of its sentence, which is in this file."""
    parts = re.findall(r'"([^"\n]+ [^"\n]+)"', Path(__file__).read_text(encoding="utf-8"))
    there = [[c.text for c in any_task.every() if part in c.text] for part in parts]
    held = {texts[0] for texts in there if len(texts) == 1}
    claims = any_task.CLAIMS + relations.CLAIMS + interpretability.CLAIMS
    assert [c.text for c in claims if c.text not in held] == []


def test_a_table_is_held_to_claims_of_its_own_task_and_of_any():
    texts = {c["claim"] for c in any_task.held(summary({("imp", 0.2, "other"): 1.0}, name="c10-vgg11"))}
    assert any("CIFAR-10 with VGG-11" in t for t in texts)
    assert not any("CIFAR-100 with VGG-11" in t for t in texts)
    others = {c.text for c in any_task.elsewhere({"c10-vgg11"})}
    assert any("CIFAR-100 with VGG-11" in t for t in others)
    assert not texts & others


# ------------------------------------------------------------------------------------------------ numbers

VGG = lth_pass._VGG[0][2]


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({}, "agrees"),
        ({"mce": 0.9560}, "agrees"),  # a round less
        ({"mce": 0.9450}, "differs"),  # two rounds less
        ({"mce": None}, "differs"),
    ],
)
def test_published_extremes_score_by_score(changed, finding):
    found = summary({("imp", 0.9, "accuracy"): 1.0}, verdict=extremes(VGG | changed))
    assert of("CIFAR-10 with VGG-11, score by score").check(found)[1] == finding


def test_the_published_lth_pass_is_the_smallest_extreme():
    shown, finding = of("CIFAR-10 with VGG-11, tickets match dense on everything").check(
        summary({("imp", 0.9, "accuracy"): 1.0}, verdict=extremes(VGG))
    )
    assert (shown, finding) == ("96.5 %, held back by mce", "agrees")


NEVER = dict.fromkeys(("accuracy", "mce", "fgsm_accuracy", "ood_auroc"), 0.8658) | {"fgsm_accuracy": None}


@pytest.mark.parametrize(
    ("findings", "finding", "shown"),
    [
        ("open open", "cannot say", "open at 67.2 % and 89.3 %"),
        ("open worse", "cannot say", "open at 67.2 %, worse at 89.3 %"),  # worse beyond what was published
        ("worse worse", "differs", "worse at 67.2 % and 89.3 %"),
    ],
)
def test_a_score_that_never_matches_differs_only_where_it_is_shown_to_be_worse(findings, finding, shown):
    levels = (LEVELS[4], LEVELS[9])
    sure = judged({"fgsm_accuracy": findings.split()}, levels)
    found = summary({("imp", 0.2, "accuracy"): 1.0}, verdict=extremes(NEVER, levels), headline=(sure,))
    claim = of("CIFAR-10 with ResNet-20s, tickets match dense in accuracy")
    said, told = claim.check(found)
    assert told == finding
    assert f"fgsm_accuracy at no sparsity by the paper's rule ({shown})" in said


def test_raw_linear_scores_that_never_match_may_do_so_below_the_lowest_sparsity_measured():
    levels = (LEVELS[4], LEVELS[9])
    values = {("imp", s, score): 1.1 for s in levels for score in lth_pass.LINEAR}
    values |= {("dense", 0.0, score): 1.0 for score in lth_pass.LINEAR}
    found = summary(values, verdict=extremes({"accuracy": 0.9}, levels))
    said, told = of("CIFAR-10 with ResNet-20s, tickets match dense in raw LIME").check(found)
    assert told == "cannot say"
    assert said.startswith("lime_fidelity at no sparsity by the paper's rule (worse at 67.2 % and 89.3 %)")


def test_winning_tickets_name_the_rule_and_say_what_the_papers_rule_does():
    found = summary({("imp", 0.5, "accuracy"): 1.0}, verdict=extremes({"accuracy": None}, (0.5, 0.8, 0.9)))
    found = dataclasses.replace(found, rule="noninferior")
    found.__dict__["lacking"] = ()
    found.verdicts["noninferior"] = (judged({"accuracy": ALL}),)
    said = "up to 90.0 % by the rule noninferior; by the paper's rule at no sparsity"
    assert of("Winning tickets that match").check(found) == (said, "agrees")
    found.__dict__["lacking"] = ("NLL", "mCE")
    assert of("Winning tickets that match").check(found) == (f"{said}, on 1 of 3 scores", "cannot say")


@pytest.mark.parametrize(("levels", "finding"), [((0.5, 0.8), "differs"), ((0.95, 0.98), "cannot say")])
def test_extreme_sparsities_alone_do_not_tell_that_there_are_no_tickets(levels, finding):
    found = summary({}, headline=(judged({"accuracy": ("worse", "worse")}, levels),))
    assert of("Winning tickets that match").check(found)[1] == finding


@pytest.mark.parametrize(
    ("omp", "filters", "finding"),
    [
        ({0.5: "matches", 0.8: "matches"}, {0.5: "matches", 0.8: "worse"}, "agrees"),
        ({0.5: "matches", 0.8: "worse"}, {0.5: "matches", 0.8: "matches"}, "differs"),
        ({0.5: "matches", 0.95: "worse"}, {0.5: "matches", 0.95: "worse"}, "cannot say"),  # they end together
        ({0.95: "worse"}, {0.95: "worse"}, "cannot say"),
        ({0.5: "matches", 0.8: "worse"}, {0.5: "matches", 0.6: "worse"}, "cannot say"),
        ({0.5: "worse"}, {0.98: "open"}, "cannot say"),
        ({0.2: "matches", 0.36: "matches"}, {0.2: "matches", 0.95: "worse"}, "cannot say"),
    ],
)
def test_one_goes_further_where_it_holds_and_the_other_is_worse(omp, filters, finding):
    found = [
        dataclasses.replace(judged({"accuracy": tuple(row.values())}, tuple(row)), method=method)
        for method, row in (("omp", omp), ("filter", filters))
    ]
    assert of("Single weights can be pruned").check(summary({}, headline=tuple(found)))[1] == finding


def test_a_table_that_ends_early_does_not_show_that_something_holds_up_to_a_sparsity():
    accuracy = {(m, s, "accuracy"): 0.9 for m in ("imp", "omp") for s in (0.2, 0.36, 0.488)}
    for levels, finding in (((0.2, 0.36, 0.488), "agrees"), ((0.2, 0.36), "agrees"), ((0.2,), "cannot say")):
        known = {k: v for k, v in accuracy.items() if k[1] in levels}
        assert of("One-shot magnitude pruning").check(summary(known, ("imp", "omp")))[1] == finding
    for last, finding in ((0.832, "agrees"), (0.79, "agrees"), (0.59, "cannot say")):
        units = series("units", 100, {0.2: 99, last: 99})
        assert of("as many as in the dense network").check(summary(units))[1] == finding


def test_networks_that_collapsed_are_no_evidence():
    values = series("fidelity", 2.0, {0.5: 2.0, 0.8: 2.0}) | series(
        "fidelity", 2.0, {0.5: 0.5, 0.8: 0.5}, "random"
    )
    found = summary(values, ("imp", "random"))
    assert of("more faithful to linear").check(found)[1] == "agrees"
    constant = {"status": "degenerate", "reason": "constant output"}
    cells = {k: dataclasses.replace(c, **constant) if k[0] == "random" else c for k, c in found.cells.items()}
    assert of("more faithful to linear").check(dataclasses.replace(found, cells=cells)) == NOT_MEASURED


def test_a_claim_of_one_network_is_held_to_tables_of_it_alone_and_has_a_minus_sign():
    claim = of("better calibrated than tickets")
    assert claim.tasks == ("c10-r20s", "c100-r20s")
    falling = summary(series("agreement", 1, {0.2: 0.9, 0.5: 0.8, 0.8: 0.6, 0.9: 0.3}))
    assert (
        "−0.077 for each 10 points of sparsity, over 4 sparsities"
        in of("drifts from the dense network").held(falling)["shown"]
    )


@pytest.mark.parametrize(
    ("low", "high", "last", "finding"),
    [
        (0.8322, 0.8658, 0.9856, "agrees"),
        (0.7903, 0.8926, 0.9856, "agrees"),
        (0.5904, 0.8658, 0.9856, "differs"),
        (0.5904, 0.5904, 0.5904, "not measured"),  # the table ends there
        (0.2, 0.5904, 0.5904, "differs"),
    ],
)
def test_ranges_of_extremes(low, high, last, finding):
    known = dict(zip(lth_pass.GENERALIZATION, (high, low, high, high), strict=True))
    levels = tuple(s for s in LEVELS if s <= last + 1e-9)
    levels = (*(s for s in levels if abs(s - last) > 1e-3), last)
    found = summary({("imp", 0.2, "accuracy"): 1.0}, verdict=extremes(known, levels))
    claim = of("CIFAR-10 with ResNet-20s, tickets match dense in accuracy")
    assert claim.check(found)[1] == finding


def test_networks_without_an_interpretable_unit_say_nothing_of_how_many_there_are():
    found = summary(series("units", 0, {0.5: 0, 0.83: 0}))
    for text in ("never adds interpretable units", "as many as in the dense network"):
        assert of(text).check(found) == NOT_MEASURED


def test_one_round_is_near_and_two_are_not():
    assert near(0.8, 0.8)
    assert near(1 - 0.8**5, 1 - 0.8**6)
    assert not near(1 - 0.8**5, 1 - 0.8**7)


def test_the_published_lth_pass_asks_for_nine_scores_and_no_others():
    linear = {("dense", 0.0, s): 1.0 for s in lth_pass.LINEAR}
    linear |= {("imp", level, s): 0.9 for s in lth_pass.LINEAR for level in LEVELS}
    nine = {s: e for s, e in VGG.items() if s not in lth_pass.LINEAR}
    claim = of("CIFAR-10 with VGG-11, tickets match dense on everything")
    assert claim.check(summary(linear, verdict=extremes(nine)))[1] == "agrees"
    # A score that the paper does not ask for holds nothing back.
    assert claim.check(summary(linear, verdict=extremes(nine | {"ig_road_gap": None})))[1] == "agrees"
    worse = {k: (1.1 if k[0] == "imp" and k[1] > 0.9 else v) for k, v in linear.items()}
    shown, finding = claim.check(summary(worse, verdict=extremes(nine)))
    assert (shown.partition(",")[0], finding) == ("89.3 %", "differs")


def test_an_lth_pass_of_fewer_than_nine_scores_may_only_fall_short():
    some = {("imp", 0.9, "accuracy"): 1.0}
    claim = of("CIFAR-10 with VGG-11, tickets match dense on everything")
    shown, finding = claim.check(summary(some, verdict=extremes({"accuracy": 0.9648, "mce": 0.9648})))
    assert finding == "not measured"
    assert "not measured: fgsm_accuracy" in shown
    assert claim.check(summary(some, verdict=extremes({"accuracy": 0.5904, "mce": 0.9648})))[1] == "differs"


@pytest.mark.parametrize(
    ("extreme", "last", "finding"),
    [(0.5904, 0.9856, "agrees"), (None, 0.9856, "differs"), (0.2, 0.9856, "agrees")],
)
def test_spreads_of_extremes(extreme, last, finding):
    found = summary({("imp", 0.2, "accuracy"): 1.0}, verdict=extremes({"hessian_trace": extreme}))
    assert of("CIFAR-10 with ResNet-18, tickets match dense in the Hessian").check(found)[1] == finding


def test_a_table_that_ends_below_a_spread_says_nothing():
    claim = of("ImageNet with ResNet-50, tickets match dense in the Hessian")
    verdict = extremes({"hessian_trace": 0.2}, (0.2,))
    assert claim.check(summary({("imp", 0.2, "accuracy"): 1.0}, verdict=verdict))[1] == "not measured"


# ------------------------------------------------------------------------------------------------ relations

ALL = ("matches", "matches", "matches")
BREAKS = ("matches", "worse", "worse")


@pytest.mark.parametrize(
    ("mce", "others", "finding"),
    [
        (BREAKS, ALL, "agrees"),
        (ALL, BREAKS, "differs"),
        (BREAKS, BREAKS, "cannot say"),
        (("matches", "open", "open"), ALL, "cannot say"),
        (("better", "worse", "matches"), ("matches", "matches", "worse"), "cannot say"),  # each breaks once
    ],
)
def test_a_score_breaks_first_where_it_is_worse_and_all_others_still_match(mce, others, finding):
    found = {"accuracy": ALL, "fgsm_accuracy": others, "ood_auroc": ALL, "mce": mce}
    table = summary({("imp", 0.5, "accuracy"): 1.0}, headline=(judged(found),))
    shown, told = of("mCE is the first to break").check(table)
    assert told == finding
    assert "nowhere" not in shown
    without = {k: v for k, v in found.items() if k != "ood_auroc"}
    table = summary({("imp", 0.5, "accuracy"): 1.0}, headline=(judged(without),))
    assert of("mCE is the first to break").check(table) == NOT_MEASURED


@pytest.mark.parametrize(
    ("uncertainty", "accuracy", "finding"), [(BREAKS, ALL, "agrees"), (ALL, BREAKS, "differs")]
)
def test_uncertainty_breaks_before_generalization(uncertainty, accuracy, finding):
    generalization = dict.fromkeys(("fgsm_accuracy", "ood_auroc", "mce"), ALL)
    found = generalization | {"accuracy": accuracy, "ece": uncertainty, "nll": ALL}
    table = summary({("imp", 0.5, "accuracy"): 1.0}, headline=(judged(found),))
    assert of("Uncertainty (ECE, NLL) breaks before").check(table)[1] == finding


def test_where_a_score_holds_nowhere_open_is_told_from_worse():
    found = dict.fromkeys(("accuracy", "fgsm_accuracy", "ood_auroc"), ALL) | {
        "mce": ("open", "worse", "worse")
    }
    table = summary({("imp", 0.5, "accuracy"): 1.0}, headline=(judged(found),))
    shown, _ = of("mCE is the first to break").check(table)
    assert shown.startswith("mce open at 50.0 %, worse at 80.0 % and 90.0 %, accuracy holds to 90.0 %")


@pytest.mark.parametrize(
    ("accuracy", "mce", "finding"),
    [
        (ALL, BREAKS, "agrees"),
        (BREAKS, BREAKS, "cannot say"),  # together: nothing tells which is first
        (BREAKS, ALL, "differs"),
        (ALL, ALL, "cannot say"),  # nothing ends within what was measured
        (ALL, ("matches", "open", "open"), "cannot say"),
        (("matches", "open", "worse"), BREAKS, "cannot say"),
    ],
)
def test_accuracy_alone_holds_further_where_another_score_is_worse_first(accuracy, mce, finding):
    table = summary({("imp", 0.5, "accuracy"): 1.0}, headline=(judged({"accuracy": accuracy, "mce": mce}),))
    assert of("Accuracy alone holds further").check(table)[1] == finding


@pytest.mark.parametrize(
    ("text", "agreeing", "differing"),
    [
        (
            "One-shot magnitude",
            {("imp", s, "accuracy"): 0.9 for s in (0.2, 0.36, 0.488)}
            | {("omp", s, "accuracy"): 0.895 for s in (0.2, 0.36, 0.488)},
            {("imp", s, "accuracy"): 0.9 for s in (0.2, 0.36, 0.488)}
            | {("omp", s, "accuracy"): 0.87 for s in (0.2, 0.36, 0.488)},
        ),
        (
            "no better than random",
            {("random", 0.2, "accuracy"): 0.9, ("snip", 0.2, "accuracy"): 0.895},
            {("random", 0.2, "accuracy"): 0.9, ("snip", 0.2, "accuracy"): 0.92},
        ),
        (
            "better calibrated than tickets",
            {("imp", 0.7, "ece"): 0.05, ("snip", 0.7, "ece"): 0.02},
            {("imp", 0.7, "ece"): 0.02, ("snip", 0.7, "ece"): 0.05},
        ),
        (
            "Removing 80 % of the connections",
            {("dense", 0.0, "accuracy"): 0.9, ("connection", 0.8, "accuracy"): 0.895},
            {("dense", 0.0, "accuracy"): 0.9, ("connection", 0.8, "accuracy"): 0.85},
        ),
        (
            "small dense network is worse",
            {("imp", 0.5, "accuracy"): 0.9, ("small", 0.5, "accuracy"): 0.8},
            {("imp", 0.5, "accuracy"): 0.8, ("small", 0.5, "accuracy"): 0.9},
        ),
        (
            "sharper minima",
            {("dense", 0.0, "hessian_trace"): 5.0, ("rigl", 0.79, "hessian_trace"): 6.0},
            {("dense", 0.0, "hessian_trace"): 5.0, ("rigl", 0.79, "hessian_trace"): 4.0},
        ),
        (
            "in several steps",
            {("finetune:iterative", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("finetune", s, "accuracy"): 0.9 for s in (0.5, 0.8)},
            {("finetune:iterative", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("finetune", 0.5, "accuracy"): 0.9, ("finetune", 0.8, "accuracy"): 0.95},
        ),
        (
            "than its mask with other initial",
            {("imp", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("imp:reinit", s, "accuracy"): 0.88 for s in (0.5, 0.8)},
            {("imp", s, "accuracy"): 0.88 for s in (0.5, 0.8)}
            | {("imp:reinit", s, "accuracy"): 0.9 for s in (0.5, 0.8)},
        ),
        (
            "A mask of a trained network",
            {("omp", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("omp:shuffled", s, "accuracy"): 0.88 for s in (0.5, 0.8)},
            {("omp", s, "accuracy"): 0.88 for s in (0.5, 0.8)}
            | {("omp:shuffled", s, "accuracy"): 0.9 for s in (0.5, 0.8)},
        ),
        (
            "no more accurate than as many",
            {("snip", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("snip:shuffled", s, "accuracy"): 0.895 for s in (0.5, 0.8)},
            {("snip", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("snip:shuffled", s, "accuracy"): 0.87 for s in (0.5, 0.8)},
        ),
        (
            "no less accurate with other",
            {("snip", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("snip:reinit", s, "accuracy"): 0.895 for s in (0.5, 0.8)},
            {("snip", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("snip:reinit", s, "accuracy"): 0.87 for s in (0.5, 0.8)},
        ),
        (
            "less accurate than magnitude",
            {("omp", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("snip", s, "accuracy"): 0.89 for s in (0.5, 0.8)},
            {("omp", s, "accuracy"): 0.88 for s in (0.5, 0.8)}
            | {("snip", s, "accuracy"): 0.9 for s in (0.5, 0.8)},
        ),
        (
            "more accurate than random",
            {("snip", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("random", s, "accuracy"): 0.89 for s in (0.5, 0.8)},
            {("snip", s, "accuracy"): 0.88 for s in (0.5, 0.8)}
            | {("random", s, "accuracy"): 0.9 for s in (0.5, 0.8)},
        ),
        (
            "Rewinding the learning rate",
            {("lrr", s, "accuracy"): 0.895 for s in (0.5, 0.8)}
            | {("imp", s, "accuracy"): 0.9 for s in (0.5, 0.8)},
            {("lrr", s, "accuracy"): 0.87 for s in (0.5, 0.8)}
            | {("imp", s, "accuracy"): 0.9 for s in (0.5, 0.8)},
        ),
        (
            "more accurate than fine-tuning",
            {("imp", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
            | {("finetune", s, "accuracy"): 0.89 for s in (0.5, 0.8)},
            {("imp", s, "accuracy"): 0.88 for s in (0.5, 0.8)}
            | {("finetune", s, "accuracy"): 0.9 for s in (0.5, 0.8)},
        ),
        (
            "fall at the same sparsity",
            series("units", 100, {0.36: 99, 0.488: 95, 0.59: 80})
            | {("dense", 0.0, "accuracy"): 0.9}
            | {("imp", s, "accuracy"): a for s, a in ((0.36, 0.9), (0.488, 0.9), (0.59, 0.8))},
            series("units", 100, {0.36: 80, 0.488: 70, 0.59: 60})
            | {("dense", 0.0, "accuracy"): 0.9}
            | {("imp", s, "accuracy"): a for s, a in ((0.36, 0.9), (0.488, 0.9), (0.59, 0.8))},
        ),
        (
            "lose their coherence",
            series("coherence", 0.5, {0.2: 0.5, 0.4: 0.4, 0.6: 0.3, 0.8: 0.2}),
            series("coherence", 0.5, {0.2: 0.5, 0.4: 0.6, 0.6: 0.7, 0.8: 0.8}),
        ),
        (
            "matter most to a bottleneck",
            series("bottleneck", 1.0, {0.2: 0.9, 0.4: 0.8, 0.6: 0.7, 0.8: 0.2}),
            series("bottleneck", 1.0, {0.2: 0.5, 0.4: 0.6, 0.6: 0.7, 0.8: 0.8}),
        ),
    ],
)
def test_claims_that_compare_agree_and_differ(text, agreeing, differing):
    claim = of(text)
    for values, finding in ((agreeing, "agrees"), (differing, "differs")):
        methods = tuple(dict.fromkeys(k[0] for k in values if k[0] != "dense"))
        assert claim.check(summary(values, methods))[1] == finding
    if "coherence" not in text and "bottleneck" not in text:
        methods = tuple(dict.fromkeys(k[0] for k in agreeing if k[0] != "dense"))
        assert claim.check(summary(agreeing, methods, spread=50.0))[1] == "cannot say"


def test_more_data_of_other_methods_does_not_undo_a_claim():
    """The lowest sparsity of a table may be one at which what a claim is about was not measured."""
    values = {("random", 0.2, "accuracy"): 0.9, ("snip", 0.2, "accuracy"): 0.895}
    values |= {("grasp", 0.2, "accuracy"): 0.895}
    more = {("omp", 0.1, "accuracy"): 0.9, ("random", 0.1, "accuracy"): 0.9, ("snip", 0.1, "accuracy"): 0.9}
    found = summary(values | more, ("random", "snip", "grasp", "omp"))
    assert any_task._at_init(found) == any_task._at_init(summary(values, ("random", "snip", "grasp")))
    assert any_task._at_init(found)[1] == "agrees"
    values = series("composition", 0.103, {0.59: 0.111})
    values |= series("composition", 0.103, {0.59: 0.07}, "random")
    more = {("omp", 0.56, "accuracy"): 0.9, ("imp", 0.57, SCORES["composition"]): 0.01}
    found = summary(values | more, ("imp", "random", "omp"))
    assert interpretability._composition(found)[1] == "agrees"


def test_noise_and_coarse_grids_do_not_tell_where_units_and_accuracy_fall():
    def held(units, accuracy, spread=0.0005):
        values = series("units", 100, units) | {("dense", 0.0, "accuracy"): 0.9}
        found = summary(values | {("imp", s, "accuracy"): a for s, a in accuracy.items()})
        cells = {
            k: dataclasses.replace(c, spread=spread) if k[2] == "interpretable_units" else c
            for k, c in found.cells.items()
        }
        return of("fall at the same").check(dataclasses.replace(found, cells=cells))[1]

    noisy = {0.36: 99, 0.488: 70, 0.59: 65, 0.914: 10}, {0.36: 0.9, 0.488: 0.8, 0.59: 0.75, 0.914: 0.5}
    assert held(*noisy) == "agrees"
    assert held(*noisy, spread=12.0) == "cannot say"
    assert held({0.2: 99, 0.36: 99, 0.99: 10}, {0.2: 0.9, 0.36: 0.9, 0.99: 0.5}) == "cannot say"


def test_a_jump_is_told_from_noise_and_from_a_gap_in_the_grid():
    claim = of("little by little")
    jump = series("agreement", 1, {0.2: 0.9, 0.36: 0.85, 0.488: 0.4, 0.59: 0.3})
    assert claim.check(summary(jump))[1] == "differs"
    assert claim.check(summary(jump, spread=0.12))[1] == "cannot say"
    gap = series("agreement", 1, {0.2: 0.9, 0.36: 0.85, 0.488: 0.8, 0.98: 0.3})
    assert claim.check(summary(gap))[1] == "cannot say"


def test_a_claim_about_controls_names_the_worst_of_all_pairs():
    held = {("imp", s, "accuracy"): 0.9 for s in (0.5, 0.8)}
    held |= {("imp:shuffled", 0.5, "accuracy"): 0.85, ("imp:shuffled", 0.8, "accuracy"): 0.91}
    shown, finding = of("A mask of a trained network").check(summary(held, ("imp", "imp:shuffled")))
    assert shown.startswith("at 80.0 %, the worst of 2 pairs, imp is 1.0 points below imp:shuffled")
    assert finding == "differs"


def test_a_claim_about_pairs_looks_at_all_pairs():
    far = {(m, s, "accuracy"): 0.9 for m in ("finetune", "finetune:iterative") for s in (0.5, 0.8, 0.9)}
    far["finetune:iterative", 0.9, "accuracy"] = 0.7
    shown, finding = of("in several steps").check(summary(far, ("finetune", "finetune:iterative")))
    assert shown.startswith("at the worst of 3 pairs, several steps are 20.0 points below one step")
    assert finding == "differs"


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        ((-0.003, 0.005), "0.3 points below omp (95 %: −0.8 to +0.2)"),
        ((0.02, math.inf), "2.0 points above omp (one seed)"),
        ((-0.0001, 0.0003), "level with omp (95 %: +0.0 to +0.0)"),
    ],
)
def test_a_difference_in_points_says_its_side_in_words(gap, said):
    mean, half = gap
    found = base.Interval(mean, half / stats.t.ppf(0.975, 4), 4)
    assert base.points(found, "omp") == said


@pytest.mark.parametrize(("objects", "parts", "finding"), [(2.0, 8.0, "agrees"), (8.0, 2.0, "differs")])
def test_the_categories_that_vanish_first(objects, parts, finding):
    units = "interpretable_units"
    rows: list[tuple[Any, ...]] = [(units, c, 10.0) for c in ("object", "scene", "part", "texture")]
    rows += [(units, "IoU 0.04", 99.0), (units, "IoU 0.04", 1.0, "imp", 0.9)]
    rows += [(units, c, objects, "imp", 0.9) for c in ("object", "scene")]
    rows += [(units, c, parts, "imp", 0.9) for c in ("part", "texture")]
    found = summary({("imp", 0.9, units): 1.0}, nulls=rows, spread=0.01)
    claim_of_all = of("objects and scenes vanish first").check(found)
    assert claim_of_all[1] == finding
    assert of("objects and scenes vanish first").check(summary({}, nulls=rows[:3], seeds=1))[1] != "agrees"
    more = found.table[found.table.method == "dense"].assign(seed=lambda d: d.seed + 3)
    mixed = dataclasses.replace(found, table=pd.concat([found.table, more], ignore_index=True))
    assert of("objects and scenes vanish first").check(mixed) == claim_of_all


def test_an_undecided_verdict_says_nothing():
    found = summary({("imp", 0.9, "accuracy"): 1.0}, verdict=extremes(VGG, undecided="one seed"))
    for claim in lth_pass.CLAIMS:
        assert claim.check(found) == NOT_MEASURED


# --------------------------------------------------------------------------------------- interpretability


@pytest.mark.parametrize(
    ("text", "agreeing", "differing"),
    [
        (
            "as many as in the dense network",
            series("units", 100, {0.5: 99, 0.83: 95, 0.95: 20}),
            series("units", 100, {0.5: 99, 0.83: 80, 0.95: 20}),
        ),
        (
            "never adds interpretable units",
            series("units", 100, {0.5: 100, 0.8: 90}),
            series("units", 100, {0.5: 105}),
        ),
        (
            "about 80 % of the units stay",
            series("retained", 1, {0.893: 0.78}),
            series("retained", 1, {0.893: 0.5}),
        ),
        ("about 70 % keep", series("same", 1, {0.893: 0.72}), series("same", 1, {0.893: 0.9})),
        (
            "compositions explain tickets",
            series("composition", 0.103, {0.59: 0.111})
            | series("composition", 0.103, {0.59: 0.07}, "random"),
            series("composition", 0.103, {0.59: 0.08}) | series("composition", 0.103, {0.59: 0.07}, "random"),
        ),
        (
            "compositions explain tickets",
            series("composition", 0.103, {0.59: 0.111})
            | series("composition", 0.103, {0.59: 0.07}, "random"),
            series("composition", 0.05, {0.59: 0.111}) | series("composition", 0.05, {0.59: 0.07}, "random"),
        ),
        (
            "more faithful to linear explanations",
            series("fidelity", 2.0, {0.5: 2.0, 0.8: 2.0})
            | series("fidelity", 2.0, {0.5: 1.0, 0.8: 1.5}, "random"),
            series("fidelity", 2.0, {0.5: 1.0, 0.8: 1.0})
            | series("fidelity", 2.0, {0.5: 1.5, 0.8: 1.5}, "random"),
        ),
        (
            "easier to explain linearly",
            series("fidelity", 2.0, {0.79: 1.0}) | series("stability", 2.0, {0.79: 1.0}),
            series("fidelity", 2.0, {0.79: 1.0}) | series("stability", 2.0, {0.79: 3.0}),
        ),
        (
            "drifts from the dense network",
            series("agreement", 1, {0.2: 0.9, 0.5: 0.8, 0.8: 0.6, 0.9: 0.3}),
            series("agreement", 1, {0.2: 0.3, 0.5: 0.6, 0.8: 0.8, 0.9: 0.9}),
        ),
        (
            "little by little",
            series("agreement", 1, {0.2: 0.9, 0.5: 0.7, 0.8: 0.5, 0.9: 0.3}),
            series("agreement", 1, {0.2: 0.9, 0.5: 0.9, 0.7: 0.3, 0.9: 0.3}),
        ),
        (
            "sparser (Gini)",
            series("gini", 0.42, {0.1: 0.46, 0.7: 0.45}),
            series("gini", 0.42, {0.1: 0.46, 0.7: 0.41}),
        ),
        (
            "more faithful (AOPC)",
            series("aopc", 0.1, {0.1: 0.1, 0.5: 0.2, 0.7: 0.3, 0.8: 0.4}),
            series("aopc", 0.1, {0.1: 0.4, 0.5: 0.3, 0.7: 0.2, 0.8: 0.1}),
        ),
        (
            "redundancy rises",
            series("redundancy", 0.1, {0.1: 0.1, 0.5: 0.2, 0.7: 0.3, 0.8: 0.4}),
            series("redundancy", 0.1, {0.1: 0.4, 0.5: 0.3, 0.7: 0.2, 0.8: 0.1}),
        ),
    ],
)
def test_claims_of_interpretability_agree_and_differ(text, agreeing, differing):
    claim = of(text)
    methods = ("imp", "random")
    assert claim.check(summary(agreeing, methods))[1] == "agrees"
    assert claim.check(summary(differing, methods))[1] == "differs"


def test_a_correlation_is_shown_to_be_small_only_with_many_networks():
    claim = of("(MIS) does not depend")
    flat = dict(zip(LEVELS, (0.9, 0.8) * 10, strict=False))
    few = summary(series("mis", 0.9, flat), ("imp",))
    assert claim.check(few)[1] == "cannot say"
    names = ("imp", "omp", "snip", "random")
    many = {k: v for m in names for k, v in series("mis", 0.9, flat, m).items()}
    assert claim.check(summary(many, names))[1] == "agrees"
    assert claim.check(summary(series("mis", 0.9, {s: 1 - s for s in LEVELS})))[1] == "differs"


def test_a_difference_is_welchs():
    one, other = [0.71, 0.74, 0.72], [0.70, 0.66, 0.69, 0.71]
    cells = [Cell(pd.Series(v).mean(), pd.Series(v).std(), len(v), "ok", "", "") for v in (one, other)]
    first, second = cells
    found = difference(first, second)
    assert found is not None
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert ends(found) == pytest.approx((cells[0].mean - cells[1].mean, theirs.low, theirs.high))
    alone = estimate(first)
    assert alone is not None
    half = stats.t.ppf(0.975, 2) * stats.sem(one)
    assert ends(alone) == pytest.approx((cells[0].mean, cells[0].mean - half, cells[0].mean + half))
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(1 - 0.05 / 4)
    assert ends(found.of(4)) == pytest.approx((found.mean, theirs.low, theirs.high))
    assert ends(found.minus(0.01)) == pytest.approx([end - 0.01 for end in ends(found)])


def ends(found):
    return found.mean, found.low, found.high


@pytest.mark.parametrize("more", [{"spread": 5.0}, {"seeds": 1}])
@pytest.mark.parametrize(
    "text", ["never adds", "about 80 % of the units", "sparser (Gini)", "explain linearly"]
)
def test_what_scatters_or_has_one_seed_says_nothing(text, more):
    values = {
        **series("units", 14, {0.5: 17}),
        **series("retained", 1, {0.893: 0.78}),
        **series("gini", 0.42, {0.1: 0.46}),
        **series("fidelity", 2.0, {0.79: 1.0}),
    }
    assert of(text).check(summary(values, **more))[1] == "cannot say"


def test_claims_about_networks_that_know_nothing():
    mis = of("MIS stays high")
    for fresh, finding in ((0.9, "agrees"), (0.86, "agrees"), (0.7, "differs")):
        found = summary(series("mis", 0.9, {}), nulls=[("mis", "untrained network", fresh)])
        assert mis.check(found) == (f"untrained {fresh:.3f}, dense 0.900", finding)
    maps = of("fresh weights")
    for fresh, finding in ((0.09, "agrees"), (0.4, "differs")):
        nulls = [("gradcam_iou", "untrained network", fresh), ("gradcam_iou", "chance", 0.05)]
        assert maps.check(summary({("imp", 0.2, "other"): 1.0}, nulls=nulls))[1] == finding


def test_formulas_are_held_to_single_concepts_in_every_network():
    good = series("composition", 0.04, {0.5: 0.05}) | series("concept", 0.02, {0.5: 0.03})
    assert of("Formulas of three").check(summary(good)) == (
        "1.80 times the IoU, in 2 of 2 networks",
        "agrees",
    )
    bad = good | {("imp", 0.5, SCORES["concept"]): 0.06}
    assert of("Formulas of three").check(summary(bad))[1] == "differs"


def test_one_sparsity_is_neither_low_nor_a_trend():
    one = {(m, 0.67, SCORES["mis"]): 0.9 + 0.01 * k for k, m in enumerate("abcdefg")}
    assert of("(MIS) does not depend").check(summary(one, methods=tuple("abcdefg"))) == NOT_MEASURED
    high = {("random", 0.67, "accuracy"): 0.7, ("snip", 0.67, "accuracy"): 0.8}
    assert of("no better than random").check(summary(high, methods=("random", "snip"))) == NOT_MEASURED


def test_the_rigl_of_the_paper_is_taken_where_a_table_has_it():
    values = {("dense", 0.0, "hessian_trace"): 5.0, ("rigl", 0.79, "hessian_trace"): 6.0}
    claim = of("sharper minima")
    assert claim.check(summary(values, ("rigl",)))[1] == "agrees"
    both = summary(values | {("rigl:itop", 0.79, "hessian_trace"): 4.0}, ("rigl", "rigl:itop"))
    shown, found = claim.check(both)
    assert (found, shown.split()[0]) == ("differs", "rigl:itop")
