"""LTH-PASS on tables made by hand, and the two values that Chen et al. give score by score."""

import math
from dataclasses import replace

import pandas as pd
import pytest
from scipy import stats

from lthbench.verdict import rules
from lthbench.verdict.aspect import Aspect
from lthbench.verdict.comparison import Yardstick
from lthbench.verdict.explanation import why
from lthbench.verdict.rules import FINDINGS, Match, Verdict

ACCURACY = Aspect("accuracy", "accuracy", True, slack=0.01)
NLL = Aspect("nll", "NLL", False)
MCE = Aspect("mce", "mCE", False, spread_of="corruption_error")

#: 1 - 0.8^n for n = 1..24, in per cent, as the paper prints them.
GRID = [round(100 * (1 - 0.8**n), 2) for n in range(1, 25)]


def rows(method, sparsity, score, values, status="ok", reason="", variant=""):
    """One row a seed; a value may be None for a seed that has no row."""
    return [
        {
            "method": method,
            "sparsity": sparsity,
            "seed": seed,
            "score": score,
            "variant": variant,
            "value": value,
            "status": status,
            "reason": reason,
        }
        for seed, value in enumerate(values)
        if value is not None
    ]


def table(*parts):
    return pd.DataFrame([row for part in parts for row in part])


def curve(values, dense=(0.9,), score="accuracy", method="m"):
    """A table of one score: ``values`` by sparsity, a number or one a seed."""
    per_seed = {s: v if isinstance(v, tuple) else (v,) * len(dense) for s, v in values.items()}
    return table(rows("dense", 0.0, score, dense), *(rows(method, s, score, v) for s, v in per_seed.items()))


def verdicts(frame, aspects, rule):
    return rules.verdicts(Yardstick.of(frame), aspects)[rule]


def judge(frame, aspects=(ACCURACY,), rule="paper") -> Verdict:
    found = verdicts(frame, aspects, rule)
    assert len(found) == 1
    return found[0]


# --------------------------------------------------------------------------------------------- the paper

#: VGG-11's extremes: accuracy, mCE, FGSM, OoD; ECE, NLL; fidelity, stability; Hessian trace.
VGG11 = {
    "CIFAR-10": ([98.20, 96.48, 98.20, 98.20, 98.20, 98.20, 98.20, 98.20, 98.20], 96.48, ("s1",)),
    "CIFAR-100": ([96.48, 89.26, 96.48, 95.60, 86.58, 94.50, 91.41, 96.48, 93.13], 86.58, ("s4",)),
}


@pytest.mark.parametrize("data", VGG11)
def test_the_papers_values_for_vgg11_follow_from_its_extremes(data):
    extremes, published, binding = VGG11[data]
    aspects = [Aspect(f"s{i}", f"score {i}", i % 2 == 0) for i in range(len(extremes))]
    parts = [rows("dense", 0.0, a.score, [1.0]) for a in aspects]
    for aspect, extreme in zip(aspects, extremes, strict=True):
        worse = 0.9 if aspect.higher_is_better else 1.1
        parts += [rows("lth", s, aspect.score, [1.0 if s <= extreme else worse]) for s in GRID]
    result = judge(table(*parts), aspects)
    assert list(result.extremes.values()) == extremes
    assert (result.paper_pass, result.binding) == (published, binding)
    assert result.joint == published
    assert result.monotone
    assert result.held_back == binding


# ------------------------------------------------------------------------------------------- tolerances


@pytest.mark.parametrize(
    ("value", "matches"), [(0.92, True), (0.90, True), (0.8901, True), (0.89, True), (0.8899, False)]
)
def test_by_the_rule_paper_accuracy_may_be_one_point_lower(value, matches):
    result = judge(curve({0.5: value}))
    assert result.matches[0].matches is matches
    assert result.matches[0].shortfall == pytest.approx(0.9 - value)
    assert result.matches[0].allowed == 0.01


@pytest.mark.parametrize(("value", "matches"), [(0.2, True), (0.3, True), (0.3001, False)])
def test_by_the_rule_paper_a_score_without_slack_must_be_as_good(value, matches):
    assert judge(curve({0.5: value}, (0.3,), "nll"), [NLL]).matches[0].matches is matches


def test_means_that_differ_only_by_the_order_of_summing_match():
    result = judge(curve({0.5: (0.3, 0.2, 0.1)}, (0.1, 0.2, 0.3), "nll"), [NLL])
    assert result.matches[0].matches is True


