"""Power and level of the verdict, simulated: against closed forms, and against the product's own bar."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lthbench.verdict import simulation
from lthbench.verdict.comparison import Yardstick, compare
from lthbench.verdict.observed import Observed
from lthbench.verdict.simulation import recorded, simulated
from lthbench.verdict.sureness import account, text


@pytest.fixture(scope="module")
def made(lab):
    return lab.calibration()


def test_a_mean_is_off_by_what_seeds_and_trainings_leave(made):
    found = simulated(made, 5, trials=20_000)
    expected = [math.sqrt(s.variance * (1 / 5 + 1 / 40)) for s in made.scores.values()]
    assert found.off.std(0) == pytest.approx(expected, rel=0.02)
    assert np.abs(found.off.mean(0)) == pytest.approx(0.0, abs=0.02)
    wide = simulated(made, 5, trials=20_000, widened=2.0)
    expected = [math.sqrt(s.variance * (4 / 5 + 1 / 40)) for s in made.scores.values()]
    assert wide.off.std(0) == pytest.approx(expected, rel=0.02)


def test_with_many_seeds_power_and_level_are_those_of_the_normal_test(made):
    # What all seeds lose alike does not become less with more of them: here is none.
    made = replace(made, scores={n: replace(s, pair_error=None) for n, s in made.scores.items()})
    found = simulated(made, 100, trials=3000)
    assert found.level() == pytest.approx(0.05, abs=0.015)
    assert found.passes() == 1.0
    accuracy = made.scores["accuracy"]
    error = math.sqrt(accuracy.variance * (1 / 100 + 1 / 40))
    shown = found.smallest()[0]
    assert shown <= accuracy.limit + (stats.norm.isf(0.2) - stats.norm.isf(0.05)) * error + 0.0006


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("widened", [0.7, 1.0, 1.5, 2.0])
def test_the_level_holds_also_where_all_scores_scatter_more(made, seeds, widened):
    found = simulated(made, seeds, widened=widened)
    assert found.level().max() <= 0.06
    assert found.joint_level().max() <= 0.055


def test_a_score_in_which_no_trainings_differ_leaves_the_others_as_they_are(made):
    flat = {"values": (1.0,) * len(made.seeds), "pair_error": None}
    constant = replace(made.scores["accuracy"], score="constant", **flat)
    more = replace(made, scores={**made.scores, "constant": constant})
    for seeds in (1, 3):
        found, plain = simulated(more, seeds), simulated(made, seeds)
        assert found.matches() == pytest.approx([*plain.matches(), 1.0], abs=0.02)
        assert found.passes() == pytest.approx(plain.passes(), abs=0.02)
        assert found.false_worse() == pytest.approx(plain.false_worse(), abs=0.03)
    assert recorded(more, 3).matches() == pytest.approx([*recorded(made, 3).matches(), 1.0])


def test_drawing_in_blocks_gives_the_same_numbers(made, monkeypatch):
    whole = simulated(made, 7, trials=50)
    monkeypatch.setattr(simulation, "BLOCK", 1)
    parts = simulated(made, 7, trials=50)
    for name in ("off", "own", "reach", "corrected", "p_worse"):
        assert np.array_equal(getattr(parts, name), getattr(whole, name))


def test_more_seeds_find_more(made):
    few, many = simulated(made, 3), simulated(made, 10)
    assert (many.corrected.mean(0) < few.corrected.mean(0)).all()
    assert (many.smallest() <= few.smallest() + 0.0001).all()
    assert many.passes() > few.passes()
    assert few.false_worse() <= 0.05


@pytest.mark.parametrize("widened", [1.0, 2.0, 4.0])
def test_what_is_as_good_is_hardly_ever_called_worse_on_any_score(made, widened):
    assert simulated(made, 3, trials=2000, widened=widened).false_worse() <= 0.05


def test_recorded_trainings_are_judged_by_all_others(made):
    found = recorded(made, 3, trials=3000)
    assert found.passes() == pytest.approx(simulated(made, 3, trials=3000).passes(), abs=0.12)
    assert found.level().max() <= 0.07
    expected = [math.sqrt(s.variance * (1 / 3 + 1 / 37)) for s in made.scores.values()]
    assert found.off.std(0) == pytest.approx(expected, rel=0.05)


def test_of_one_network_power_and_level_are_those_of_a_normal_test_over_images(made):
    """What it differs by is off by half of the variance over images of a difference, and by the mean's."""
    found, dense = simulated(made, 1, trials=40_000), made.scores["accuracy"]
    images, mean = dense.pair_error**2, dense.variance / 40
    bound = 1.5 * images + mean  # of its difference to its parent, and of the parent's to all
    freedom = bound**2 / (mean**2 / 39)
    reach, single = (stats.t.isf(level, freedom) * math.sqrt(bound) for level in (0.05, 0.05 / 3))
    off = math.sqrt(images / 2 + mean)
    assert found.level()[0] == pytest.approx(stats.norm.sf(reach / off), abs=0.001)
    expected = max(dense.limit - reach, single) + stats.norm.isf(0.2) * off
    assert found.smallest()[0] == pytest.approx(expected, rel=0.01)
    told = account(made, (1,))["seeds"][1]["simulated"]
    assert told["smallest"]["accuracy"] == pytest.approx(expected, rel=0.02)
    assert told["level"]["accuracy"] <= 0.05


