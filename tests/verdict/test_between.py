"""Two methods beside each other: the numbers by hand, the level, and what cannot be compared."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lthbench.verdict.between import FINDINGS, Pairs
from lthbench.verdict.comparison import EXPECTED, PRIOR, Yardstick
from lthbench.verdict.sequential import Looks, levels


@pytest.fixture(scope="module")
def made(lab):
    return lab.calibration()


def pair(lab, one, other, dense, error=0.0):
    """A table of two methods of the same seeds."""
    parts = [lab.rows("dense", 0.0, dense)]
    for name, networks in (("a", one), ("b", other)):
        judged = [{**n, "parent": d} for n, d in zip(networks, dense, strict=True)]
        parts.append(lab.rows(name, 0.5, judged, error=error))
    return pd.DataFrame([row for part in parts for row in part])


def pairs(frame, lab, found=None, looks=None):
    return Pairs(Yardstick.of(frame, found, looks, own_parents=False), lab.ASPECTS)


def by_score(found):
    return {c.score: c for c in found}


def test_of_a_calibrated_task_both_scatters_are_drawn_to_that_of_dense_trainings(lab, made):
    """By hand: two moderated variances, Welch's freedom, a two-sided p-value, Hommel over three scores."""
    rng = np.random.default_rng(1)
    one, other, dense = lab.drawn(3, rng), lab.drawn(3, rng, lost=0.01), lab.drawn(3, rng)
    found = by_score(pairs(pair(lab, one, other, dense), lab, made).contrasts("a", "b", 0.5))["accuracy"]
    sigma = np.var(made.scores["accuracy"].values, ddof=1)
    sides = [np.array([n["accuracy"] for n in networks]) for networks in (one, other)]
    parts = [(PRIOR * EXPECTED * sigma + 2 * x.var(ddof=1)) / (PRIOR + 2) / 3 for x in sides]
    error, gap = math.sqrt(sum(parts)), sides[1].mean() - sides[0].mean()
    freedom = sum(parts) ** 2 / sum(p**2 / (PRIOR + 2) for p in parts)
    reach = stats.t.isf(0.025, freedom) * error
    assert (found.mean, found.other) == pytest.approx(tuple(x.mean() for x in sides))
    assert (found.gap, found.lower, found.upper) == pytest.approx((gap, gap - reach, gap + reach))
    assert found.p == pytest.approx(min(1.0, 3 * 2 * stats.t.cdf(gap / error, freedom)), rel=1e-6)
    assert (found.finding, found.margin) == ("better", pytest.approx(made.scores["accuracy"].margin))


def test_without_a_calibration_it_is_the_paired_t_test(lab):
    rng = np.random.default_rng(2)
    one, other, dense = lab.drawn(4, rng), lab.drawn(4, rng), lab.drawn(4, rng)
    found = by_score(pairs(pair(lab, one, other, dense), lab).contrasts("a", "b", 0.5))
    for score, take in (("accuracy", lambda v: -v), ("nll", math.log)):
        x, y = ([take(n[score]) for n in networks] for networks in (one, other))
        expected = stats.ttest_rel(x, y)
        limits = expected.confidence_interval(0.95)
        shown = (lambda v: v) if score == "accuracy" else math.expm1
        assert found[score].gap == pytest.approx(shown(np.mean(x) - np.mean(y)))
        assert (found[score].lower, found[score].upper) == pytest.approx(tuple(map(shown, limits)))
        assert found[score].relative is (score == "nll")


def test_either_way_round_says_the_same(lab, made):
    rng = np.random.default_rng(3)
    table = pair(lab, lab.drawn(3, rng), lab.drawn(3, rng, lost=0.01), lab.drawn(3, rng))
    forth, back = (by_score(pairs(table, lab, made).contrasts(*way, 0.5)) for way in (("a", "b"), ("b", "a")))
    opposite = {"better": "worse", "worse": "better"}
    for score, one in forth.items():
        other = back[score]
        assert other.finding == opposite.get(one.finding, one.finding)
        assert (other.p, other.within) == (pytest.approx(one.p), one.within)
        if not one.relative:
            assert (other.gap, other.upper) == pytest.approx((-one.gap, -one.lower))