@pytest.mark.parametrize(("mean", "matches"), [(0.881, True), (0.879, False), (0.95, True)])
def test_by_the_rule_std_the_mean_may_be_one_deviation_of_the_dense_seeds_worse(mean, matches):
    """Dense seeds 0.88, 0.90, 0.92: mean 0.90, sample deviation 0.02."""
    result = judge(curve({0.5: (mean - 0.1, mean, mean + 0.1)}, (0.88, 0.90, 0.92)), rule="std")
    assert result.matches[0].matches is matches
    assert result.matches[0].allowed == pytest.approx(0.02)


def test_the_means_over_seeds_are_compared_not_the_seeds():
    assert judge(curve({0.5: (0.80, 1.00)}, (0.90, 0.90))).joint == 0.5


@pytest.mark.parametrize(("mean", "matches"), [(1.09, True), (1.11, False)])
def test_the_spread_of_a_relative_score_is_the_relative_spread_of_another(mean, matches):
    """Corruption error of dense: 0.18, 0.20, 0.22, a tenth of its mean; so mCE may be up to 1.1."""
    frame = table(
        rows("dense", 0.0, "mce", [1.0] * 3),
        rows("dense", 0.0, "corruption_error", [0.18, 0.20, 0.22]),
        rows("dense", 0.0, "corruption_error", [0.1, 0.5, 0.9], variant="blur"),
        rows("m", 0.5, "mce", [mean] * 3),
    )
    match = judge(frame, [MCE], "std").matches[0]
    assert match.allowed == pytest.approx(0.1)
    assert match.matches is matches
    assert judge(frame, [MCE], "paper").matches[0].matches is False


def test_one_seed_leaves_the_rule_std_undecided_and_says_why():
    result = judge(curve({0.5: 0.95}), rule="std")
    assert result.undecided == "the rule std needs at least two seeds"
    assert result.matches[0].matches is None
    assert (result.joint, result.paper_pass) == (None, None)
    assert not judge(curve({0.5: 0.95})).undecided


# ------------------------------------------------------------------------------------ joint and extremes


def two_scores(accuracy, nll):
    return pd.concat([curve(accuracy), curve(nll, (0.3,), "nll")], ignore_index=True)


def test_the_smallest_extreme_may_be_a_level_at_which_a_score_fails():
    """Accuracy matches up to 0.5; NLL fails there and matches again at 0.7: nothing passes at 0.5."""
    frame = two_scores({0.2: 0.9, 0.5: 0.9, 0.7: 0.5}, {0.2: 0.3, 0.5: 0.4, 0.7: 0.3})
    result = judge(frame, [ACCURACY, NLL])
    assert result.extremes == {"accuracy": 0.5, "nll": 0.7}
    assert (result.paper_pass, result.binding) == (0.5, ("accuracy",))
    assert (result.joint, result.held_back) == (0.2, ("nll",))
    assert result.region == 0.5


def test_scores_that_match_only_apart_never_match_at_once():
    result = judge(two_scores({0.2: 0.9, 0.5: 0.5}, {0.2: 0.4, 0.5: 0.3}), [ACCURACY, NLL])
    assert result.paper_pass == 0.2
    assert (result.joint, result.held_back) == (None, ("nll",))


@pytest.mark.parametrize(
    ("values", "joint", "monotone"),
    [
        ({0.2: 0.9, 0.5: 0.9, 0.7: 0.5}, 0.5, True),
        ({0.2: 0.9, 0.5: 0.5, 0.7: 0.9}, 0.7, False),
        ({0.2: 0.5, 0.5: 0.9, 0.7: 0.5}, 0.5, False),
        ({0.2: 0.5, 0.5: 0.5, 0.7: 0.5}, None, True),
    ],
)
def test_a_pass_is_monotone_when_no_lower_sparsity_fails(values, joint, monotone):
    result = judge(curve(values))
    assert (result.joint, result.monotone) == (joint, monotone)


def test_nothing_holds_back_what_passes_at_the_highest_sparsity():
    assert judge(curve({0.2: 0.9, 0.5: 0.9})).held_back == ()


def test_a_score_that_never_matches_leaves_no_pass_by_either_reading():
    result = judge(two_scores({0.2: 0.9, 0.5: 0.9}, {0.2: 0.4, 0.5: 0.4}), [ACCURACY, NLL])
    assert (result.paper_pass, result.joint, result.extremes["nll"]) == (None, None, None)
    assert result.binding == ("nll",)


