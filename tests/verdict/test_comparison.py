"""Networks beside the dense trainings of a calibration: the numbers, the level, and when it is not used."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lthbench.verdict import rules
from lthbench.verdict.calibration import Calibration, DenseScore
from lthbench.verdict.comparison import (
    EXPECTED,
    PRIOR,
    Scatter,
    Yardstick,
    compare,
    margins,
    scatter,
    shared_images,
)
from lthbench.verdict.observed import Observed, Row
from lthbench.verdict.scale import Scale
from lthbench.verdict.sequential import Looks
from lthbench.verdict.simulation import _arrays, _spread, _trials

#: The fields of a calibrated accuracy, but for its values.
FLAT = ("accuracy", "key", True, False, 0.02, 0.02)


@pytest.fixture(scope="module")
def made(lab):
    return lab.calibration()


def verdicts(frame, aspects, rule="noninferior", **known):
    return rules.verdicts(Yardstick.of(frame, **known), aspects)[rule]


def yardstick(frame, found, **more):
    return Yardstick(Observed(frame), found, **more)


def test_a_network_is_compared_with_the_mean_of_all_trainings(lab, made):
    """By hand: the moderated variance, the error of the calibration's own mean, Welch's freedom."""
    rng = np.random.default_rng(1)
    dense, judged = lab.drawn(3, rng), lab.drawn(3, rng, lost=0.002)
    found = compare(yardstick(lab.table(dense, judged), made), "m", 0.5, lab.ACCURACY)
    theirs, own = np.array(made.scores["accuracy"].values), np.array([n["accuracy"] for n in judged])
    between = (PRIOR * EXPECTED * theirs.var(ddof=1) + 2 * own.var(ddof=1)) / (PRIOR + 2)
    parts = between / 3, theirs.var(ddof=1) / 40
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (PRIOR + 2) + parts[1] ** 2 / 39)
    assert found.population
    assert found.difference.mean == pytest.approx(theirs.mean() - own.mean())
    assert found.difference.variance == pytest.approx(sum(parts))
    bound = theirs.mean() - own.mean() + stats.t.isf(0.05, freedom) * math.sqrt(sum(parts))
    assert found.difference.bound() == pytest.approx(bound)


def test_mce_is_compared_as_a_ratio_to_the_mean_of_all_trainings(lab, made):
    rng = np.random.default_rng(2)
    dense, judged = lab.drawn(3, rng), lab.drawn(3, rng)
    found = compare(yardstick(lab.table(dense, judged), made), "m", 0.5, lab.MCE)
    ratios = [np.mean([n[k] / made.corruptions[k] for k in ("blur", "noise")]) for n in judged]
    assert found.mean == pytest.approx(stats.gmean(ratios))
    assert found.dense == pytest.approx(stats.gmean(made.scores["mce"].values))
    assert found.mean / found.dense - 1 == pytest.approx(found.scale.shown(found.difference.mean))
    expected = np.log(ratios).mean() - np.log(made.scores["mce"].values).mean()
    assert found.difference.mean == pytest.approx(expected)


def test_images_that_seeds_share_count_and_those_of_each_do_not(lab, made):
    rng = np.random.default_rng(3)
    frame = lab.table(lab.drawn(3, rng), lab.drawn(3, rng))
    plain = compare(yardstick(frame, made), "m", 0.5, lab.NLL).difference.variance
    own = frame.assign(diff_se=0.006, mean_diff_se=0.006 / math.sqrt(3))
    assert compare(yardstick(own, made), "m", 0.5, lab.NLL).difference.variance == pytest.approx(plain)
    both = frame.assign(diff_se=0.006, mean_diff_se=0.006)
    found = compare(yardstick(both, made), "m", 0.5, lab.NLL).difference.variance
    least = frame[frame["score"] == "nll"].groupby("method")["value"].mean().min()
    assert found == pytest.approx(plain + (0.006 / least) ** 2)


def test_networks_with_parents_of_their_own_are_compared_with_these(lab, made):
    rng = np.random.default_rng(4)
    frame = lab.table(lab.drawn(3, rng, lost=0.1), lab.drawn(3, rng, lost=0.1))
    found = compare(yardstick(frame, made, own_parents=True), "m", 0.5, lab.ACCURACY)
    assert (found.population, found.limit) == (False, 0.01)
    assert abs(found.difference.mean) < 0.02
    wide = compare(yardstick(frame, made, own_parents=True), "m", 0.5, lab.NLL)
    assert wide.limit == pytest.approx(made.scores["nll"].limit), "the margin is still the task's"


def test_a_run_whose_dense_networks_are_of_another_kind_is_not_judged_by_the_calibration(lab, made):
    rng = np.random.default_rng(5)
    frame = lab.table(lab.drawn(3, rng, lost=0.05), lab.drawn(3, rng, lost=0.05))
    wide = replace(made.scores["accuracy"], margin=0.05)
    made = replace(made, scores={**made.scores, "accuracy": wide})
    beside = Yardstick.of(frame, made, None, own_parents=False)
    assert beside.unlike == ("accuracy",)
    found = compare(beside, "m", 0.5, lab.ACCURACY)
    assert not found.population
    assert found.limit == lab.ACCURACY.margin, "its margin is not, either"
    assert math.isnan(found.better_than), "nor is there a place among its trainings"
    assert compare(beside, "m", 0.5, lab.NLL).population, "other scores are"
    elsewhere = Yardstick.of(frame, made, None, own_parents=True)
    assert elsewhere.unlike == (), "parents of one's own need not be like them"


def test_whether_dense_networks_are_like_the_calibration_is_decided_at_the_first_look(lab, made):
    """More seeds say it more surely; a network that stopped at the first look was judged without them."""
    off = 2.2 * math.sqrt(made.scores["accuracy"].variance)
    dense = [
        {**n, "accuracy": made.scores["accuracy"].scale.value(made.scores["accuracy"].mean) - off}
        for n in lab.drawn(6, np.random.default_rng(6))
    ]
    frame = lab.table(dense, lab.drawn(6, np.random.default_rng(7)))
    assert Yardstick.of(frame, made, None, own_parents=False).unlike == ("accuracy",)
    looked = Yardstick.of(frame, made, Looks((2, 6), tuple(range(6))), own_parents=False)
    assert looked.unlike == ()
    assert all(part.calibration == looked.calibration == made for part in looked.looks)


def test_one_network_is_compared_as_it_is_and_placed_among_the_trainings(lab, made):
    rng = np.random.default_rng(6)
    dense, judged = lab.drawn(1, rng), lab.drawn(1, rng)
    frame = lab.table(dense, judged).assign(diff_se=0.003, mean_diff_se=0.003)
    found = compare(yardstick(frame, made), "m", 0.5, lab.ACCURACY)
    theirs = np.array(made.scores["accuracy"].values)
    assert found.difference.variance == pytest.approx(theirs.var(ddof=1) / 40 + 1.5 * 0.003**2)
    assert found.better_than == pytest.approx((theirs < judged[0]["accuracy"]).mean())
    off = (theirs.mean() - judged[0]["accuracy"]) / (theirs.std(ddof=1) * math.sqrt(1 + 1 / 40))
    assert found.as_bad == pytest.approx(stats.t.sf(off, 39))
    result = verdicts(frame, lab.ASPECTS, calibration=made)[0]
    assert result.scope == "network"
    assert all(m.reference == "trainings" for m in result.matches)


def test_values_that_have_no_logarithm_are_compared_as_shares_of_the_mean(lab, made):
    rng = np.random.default_rng(7)
    judged = lab.drawn(3, rng)
    judged[0]["nll"] = 0.0
    found = compare(yardstick(lab.table(lab.drawn(3, rng), judged), made), "m", 0.5, lab.NLL)
    nll = made.scores["nll"]
    assert not found.scale.relative
    assert found.limit == pytest.approx(nll.margin * np.mean(nll.values))
    assert (found.better_than, found.as_bad) == (1.0, 1.0), "no training has a lower NLL"


def test_a_share_of_zero_is_worse_than_all_trainings_where_higher_is_better(lab, made):
    rng = np.random.default_rng(7)
    dense, judged = lab.drawn(3, rng), lab.drawn(3, rng)
    judged[1]["accuracy"] = 0.0
    shares = replace(made.scores["accuracy"], relative=True)
    made = replace(made, scores={**made.scores, "accuracy": shares})
    found = compare(yardstick(lab.table(dense, judged), made), "m", 0.5, lab.ACCURACY)
    assert (found.better_than, found.as_bad) == (0.0, 0.0)


def test_the_scatter_of_all_scores_widens_what_is_expected_and_never_narrows_it(lab, made):
    rng = np.random.default_rng(8)
    dense = lab.drawn(4, rng)
    wide = scatter(yardstick(lab.table(dense, lab.drawn(4, rng, widened=3.0)), made), "m", 0.5, lab.ASPECTS)
    narrow = scatter(yardstick(lab.table(dense, lab.drawn(4, rng, widened=0.1)), made), "m", 0.5, lab.ASPECTS)
    assert wide.whole(4, 40) > 3.0
    assert narrow.whole(4, 40) == 1.0


def test_a_score_that_scatters_alone_is_judged_by_its_own_variance(lab, made):
    """And not by what is expected of it: three seeds are then three seeds."""
    rng = np.random.default_rng(20)
    dense, judged = lab.drawn(3, rng), lab.drawn(3, rng)
    for network, lost in zip(judged, (0.0, 0.03, 0.06), strict=True):
        network["accuracy"] = 0.9 - lost
    measure = yardstick(lab.table(dense, judged), made)
    scattered = scatter(measure, "m", 0.5, lab.ASPECTS)
    assert [scattered.apart(a.score, 3, 40) for a in lab.ASPECTS] == [True, False, False]
    own, other = (compare(measure, "m", 0.5, a, scattered).difference for a in (lab.ACCURACY, lab.NLL))
    assert (own.prior, other.prior) == (0.0, PRIOR)
    assert own.between == pytest.approx(0.0009)
    assert not Scatter({"accuracy": 3.9}).apart("accuracy", 3, 60), "1.25 times F.95(2, 59) = 3.15 is 3.94"
    assert Scatter({"accuracy": 4.0}).apart("accuracy", 3, 60)
    assert not Scatter({"accuracy": 8.0, "nll": 8.0}).apart("accuracy", 3, 60), "all of them scatter"


def test_a_score_out_of_all_proportion_does_not_widen_the_others():
    ratios = {f"score {k}": 0.8 + 0.05 * k for k in range(9)}
    assert Scatter({**ratios, "wild": 400.0}).whole(3, 40) == Scatter(ratios).whole(3, 40) == 1.0
    assert Scatter({**ratios, "wild": 8.0}).whole(3, 40) == pytest.approx(1.7)
    assert Scatter(dict.fromkeys(ratios, 400.0)).whole(3, 40) == 400.0, "all of them scatter"
    assert Scatter({"one": 5.0}).whole(3, 40) == 5.0
    assert Scatter().whole(3, 40) == 1.0


def test_where_no_dense_trainings_differ_a_network_is_judged_by_its_own_variance(lab):
    """An accuracy of 100 % in all: nothing is expected of the scatter of one that has lost some."""
    perfect = tuple([0.1 + 0.2] * 8)
    known = Calibration("t", "q", tuple(range(8)), {"accuracy": DenseScore(*FLAT, perfect)}, {})
    dense = [{"accuracy": 0.1 + 0.2, "nll": 0.3, "blur": 0.1, "noise": 0.3}] * 3
    judged = [{**n, "accuracy": 0.3 - lost} for n, lost in zip(dense, (0.0, 0.015, 0.025), strict=True)]
    measure = yardstick(lab.table(dense, judged), known)
    found = compare(measure, "m", 0.5, lab.ACCURACY, scatter(measure, "m", 0.5, [lab.ACCURACY]))
    assert found.population
    own = np.var([0.0, 0.015, 0.025], ddof=1)
    assert (found.difference.between, found.difference.prior) == (pytest.approx(own), 0.0)
    assert found.difference.reference == 0.0
    p = stats.ttest_1samp([0.0, 0.015, 0.025], 0.02, alternative="less").pvalue
    assert found.difference.p_value(0.02) == pytest.approx(p)


def test_seeds_that_are_equal_by_chance_still_vary_as_their_images_do(lab):
    """Without a calibration. Two networks of few images may have the same accuracy."""
    dense = [{"accuracy": 0.9, "nll": 0.3, "blur": 0.1, "noise": 0.3}] * 2
    judged = [{**n, "accuracy": 0.893} for n in dense]
    frame = lab.table(dense, judged)
    frame.loc[frame.method == "m", ["diff_se", "mean_diff_se"]] = 0.02, 0.02 / math.sqrt(2)
    found = compare(yardstick(frame, None), "m", 0.5, lab.ACCURACY).difference
    assert found.between == pytest.approx(0.02**2)
    (verdict,) = verdicts(frame, [lab.ACCURACY])
    assert verdict.matches[0].finding == "open"


def test_seeds_that_are_near_each_other_by_chance_are_no_surer_than_their_images(lab):
    """Without a calibration. Two networks happen to lose 0.87 and 0.89 points, each ± 0.26."""
    dense = [{"accuracy": 0.9, "nll": 0.3, "blur": 0.1, "noise": 0.3}] * 2
    judged = [{**n, "accuracy": a} for n, a in zip(dense, (0.8913, 0.8911), strict=True)]
    frame = lab.table(dense, judged)
    frame.loc[frame.method == "m", ["diff_se", "mean_diff_se"]] = 0.00258, 0.00185
    found = compare(yardstick(frame, None), "m", 0.5, lab.ACCURACY).difference
    assert found.variance >= 0.00185**2 * (1 - 1e-9)
    (verdict,) = verdicts(frame, [lab.ACCURACY])
    assert verdict.matches[0].finding == "open"
    far = [{**n, "accuracy": a} for n, a in zip(dense, (0.85, 0.88), strict=True)]
    frame = lab.table(dense, far)
    frame.loc[frame.method == "m", ["diff_se", "mean_diff_se"]] = 0.00258, 0.00185
    found = compare(yardstick(frame, None), "m", 0.5, lab.ACCURACY).difference
    assert found.between == pytest.approx(0.03**2 / 2)


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_simulation_takes_the_steps_that_a_table_is_judged_by(lab, made, seeds):
    """The same networks by both: findings and bounds are the same. Accuracy has an error over images."""
    rng = np.random.default_rng(9)
    error = {"accuracy": 0.004}
    made = replace(made, scores={n: replace(s, pair_error=error.get(n)) for n, s in made.scores.items()})
    networks = [lab.drawn(seeds, rng, widened=1.5) for _ in range(5)]
    order = [made.scores[a.score] for a in lab.ASPECTS]
    places = np.array(
        [
            [[s.scale.place(made.ratio(n) if s.score == "mce" else n[s.score]) for s in order] for n in group]
            for group in networks
        ]
    )
    theirs, limit, images = _arrays(made)
    places -= theirs.mean(0)
    variance = np.broadcast_to(theirs.var(0, ddof=1), (5, 3))
    none = np.zeros((5, 3))
    trials = _trials(made, seeds, *_spread(places), none, variance, 40, none, images, limit)
    for place, group in enumerate(networks):
        frame = lab.table(lab.drawn(seeds, np.random.default_rng(10)), group)
        frame.loc[frame.method == "m", ["diff_se", "mean_diff_se"]] = 0.0  # a single seed needs to know them
        own = (frame.method == "m") & (frame.score == "accuracy")
        frame.loc[own, ["diff_se", "mean_diff_se"]] = 0.004, 0.004 / math.sqrt(seeds)  # nothing in common
        measure = yardstick(frame, made)
        scattered = scatter(measure, "m", 0.5, lab.ASPECTS)
        for k, aspect in enumerate(lab.ASPECTS):
            found = compare(measure, "m", 0.5, aspect, scattered)
            off = trials.own[place, k] + trials.off[place, k]
            assert found.difference.mean == pytest.approx(off, abs=1e-12)
            assert found.difference.reach() == pytest.approx(trials.reach[place, k], rel=1e-9)
    assert images.shape == (3,)


def test_a_network_at_the_margin_passes_in_at_most_five_per_cent_of_cases_also_where_seeds_scatter(lab, made):
    """Through tables and verdicts: accuracy is worse by its margin, all else is that of dense networks."""
    rng = np.random.default_rng(11)
    trials = 120
    for widened in (1.0, 2.0):
        passed = 0
        for _ in range(trials):
            dense = lab.drawn(3, rng)
            frame = lab.table(dense, lab.drawn(3, rng, lost=0.01, widened=widened))
            passed += verdicts(frame, lab.ASPECTS, calibration=made)[0].joint is not None
        assert passed / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_dense_networks_pass_beside_others(lab, made):
    rng = np.random.default_rng(12)
    frames = [lab.table(lab.drawn(5, rng), lab.drawn(5, rng)) for _ in range(60)]
    calibrated = [verdicts(f, lab.ASPECTS, calibration=made)[0].joint is not None for f in frames]
    plain = [verdicts(f, lab.ASPECTS)[0].joint is not None for f in frames]
    assert np.mean(calibrated) >= 0.8
    assert np.mean(plain) <= 0.1, "without a calibration it is hardly ever shown"


def test_a_table_without_errors_or_kinds_is_still_judged(lab, made):
    rng = np.random.default_rng(13)
    frame = lab.table(lab.drawn(3, rng), lab.drawn(3, rng)).drop(columns=["diff_se", "mean_diff_se"])
    frame = frame[frame["variant"] == ""]
    found = {m.score: m for m in verdicts(pd.DataFrame(frame), lab.ASPECTS, calibration=made)[0].matches}
    assert found["accuracy"].reference == "trainings"
    assert found["mce"].reference == "parents", "what is no ratio to the trainings is one to its parent"
    assert not found["accuracy"].images


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_degenerate_network_has_the_numbers_that_it_would_be_tested_by(lab, made, calibrated):
    rng = np.random.default_rng(14)
    frame = lab.table(lab.drawn(3, rng), lab.drawn(3, rng, lost=0.02))
    empty = frame.assign(status=["degenerate" if m == "m" else "ok" for m in frame["method"]])
    tested, found = (
        verdicts(f, lab.ASPECTS, calibration=made if calibrated else None)[0].matches for f in (frame, empty)
    )
    for one, other in zip(tested, found, strict=True):
        assert (other.finding, other.matches) == ("degenerate", False)
        assert math.isnan(other.p)
        for name in ("mean", "dense", "shortfall", "allowed", "practical"):
            assert getattr(other, name) == pytest.approx(getattr(one, name)), (one.score, name)
        assert (other.relative, other.reference) == (one.relative, one.reference)


def test_a_share_of_a_negative_dense_mean_is_a_margin_above_zero():
    assert margins(Scale(True), 0.1, 0.05, -2.0, True) == pytest.approx((0.2, 0.1))
    assert margins(Scale(True), 0.1, 0.05, -2.0, False) == pytest.approx((0.1, 0.05))


def test_where_errors_of_seeds_are_unknown_all_of_the_mean_is_shared():
    """As if other images changed all seeds alike."""
    rows = [Row(seed, 0.9, "ok", "", math.nan, 0.003) for seed in range(3)]
    assert shared_images(rows, rows, Scale(True)) == (pytest.approx(0.003**2), True)


def test_a_single_seed_has_the_error_over_images_of_its_parent_as_well(lab, made):
    """A network near its own parent changes with the images as the parent does, beside the mean of all."""
    frame = lab.table(lab.drawn(1, np.random.default_rng(3)), lab.drawn(1, np.random.default_rng(4)))
    known = replace(made.scores["accuracy"], pair_error=0.004)
    made = replace(made, scores={**made.scores, "accuracy": known})
    errors = {}
    for own in (0.0, 0.001, 0.01):
        frame.loc[frame.method == "m", ["diff_se", "mean_diff_se"]] = own
        errors[own] = compare(yardstick(frame, made), "m", 0.5, lab.ACCURACY).difference.shared
    assert errors == pytest.approx({own: own**2 + 0.004**2 / 2 for own in errors})


def test_a_single_seed_whose_error_over_images_is_not_known_is_not_judged(lab, made):
    frame = lab.table(lab.drawn(1, np.random.default_rng(3)), lab.drawn(1, np.random.default_rng(4)))
    frame.loc[frame.method == "m", ["diff_se", "mean_diff_se"]] = math.nan
    (verdict,) = verdicts(frame, [lab.ACCURACY], calibration=made)
    assert verdict.matches[0].finding == "undecided"


def test_seeds_have_a_tenth_of_the_images_in_common_where_a_score_is_a_share_of_them(lab, made):
    """On a calibrated task. Else what is taken to be known would make the few seeds that there are surer."""
    rng = np.random.default_rng(5)
    frame = lab.table(lab.drawn(4, rng), lab.drawn(4, rng))
    frame.loc[frame.method == "m", ["diff_se", "mean_diff_se"]] = (0.004, 0.002)  # as of nothing in common
    for calibration, least in ((made, 0.1), (None, 0.0)):
        beside = yardstick(frame, calibration)
        found = {a.score: compare(beside, "m", 0.5, a).difference.shared for a in (lab.ACCURACY, lab.NLL)}
        assert found == pytest.approx({"accuracy": least * 0.004**2, "nll": 0.0}, abs=1e-12)
