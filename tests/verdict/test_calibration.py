"""What a task knows of its dense trainings: made of a table, kept in a file, bound to what it was made of."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from lthbench.errors import BadInput
from lthbench.verdict import calibration as calibrations
from lthbench.verdict.calibrating import calibrate
from lthbench.verdict.calibration import FOREIGN, MULTIPLE, fitting, foreign, from_json, read


@pytest.fixture(scope="module")
def made(lab):
    return lab.calibration()


def test_a_margin_is_the_practical_one_or_what_retraining_does(made):
    accuracy, nll = made.scores["accuracy"], made.scores["nll"]
    assert accuracy.resolved
    assert accuracy.margin == accuracy.practical == 0.01
    wide = math.expm1(MULTIPLE * np.std(nll.places, ddof=1))
    assert nll.margin == pytest.approx(wide, rel=0.005)
    assert not nll.resolved
    assert nll.limit == pytest.approx(math.log1p(nll.margin))


def test_one_training_is_worse_than_another_by_more_than_the_multiple_in_five_per_cent_of_cases():
    assert stats.norm.sf(MULTIPLE / math.sqrt(2)) == pytest.approx(0.05, abs=0.0005)


def test_mce_is_relative_to_the_mean_of_all_trainings(lab, made):
    networks = lab.drawn(40, np.random.default_rng([0, 1]))
    means = {k: np.mean([n[k] for n in networks]) for k in ("blur", "noise")}
    expected = [np.mean([n[k] / means[k] for k in means]) for n in networks]
    assert made.corruptions == pytest.approx(means, rel=1e-5)
    assert np.exp(made.scores["mce"].places) == pytest.approx(expected, rel=1e-4)
    assert np.mean(made.scores["mce"].values) == pytest.approx(1.0, rel=1e-4)
    assert math.isnan(made.ratio({"blur": 0.1}))


def test_a_file_says_all_of_it(made, tmp_path):
    path = tmp_path / "made-quick.json"
    path.write_text(made.to_json())
    assert read(path) == made
    assert len(path.read_text().splitlines()) < 45, "values stand on one line each"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda r: r.update(what="x"), "is no calibration"),
        (lambda r: r.update(schema=9), "schema 9"),
        (lambda r: r.pop("scores"), "scores"),
        (lambda r: r["scores"]["accuracy"]["values"].pop(), "accuracy: needs a value"),
        (lambda r: r["scores"]["nll"]["values"].__setitem__(0, -1.0), "nll: has a value that cannot"),
        (lambda r: r["scores"]["nll"].update(margin=0.0), "nll: its margin must be positive"),
        (lambda r: r["scores"]["nll"].update(margin=2.0), "nll: its margin, 2, is not the larger of"),
        (lambda r: r["scores"]["accuracy"].update(margin=0.05), "accuracy: its margin, 0.05, is not the"),
        (lambda r: r["scores"]["nll"]["values"].__setitem__(0, 9.0), "nll: its margin"),
        (lambda r: r["scores"].update(nll=3), "cannot be read"),
        (lambda r: r["corruptions"].update(blur=0.0), "must be positive"),
        (lambda r: r.update(seeds=[1], scores={}), None),
    ],
)
def test_a_file_that_is_not_as_it_was_written_is_refused(made, change, said):
    record = json.loads(made.to_json())
    change(record)
    if said is None:
        assert from_json(record, "here").scores == {}
    else:
        with pytest.raises(BadInput, match=said):
            from_json(record, "here")


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "not JSON"), (b"[1]", "is no calibration"), (None, "read")]
)
def test_what_is_no_file_of_one_is_refused(tmp_path, content, said):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadInput, match=said):
        read(path)


def test_it_is_bound_to_what_it_was_made_of(lab, made):
    same, outdated = fitting(made, lab.KEYS)
    assert (same.scores, outdated) == (made.scores, ())
    kept, outdated = fitting(made, {**lab.KEYS, "nll": "of another version"})
    assert (set(kept.scores), outdated) == ({"accuracy", "mce"}, ("nll",))
    assert fitting(made, {"accuracy": "x", "nll": "y"}) == (None, ("accuracy", "nll"))
    assert fitting(None, lab.KEYS) == (None, ())


def test_what_was_not_measured_is_not_outdated(lab, made):
    kept, outdated = fitting(made, {"accuracy": lab.KEYS["accuracy"]})
    assert (set(kept.scores), outdated) == ({"accuracy"}, ())


def test_a_practical_margin_or_direction_that_the_verdict_does_not_ask_for_is_of_another_version(lab, made):
    for change in ({"margin": 0.5}, {"higher_is_better": False}, {"relative_margin": True}):
        asked = [replace(a, **change) if a is lab.ACCURACY else a for a in lab.ASPECTS]
        kept, outdated = fitting(made, lab.KEYS, asked)
        assert (set(kept.scores), outdated) == ({"nll", "mce"}, ("accuracy",))
    assert fitting(made, lab.KEYS, lab.ASPECTS) == (made, ())


def test_trainings_with_the_seeds_that_are_judged_are_left_out(lab, made):
    """They would stand on both sides of the comparison."""
    assert fitting(made, lab.KEYS, seeds=(0, 1, 2))[0] == made
    kept, outdated = fitting(made, lab.KEYS, seeds=(1000, 1039, 5))
    assert (len(kept.seeds), outdated) == (38, ())
    assert kept.scores["nll"].places == made.scores["nll"].places[1:-1]
    assert kept.scores["nll"].margin == made.scores["nll"].margin
    assert fitting(made, lab.KEYS, seeds=range(1000, 1035)) == (None, ())


@pytest.mark.parametrize("name", ["../made", "made/../../x", "", "a b"])
def test_a_task_of_an_odd_name_has_none(name):
    assert calibrations.shipped(name, "quick") is None


def test_where_a_network_lies_among_the_trainings(made):
    accuracy = made.scores["accuracy"]
    assert accuracy.better_than(accuracy.scale.place(1.0)) == 1.0
    assert accuracy.better_than(accuracy.scale.place(0.5)) == 0.0
    ordered = sorted(accuracy.values)
    assert accuracy.better_than(accuracy.scale.place(ordered[10])) == pytest.approx(10.5 / 40)


def test_a_likely_mean_is_one_by_students_distribution_for_new_observations(made):
    accuracy = made.scores["accuracy"]
    error = np.std(accuracy.values, ddof=1) * math.sqrt(1 / 3 + 1 / 40)
    place = accuracy.mean + 2.0 * error
    assert accuracy.as_likely(place, 3) == pytest.approx(2 * stats.t.sf(2.0, 39), rel=1e-9)
    assert accuracy.as_bad(place, 3) == pytest.approx(stats.t.sf(2.0, 39), rel=1e-9)
    assert accuracy.as_bad(accuracy.mean) == pytest.approx(0.5)


def test_dense_networks_of_another_kind_are_told_and_others_hardly_ever(made):
    rng = np.random.default_rng(5)
    accuracy = made.scores["accuracy"]
    own = [[-0.9 - 0.004 * rng.standard_normal() for _ in range(3)] for _ in range(2000)]
    assert sum(foreign(accuracy, places, 3) for places in own) <= 4
    assert foreign(accuracy, [p + 0.03 for p in own[0]], 3)
    assert not foreign(accuracy, [], 3)


def test_a_run_is_held_to_a_thousandth_over_all_of_its_scores(made):
    accuracy = made.scores["accuracy"]
    spread = np.linspace(min(accuracy.places) - 0.1, min(accuracy.places), 2000)
    place = next(p for p in spread if FOREIGN / 3 < accuracy.as_likely(p) < FOREIGN)
    assert foreign(accuracy, [place], 1)
    assert not foreign(accuracy, [place], 3)


def test_too_few_networks_or_values_that_cannot_be_compared_are_refused(lab):
    rng = np.random.default_rng(0)
    few = pd.DataFrame(lab.rows("dense", 0.0, lab.drawn(5, rng)))
    with pytest.raises(BadInput, match="at least 6 dense networks; these are 5"):
        calibrate(few, lab.ASPECTS, lab.KEYS, {}, "made", "quick")
    networks = lab.drawn(8, rng)
    networks[3]["nll"] = 0.0
    with pytest.raises(BadInput, match="nll of the dense network of seed 3"):
        calibrate(pd.DataFrame(lab.rows("dense", 0.0, networks)), lab.ASPECTS, lab.KEYS, {}, "made", "quick")
    with pytest.raises(BadInput, match="no score of the verdict"):
        calibrate(few[few["score"] == "nll"], [lab.ACCURACY], lab.KEYS, {}, "made", "quick")


def test_values_that_the_file_has_rounded_are_as_good_as_those_they_were(made):
    """535 of 540 is 0.990741 in a calibration."""
    known = replace(made.scores["accuracy"], values=(0.988889, 0.990741, 0.990741, 0.992593))
    assert known.better_than(known.scale.place(535 / 540)) == (1 + 0.5 * 2) / 4
    equal = replace(known, values=(0.983333,) * 8)
    assert not foreign(equal, [equal.scale.place(59 / 60)] * 3, 10)
    assert foreign(equal, [equal.scale.place(58 / 60)] * 3, 10)