def test_methods_are_judged_apart_in_their_order_and_dense_is_not():
    frame = pd.concat([curve({0.5: 0.9}, method="b"), curve({0.5: 0.5}, method="a")], ignore_index=True)
    frame = frame.drop_duplicates()
    assert [(v.method, v.joint) for v in verdicts(frame, [ACCURACY], "paper")] == [("b", 0.5), ("a", None)]


def test_the_region_keeps_the_papers_slack_under_another_rule():
    result = judge(curve({0.2: 0.895, 0.5: 0.85}, (0.9, 0.9)), rule="std")
    assert (result.joint, result.region) == (None, 0.2)


@pytest.mark.parametrize("variant", ["", math.nan])
def test_only_headline_values_are_judged(variant):
    frame = curve({0.5: 0.9})
    frame["variant"] = variant
    others = [rows("m", s, "accuracy", [v], variant="x") for s, v in ((0.5, 0.1), (0.9, 0.9))]
    result = judge(pd.concat([frame, table(*others)], ignore_index=True))
    assert (result.joint, result.sparsities) == (0.5, (0.5,))


# ------------------------------------------------------------------------------------- what never passes


def test_a_degenerate_network_passes_on_no_score_however_good():
    frame = table(
        rows("dense", 0.0, "accuracy", [0.9, 0.9]),
        rows("dense", 0.0, "nll", [0.3, 0.3]),
        rows("m", 0.5, "accuracy", [0.95, 0.95]),
        rows("m", 0.5, "nll", [0.1], status="degenerate", reason="layer conv1 is empty"),
        rows("m", 0.5, "nll", [None, 0.1]),
    )
    for rule in ("paper", "std"):
        result = judge(frame, [ACCURACY, NLL], rule)
        assert [m.matches for m in result.matches] == [False, False]
        assert {m.reason for m in result.matches} == {"layer conv1 is empty"}
        assert (result.joint, result.paper_pass, result.region) == (None, None, None)


def test_a_score_missing_for_a_seed_does_not_match_and_says_for_how_many():
    match = judge(curve({0.5: (0.95, None)}, (0.9, 0.9))).matches[0]
    assert (match.matches, match.reason) == (False, "measured for 1 of 2 seeds")


def test_a_score_missing_at_one_sparsity_does_not_pass_there():
    frame = two_scores({0.2: 0.9, 0.5: 0.9}, {0.2: 0.3})
    result = judge(frame, [ACCURACY, NLL])
    assert (result.joint, result.paper_pass, result.held_back) == (0.2, 0.2, ("nll",))


@pytest.mark.parametrize("reason", ["diverged", ""])
def test_a_score_that_is_not_a_number_does_not_match(reason):
    bad = rows("m", 0.5, "accuracy", [None, math.nan], status="failed", reason=reason)
    frame = table(rows("dense", 0.0, "accuracy", [0.9, 0.9]), rows("m", 0.5, "accuracy", [0.99]), bad)
    match = judge(frame).matches[0]
    assert (match.matches, match.reason) == (False, reason or "not measured")


def test_a_score_that_is_not_finite_failed_and_of_the_parent_says_nothing():
    parents = rows("dense", 0.0, "accuracy", [0.9, 0.9])
    for rule in ("noninferior", "std", "paper"):
        frame = table(parents, rows("m", 0.5, "accuracy", [0.9, -math.inf]))
        match = judge(frame, rule=rule).matches[0]
        assert (match.matches, match.finding, match.reason) == (False, "failed", "not finite")
        frame = table(rows("dense", 0.0, "accuracy", [0.9, math.inf]), rows("m", 0.5, "accuracy", [0.9, 0.9]))
        assert judge(frame, rule=rule).undecided == "accuracy of the dense parent is not finite"


def test_where_a_parent_lacks_a_score_nothing_can_be_said():
    frame = table(rows("dense", 0.0, "accuracy", [0.9, None]), rows("m", 0.5, "accuracy", [0.9, 0.9]))
    assert judge(frame).undecided == "accuracy is measured for 1 of 2 parents"


@pytest.mark.parametrize("parent", [[], rows("dense", 0.0, "accuracy", [math.nan], status="failed")])
def test_without_a_dense_value_nothing_can_be_said(parent):
    result = judge(table(parent, rows("m", 0.5, "accuracy", [0.99])))
    assert result.matches[0].matches is None
    assert result.undecided == "accuracy of the dense parent is not measured"
    assert result.joint is None


