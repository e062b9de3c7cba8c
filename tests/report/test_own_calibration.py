"""Who made a table does not choose what it is judged by, or the report says so."""

import dataclasses
import json

import pytest

from lthbench.errors import BadInput
from lthbench.planning.request import ask
from lthbench.report.summary import own_calibration, summarise, yardstick_sentence
from lthbench.verdict import calibration as calibrations

SAID = "They come with this table, and not with lthbench."


def forged() -> dict:
    """The calibration of digits-r8 with values that scatter ten times as much, and the margins of these."""
    shipped = calibrations.shipped("digits-r8", "quick")
    scores = {}
    for name, score in shipped.scores.items():
        values = tuple(score.values[0] + 10 * (v - score.values[0]) for v in score.values)
        if score.relative:
            values = tuple(score.values[0] * (v / score.values[0]) ** 10 for v in score.values)
        wide = dataclasses.replace(score, values=values)
        margin = calibrations.margin(wide.scale, wide.practical, wide.variance)
        scores[name] = dataclasses.replace(wide, margin=margin)
    record = json.loads(dataclasses.replace(shipped, scores=scores).to_json())
    assert calibrations.from_json(record, "forged").scores["accuracy"].margin > 0.02
    return record


@pytest.fixture
def table_of(made_table):
    """A table of digits-r8 and its facts, with a calibration and the task as it was typed."""

    def made(calibration, typed):
        table, facts = made_table(["omp"], task="digits-r8", seeds=2, sparsities=(0.5,))
        shipped = calibrations.shipped("digits-r8", "quick")
        record = dataclasses.replace(ask("digits-r8").record(), task=typed)
        keys = {name: score.key for name, score in shipped.scores.items()}
        more = {"calibration": calibration, "requests": (record,), "dense_keys": keys}
        return table, dataclasses.replace(facts, **more)

    return made


def test_a_forged_calibration_of_a_task_that_ships_is_refused(table_of):
    with pytest.raises(BadInput, match="calibration is not that of task digits-r8"):
        summarise(*table_of(forged(), "digits-r8"))


def test_one_of_a_task_of_ones_own_is_named_as_such(table_of):
    table, facts = table_of(forged(), "mine/digits-r8.toml")
    assert own_calibration(facts) is not None
    summary = summarise(table, facts)
    assert summary.calibration is not None
    assert SAID in yardstick_sentence(summary)


def test_that_which_ships_is_taken_for_itself(table_of):
    shipped = json.loads(calibrations.shipped("digits-r8", "quick").to_json())
    for given, typed in ((shipped, "digits-r8"), (shipped, "mine/digits-r8.toml"), (None, "digits-r8")):
        summary = summarise(*table_of(given, typed))
        assert summary.calibration is not None
        assert SAID not in yardstick_sentence(summary)