def test_what_is_found_of_one_network_is_found_by_the_verdict(lab, made):
    """Trainings are drawn about one network, with what images change, and compared as those of a run are."""
    error, rng, draws = 0.0008, np.random.default_rng(7), 600
    dense = replace(made.scores["accuracy"], pair_error=error)
    known = replace(made, scores={**made.scores, "accuracy": dense})
    trials = simulated(known, 1, trials=20_000)
    own_images = error / math.sqrt(2.0)
    trainings = math.sqrt(dense.variance - own_images**2)
    (network,) = lab.drawn(1, rng)
    frame = lab.table([network], [network])
    frame = frame[frame["score"] == "accuracy"].reset_index(drop=True)
    frame["diff_se"] = frame["mean_diff_se"] = [math.nan, error]
    frame["value"] = 0.9
    observed = Observed(frame)

    def compared(lost):
        level = 0.9 + lost - rng.standard_normal() * own_images
        places = level + rng.standard_normal(40) * trainings + rng.standard_normal(40) * own_images
        fresh = replace(known, scores={"accuracy": replace(dense, values=tuple(places.tolist()))})
        return compare(Yardstick(observed, fresh), "m", 0.5, lab.ACCURACY).difference

    found = [compared(trials.smallest()[0]) for _ in range(draws)]
    worse = [d.p_value(dense.limit) > 0.05 and d.p_above() <= 0.05 / 3 for d in found]
    assert np.mean(worse) == pytest.approx(0.8, abs=0.05)  # three standard errors
    matches = [compared(dense.limit).p_value(dense.limit) <= 0.05 for _ in range(draws)]
    assert np.mean(matches) == pytest.approx(trials.level()[0], abs=0.015)


def test_of_one_network_nothing_is_said_of_scores_without_an_error_over_images(made):
    one, three = (account(made, (n,))["seeds"][n] for n in (1, 3))
    for name in ("level", "smallest", "passes_at_margin"):
        lacking = {score for score, value in one["simulated"][name].items() if value is None}
        assert lacking == {"nll", "mce"}, "the calibration has no error of theirs"
        assert set(one["recorded"][name].values()) == {None}, "all were scored on the same images"
        assert None not in three["simulated"][name].values()
    assert one["simulated"]["called_worse"] is None
    head, _, *rows = text(account(made, (1, 3)), str).splitlines()[2:7]
    assert "found, 1 seed " in head
    dashes = {row.split()[0]: "–" in row for row in rows}
    assert dashes == {"accuracy": False, "nll": True, "mce": True}


def test_the_account_says_it_in_words_and_numbers(lab, made):
    found = account(made, (1, 3))
    assert found["seeds"][3]["recorded"]["passes"] > 0.5
    said = text(found, str.upper, lambda name: "fraction" if name == "accuracy" else "")
    assert "task made, budget quick: 40 dense trainings" in said
    assert "ACCURACY, %" in said
    assert "Wider than practical, by retraining alone: NLL and MCE." in said
    small = account(lab.calibration(8), (1, 3))
    assert small["seeds"][3]["recorded"] is None, "too few are left for a calibration"
    assert "–" in text(small, str)