def test_where_the_dense_parent_failed_too_nothing_can_be_said():
    failed = [rows(m, s, "accuracy", [math.nan], status="failed") for m, s in (("dense", 0.0), ("m", 0.5))]
    assert judge(table(*failed)).undecided == "accuracy of the dense parent is not measured"


@pytest.mark.parametrize("rule", ["noninferior", "std", "paper"])
def test_a_score_that_is_asked_for_and_not_there_is_never_passed_over(rule):
    """Leaving it out of a table must not make a network pass."""
    frame = curve({0.5: (0.9, 0.9)}, dense=(0.9, 0.9)).assign(diff_se=0.001, mean_diff_se=0.001)
    result = judge(frame, [replace(ACCURACY, margin=0.1), NLL], rule)
    assert {m.score: m.finding for m in result.matches} == {"accuracy": "matches", "nll": "undecided"}
    assert result.extremes == {"accuracy": 0.5, "nll": None}
    assert (result.joint, result.held_back) == (None, ("nll",))


def test_a_table_without_any_asked_score_passes_nothing():
    result = judge(curve({0.5: 0.9}), [NLL])
    assert (result.joint, result.paper_pass) == (None, None)
    assert result.undecided == "none of the scores that it asks for was measured"


# --------------------------------------------------------------------------------------- noninferior

ACC = Aspect("accuracy", "accuracy", True, slack=0.01, margin=0.01)
LOSS = Aspect("nll", "NLL", False, margin=0.1, relative_margin=True)
DENSE = (0.90, 0.91, 0.92)


def paired(gaps, shared=0.001, own=None, dense=DENSE, score="accuracy", sparsity=0.5):
    """Dense networks, and ones that are worse by so much in each seed, with errors over the images."""
    sign = -1.0 if score == "accuracy" else 1.0
    values = [d + sign * g for d, g in zip(dense, gaps, strict=True)]
    found = rows("m", sparsity, score, values)
    for row in found:
        row |= {"mean_diff_se": shared, "diff_se": shared if own is None else own}
    return [*rows("dense", 0.0, score, dense), *found]


def one(*parts, aspects=(ACC,)):
    return {m.score: m for m in judge(table(*parts), aspects, "noninferior").matches}


def test_seeds_are_paired_so_that_their_own_level_does_not_matter():
    match = one(paired((0.001, 0.002, 0.001)))["accuracy"]
    assert (match.finding, match.matches, match.seeds) == ("matches", True, 3)
    assert match.shortfall == pytest.approx(0.004 / 3)
    spread = math.sqrt(stats.tvar([0.001, 0.002, 0.001]) / 3 + 0.001**2)
    expected = match.shortfall + spread * stats.t.isf(0.05, _freedom(spread))
    assert match.bound == pytest.approx(expected, rel=1e-9)
    assert match.allowed == 0.01


def _freedom(spread):
    return 2 * (spread**2 / (stats.tvar([0.001, 0.002, 0.001]) / 3)) ** 2


@pytest.mark.parametrize(
    ("gaps", "shared", "finding"),
    [
        ((0.001, 0.002, 0.001), 0.001, "matches"),
        ((0.001, 0.002, 0.001), 0.020, "open"),  # too few images
        ((-0.02, 0.03, 0.0), 0.001, "open"),  # seeds too far apart
        ((0.02, 0.021, 0.022), 0.001, "worse"),
        ((0.005, 0.009, 0.013), 0.001, "worse"),  # sure to be worse, and perhaps beyond the margin
        ((0.002, 0.0021, 0.0022), 0.0001, "matches"),  # sure to be worse, and within the margin
        ((0.04, -0.02, 0.05), 0.001, "open"),  # beyond the margin, and it may be chance
        ((-0.05, -0.051, -0.049), 0.001, "better"),
    ],
)
def test_what_is_found_of_a_score(gaps, shared, finding):
    match = one(paired(gaps, shared))["accuracy"]
    assert match.finding == finding
    assert match.matches is (finding in ("matches", "better"))
    assert match.lower < match.shortfall < match.bound
    assert (match.reference, match.images, match.level) == ("parents", True, 0.05)
    assert (match.seeds_needed > 3) is (gaps == (-0.02, 0.03, 0.0))


