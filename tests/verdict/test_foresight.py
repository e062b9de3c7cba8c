"""What is said before a run: which scores its seeds can decide."""

import dataclasses

import pytest

from lthbench.verdict.calibration import Calibration
from lthbench.verdict.foresight import foresee, text
from lthbench.verdict.simulation import POWER, simulated

SCORES = ("accuracy", "nll", "mce")


@pytest.fixture(scope="module")
def made(lab):
    return lab.calibration()


def narrow(made: Calibration) -> Calibration:
    """The same with a margin for accuracy that is as narrow as one standard deviation."""
    accuracy = dataclasses.replace(made.scores["accuracy"], margin=0.004)
    return dataclasses.replace(made, scores={**made.scores, "accuracy": accuracy})


def test_it_is_what_a_simulation_gives(made):
    found = foresee(made, SCORES, 5)
    assert found.joint == pytest.approx(simulated(made, 5, trials=1000).passes())
    assert (found.decided, found.needed, found.missing) == (SCORES, {}, ())
    assert "calibrated by 40 dense trainings: a network as good as dense passes in" in text(found, str, "x")
    assert text(found, str, "x").endswith("every calibrated score can be decided")


def test_a_score_that_stays_open_says_how_many_seeds_it_would_take(made):
    found = foresee(narrow(made), SCORES, 3)
    assert "accuracy" not in found.decided
    needed = found.needed["accuracy"]
    assert 3 < needed <= 50
    enough = dict(zip(SCORES, simulated(narrow(made), needed).matches(), strict=True))
    assert enough["accuracy"] >= POWER - 0.03
    assert f"likely to stay open: ACCURACY ({needed} seeds)" in text(found, str.upper, "x")


def test_what_no_number_of_seeds_decides_is_said(made):
    hopeless = dataclasses.replace(made.scores["accuracy"], margin=0.0002)
    found = foresee(dataclasses.replace(made, scores={"accuracy": hopeless}), ["accuracy"], 3)
    assert found.needed == {"accuracy": None}
    assert "accuracy (not with 100 either)" in text(found, str, "x")


def test_without_a_calibration_it_says_what_would_help(made):
    found = foresee(None, SCORES, 3)
    assert (found.joint, found.missing) == (None, SCORES)
    said = text(found, str, "lthbench calibrate --task mine.toml")
    assert said.startswith("3 seeds, not calibrated: ")
    assert said.endswith("What would decide them: lthbench calibrate --task mine.toml")
    part = foresee(made, [*SCORES, "fgsm_accuracy"], 3)
    assert part.missing == ("fgsm_accuracy",)
    assert text(part, str, "x").endswith("not calibrated: fgsm_accuracy")


def test_one_seed_is_of_one_network(made):
    assert "networks are judged as they are, and another seed may differ" in text(
        foresee(made, SCORES, 1), str, "x"
    )