def test_equivalent_is_what_has_its_limits_within_the_margin(lab, made):
    """Two networks that differ by chance alone; a difference by the margin; one that scatters too much."""
    seen = set()
    for seed in range(40):
        rng = np.random.default_rng([4, seed])
        one, other = lab.drawn(3, rng), lab.drawn(3, rng, lost=0.01 * (seed % 3))
        for c in pairs(pair(lab, one, other, lab.drawn(3, rng)), lab, made).contrasts("a", "b", 0.5):
            assert c.within is (c.floor < c.lower and c.upper < c.margin)
            assert c.floor == pytest.approx(-c.margin / (1 + c.margin) if c.relative else -c.margin)
            sure = c.p <= 0.05
            assert c.finding == (
                ("worse" if c.gap > 0 else "better") if sure else "equivalent" if c.within else "open"
            )
            seen.add(c.finding)
    assert seen == {"better", "equivalent", "open"}
    assert seen < set(FINDINGS)


def test_the_images_that_seeds_share_count_twice_over_at_most(lab):
    """A - B = (A - D) - (B - D): the error over images is at most the sum of both."""
    rng = np.random.default_rng(5)
    table = pair(lab, lab.drawn(3, rng), lab.drawn(3, rng), lab.drawn(3, rng))
    table.loc[table["method"] != "dense", ["diff_se", "mean_diff_se"]] = 0.004
    plain, counted = (
        by_score(pairs(t, lab).contrasts("a", "b", 0.5))["accuracy"]
        for t in (table.assign(diff_se=math.nan, mean_diff_se=math.nan), table)
    )
    assert (plain.images, counted.images) == (False, True)
    variances = [((c.upper - c.lower) / 2) ** 2 for c in (plain, counted)]
    assert variances[1] > variances[0]
    rng = np.random.default_rng(5)
    one, other = lab.drawn(3, rng), lab.drawn(3, rng)
    gaps = [b["accuracy"] - a["accuracy"] for a, b in zip(one, other, strict=True)]
    t = stats.t.isf(0.025, 2)
    assert variances[0] == pytest.approx(t**2 * np.var(gaps, ddof=1) / 3)


def test_pairs_that_are_alike_by_chance_are_no_surer_than_their_images(lab):
    """Three seeds with one difference each; errors over images of each seed's own, none in common."""
    rng = np.random.default_rng(11)
    other, dense = lab.drawn(3, rng), lab.drawn(3, rng)
    one = [{**n, "accuracy": n["accuracy"] - 0.01} for n in other]
    found = by_score(pairs(pair(lab, one, other, dense, error=0.006), lab).contrasts("a", "b", 0.5))
    reach = stats.t.isf(0.025, 2) * 0.006 / math.sqrt(3)
    assert found["accuracy"].gap == pytest.approx(0.01)
    assert found["accuracy"].upper == pytest.approx(0.01 + reach)


def test_of_one_seed_it_is_said_of_these_networks_over_images(lab, made):
    rng = np.random.default_rng(6)
    one, other, dense = lab.drawn(1, rng), lab.drawn(1, rng, lost=0.03), lab.drawn(1, rng)
    found = by_score(pairs(pair(lab, one, other, dense, error=0.002), lab, made).contrasts("a", "b", 0.5))
    gap, error = other[0]["accuracy"] - one[0]["accuracy"], 0.004
    assert found["accuracy"].gap == pytest.approx(gap)
    assert found["accuracy"].upper == pytest.approx(gap + stats.norm.isf(0.025) * error)
    assert (found["accuracy"].finding, found["accuracy"].seeds) == ("better", 1)
    bare = pair(lab, one, other, dense).assign(diff_se=math.nan, mean_diff_se=math.nan)
    for calibration in (None, made):  # nothing is known of what other seeds or images give
        untested = pairs(bare, lab, calibration).contrasts("a", "b", 0.5)
        assert {c.finding for c in untested} == {"untested"}
        assert all("no standard error" in c.reason for c in untested)