def test_a_margin_that_is_a_share_is_one_of_ratios():
    """By 4, 5 and 6 % more in three seeds: the mean of the logarithms, shown as a share."""
    dense = (0.2, 0.3, 0.4)
    gaps = tuple(d * share for d, share in zip(dense, (0.04, 0.05, 0.06), strict=True))
    match = one(paired(gaps, shared=1e-6, dense=dense, score="nll"), aspects=[LOSS])["nll"]
    logs = [math.log1p(share) for share in (0.04, 0.05, 0.06)]
    bound = math.fsum(logs) / 3 + stats.t.isf(0.05, 2) * math.sqrt(stats.tvar(logs) / 3)
    assert match.relative
    assert match.shortfall == pytest.approx(math.expm1(math.fsum(logs) / 3))
    assert match.bound == pytest.approx(math.expm1(bound), rel=1e-3)
    assert match.allowed == pytest.approx(0.1)
    assert match.finding == "matches"


def test_a_share_of_what_may_be_zero_is_one_of_the_dense_mean():
    dense = (0.2, 0.3, 0.4)
    match = one(paired((-0.2, 0.001, 0.0), dense=dense, score="nll"), aspects=[LOSS])["nll"]
    assert not match.relative
    assert match.allowed == pytest.approx(0.03)


def test_each_score_is_tested_at_five_per_cent_also_beside_others_that_fail():
    """An intersection-union test: no correction, and the joint claim still fails with any of its parts."""
    gaps = (0.0, 0.006, 0.005)
    alone = one(paired(gaps))["accuracy"]
    assert 0.025 < alone.p <= 0.05
    failed = [*rows("dense", 0.0, "nll", DENSE), *rows("m", 0.5, "nll", [math.nan] * 3, "failed", "boom")]
    frame = table(paired(gaps), failed)
    both = judge(frame, [ACC, LOSS], "noninferior")
    assert [m.finding for m in both.matches] == ["matches", "failed"]
    assert both.matches[0].p == pytest.approx(alone.p)
    assert (both.joint, both.holds) == (None, {"accuracy": 0.5, "nll": None})


def test_worse_is_said_at_five_per_cent_over_all_scores_of_a_network():
    """Alone its p-value is enough; beside another, by Hommel, it is doubled and is not."""
    gaps = (0.007, 0.021, 0.016)
    alone = one(paired(gaps))["accuracy"]
    assert (alone.finding, 0.025 < alone.p_worse <= 0.05) == ("worse", True)
    good = paired((0.0, 0.001, 0.0), dense=(0.2, 0.3, 0.4), score="nll")
    beside = one(paired(gaps), good, aspects=[ACC, LOSS])["accuracy"]
    assert beside.p_worse == pytest.approx(2 * alone.p_worse)
    assert beside.finding == "open"


def test_a_score_that_failed_counts_among_those_of_which_one_may_be_worse_by_chance():
    alone = one(paired((0.007, 0.021, 0.016)))["accuracy"]
    failed = [*rows("dense", 0.0, "nll", DENSE), *rows("m", 0.5, "nll", [math.nan] * 3, "failed", "boom")]
    beside = one(paired((0.007, 0.021, 0.016)), failed, aspects=[ACC, LOSS])["accuracy"]
    assert beside.p_worse == pytest.approx(2 * alone.p_worse)
    assert (alone.finding, beside.finding) == ("worse", "open")


def test_a_score_falls_short_by_a_test_of_its_own_where_over_all_scores_it_is_open():
    good = paired((0.0, 0.001, 0.0), dense=(0.2, 0.3, 0.4), score="nll")
    found = judge(table(paired((0.007, 0.021, 0.016)), good), [ACC, LOSS], "noninferior")
    assert found.matches[0].finding == "open"
    assert found.worse_from == {"accuracy": 0.5, "nll": None}


def test_bounds_of_several_looks_are_the_narrowest_of_them():
    seen = one(paired((-0.03, 0.04, 0.02)))["accuracy"]
    path = [replace(seen, bound=b, lower=low) for b, low in ((0.05, -0.01), (0.03, -0.04), (0.04, math.nan))]
    found = rules._over_looks(path, (3, 4, 5))
    assert (found.bound, found.lower) == (0.03, -0.01)


def test_a_table_put_together_from_runs_uses_the_seeds_own_errors():
    parts = paired((0.001, 0.002, 0.001), own=0.003)
    for place, row in enumerate(r for r in parts if r["method"] == "m"):
        row["mean_diff_se"] = 0.001 + place / 1e6
    expected = one(paired((0.001, 0.002, 0.001), shared=0.003))["accuracy"]
    assert one(parts)["accuracy"].p == pytest.approx(expected.p, rel=1e-12)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (paired((0.001,), shared=math.nan, dense=(0.9,)), "accuracy has no standard error of its"),
    ],
)
def test_what_cannot_be_tested_is_undecided(parts, said):
    result = judge(table(parts), [ACC], "noninferior")
    assert said in result.undecided
    assert result.matches[0].finding == "undecided"
    assert (result.joint, result.paper_pass) == (None, None)


def test_one_network_is_judged_by_its_images_alone():
    result = judge(table(paired((0.001,), shared=0.002, dense=(0.9,))), [ACC], "noninferior")
    match = result.matches[0]
    assert (result.scope, match.finding, match.seeds_needed) == ("network", "matches", 0)
    assert match.bound == pytest.approx(0.001 + stats.norm.isf(0.05) * 0.002)
    assert judge(table(paired((0.001, 0.002, 0.001))), [ACC], "noninferior").scope == "method"


def test_without_an_error_over_images_what_is_found_is_of_these_images():
    match = one(paired((0.001, 0.002, 0.001), shared=math.nan))["accuracy"]
    assert not match.images
    assert match.p == pytest.approx(
        stats.ttest_1samp([0.001, 0.002, 0.001], 0.01, alternative="less").pvalue, rel=1e-6
    )


def ladder(*cells):
    """Accuracy of one method: by sparsity, "y" far within the margin, "x" far beyond, "?" neither."""
    gaps = {"y": (0.0, 0.001, 0.0), "x": (0.1, 0.101, 0.1), "?": (-0.03, 0.04, 0.02)}
    parts = [paired(gaps[c], sparsity=s) for s, c in cells]
    return judge(table(*parts).drop_duplicates(), [ACC], "noninferior")


@pytest.mark.parametrize(
    ("word", "holds", "worse_from"),
    [
        ("yyyy", 0.8, None),
        ("yy?x", 0.4, 0.8),
        ("yyxx", 0.4, 0.6),
        ("?yyx", None, 0.8),
        ("yxyx", 0.2, 0.8),
        ("y?x?", 0.2, None),
        ("xxxx", None, 0.2),
    ],
)
def test_holding_and_falling_short_are_fixed_sequences_from_either_end(word, holds, worse_from):
    result = ladder(*zip((0.2, 0.4, 0.6, 0.8), word, strict=True))
    assert [m.finding[0] for m in result.matches] == [{"y": "m", "x": "w", "?": "o"}[c] for c in word]
    assert (result.joint, result.holds["accuracy"]) == (holds, holds)
    assert (result.short_from, result.worse_from["accuracy"]) == (worse_from, worse_from)


def test_reasons_are_grouped_by_what_was_found():
    matches = [
        one(paired((0.02, 0.021, 0.022)))["accuracy"],
        one(paired((-0.02, 0.03, 0.0)))["accuracy"],
        judge(curve({0.5: (0.9, None)}, (0.9, 0.9))).matches[0],
    ]
    said = why(matches, str.upper)
    assert said.startswith("it failed: measured for 1 of 2 seeds; it is worse in ACCURACY; ACCURACY is open")
    assert "seeds would do" in said
    assert why([one(paired((0.0, 0.001, 0.0)))["accuracy"]], str) == ""
    assert {m.finding for m in matches} <= set(FINDINGS)


def test_scores_that_are_open_are_told_by_what_would_decide_them():
    """One that a few more seeds would decide is not called beyond its margin because another is."""

    def still(score, shortfall, needed, seeds=3):
        numbers = 0.0, 0.0, shortfall, 0.05
        found = Match("m", 0.5, score, "noninferior", *numbers, False, finding="open", seeds=seeds)
        return replace(found, seeds_needed=needed)

    both = [still("accuracy", 0.03, 4), still("mce", 0.051, 0), still("nll", 0.06, 0)]
    assert why(both, str.upper) == (
        "ACCURACY is open (about 4 seeds would do, if these are typical); MCE and NLL are open (beyond the "
        "margin, and it may be chance)"
    )
    assert why([still("accuracy", 0.03, 0)], str) == (
        "accuracy is open (not with 100 seeds either; it would take more images)"
    )
    assert why([still("a", 0.03, 0, 1), still("b", 0.06, 0, 1)], str) == "a and b are open"