def test_what_cannot_be_compared_says_why_and_counts_in_the_correction(lab, made):
    rng = np.random.default_rng(7)
    table = pair(lab, lab.drawn(3, rng), lab.drawn(3, rng, lost=0.01), lab.drawn(3, rng))
    whole = by_score(pairs(table, lab).contrasts("a", "b", 0.5))["accuracy"]
    gated = table.copy()
    gated.loc[(gated["method"] == "b") & (gated["score"] == "nll"), ["status", "reason"]] = "gated", "too low"
    found = by_score(pairs(gated, lab).contrasts("a", "b", 0.5))
    assert found["nll"].finding == "untested"
    assert "NLL of b" in found["nll"].reason
    assert "too low" in found["nll"].reason
    assert found["accuracy"].p == pytest.approx(whole.p)
    fewer = table[~((table["method"] == "b") & (table["seed"] == 2))]
    assert {c.reason.split(" is of ")[1] for c in pairs(fewer, lab, made).contrasts("a", "b", 0.5)} == {
        "different seeds"
    }
    dead = table.copy()
    dead.loc[dead["method"] == "a", ["status", "reason"]] = "degenerate", "layer x is empty"
    assert {c.reason for c in pairs(dead, lab, made).contrasts("a", "b", 0.5)} == {
        "a is degenerate: layer x is empty"
    }
    assert all("not measured" in c.reason for c in pairs(table, lab, made).contrasts("a", "b", 0.9))


def test_of_a_run_that_added_seeds_the_looks_of_both_are_tested(lab, made):
    """At the level of its look, on the seeds that both have; a difference at an earlier look stands."""
    rng = np.random.default_rng(8)
    one, other, dense = lab.drawn(4, rng), lab.drawn(4, rng, lost=0.006), lab.drawn(4, rng)
    table = pair(lab, one, other, dense)
    table = table[~((table["method"] == "b") & (table["seed"] == 3))]
    looks = Looks((3, 4), (0, 1, 2, 3))
    found = by_score(pairs(table, lab, made, looks).contrasts("a", "b", 0.5))["accuracy"]
    first = by_score(pairs(table[table["seed"] < 3], lab, made).contrasts("a", "b", 0.5))["accuracy"]
    assert (found.seeds, found.gap) == (3, pytest.approx(first.gap))
    assert levels((3, 4), 0.025)[0] < 0.025
    assert found.upper - found.lower > first.upper - first.lower
    assert found.p > first.p


def test_what_an_earlier_look_showed_is_not_turned_round_by_the_last(lab):
    """Three seeds that are surely better, and two more by which the mean is worse."""
    rng = np.random.default_rng(10)
    other, dense = lab.drawn(5, rng), lab.drawn(5, rng)
    gaps = (-0.010, -0.0101, -0.0099, 0.05, 0.05)
    one = [{**n, "accuracy": n["accuracy"] - gap} for n, gap in zip(other, gaps, strict=True)]
    table = pair(lab, one, other, dense).assign(diff_se=math.nan, mean_diff_se=math.nan)
    found = by_score(pairs(table, lab, looks=Looks((3, 5), tuple(range(5)))).contrasts("a", "b", 0.5))
    assert found["accuracy"].gap > 0.0 > found["accuracy"].lower
    assert (found["accuracy"].finding, found["accuracy"].paired) == ("better", True)


@pytest.mark.parametrize("seeds", [3, 5])
def test_two_methods_that_train_alike_are_told_apart_in_at_most_a_twentieth(lab, made, seeds):
    told = []
    for draw in range(200):
        rng = np.random.default_rng([9, seeds, draw])
        table = pair(lab, *(lab.drawn(seeds, rng) for _ in range(3)))
        found = pairs(table, lab, made).contrasts("a", "b", 0.5)
        told.append(any(c.finding in ("better", "worse") for c in found))
    assert np.mean(told) <= 0.05


def test_networks_of_the_same_steps_are_the_same_and_nothing_is_tested(lab, made):
    """As the first round of iterative pruning is one-shot pruning; steps without a name are not the same."""
    rng = np.random.default_rng(12)
    one, dense = lab.drawn(3, rng), lab.drawn(3, rng)
    table = pair(lab, one, one, dense, error=0.01)
    keys = table["score"] + table["seed"].astype(str)
    found = by_score(pairs(table.assign(step=keys), lab, made).contrasts("a", "b", 0.5))
    assert {c.finding for c in found.values()} == {"same"}
    accuracy = found["accuracy"]
    assert (accuracy.gap, accuracy.lower, accuracy.upper, accuracy.seeds) == (0.0, 0.0, 0.0, 3)
    assert accuracy.mean == accuracy.other == pytest.approx(np.mean([n["accuracy"] for n in one]))
    others = table.assign(step=keys.where((table["method"] != "b") | (table["seed"] != 2), "other"))
    for unlike in (table, table.assign(step=""), others):
        told = pairs(unlike, lab, made).contrasts("a", "b", 0.5)
        assert "same" not in {c.finding for c in told}
