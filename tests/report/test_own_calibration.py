"""Who made a table does not choose what it is judged by, or the report says so."""

import dataclasses
import json
from statistics import fmean

import pytest

from lthbench.errors import BadInput
from lthbench.planning.request import ask
from lthbench.report import answer, leaderboard, markdown, shell, task_page
from lthbench.report.summary import own_calibration, sentence, standing, summarise
from lthbench.report.yardstick import yardstick_sentence
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
        dense = (table["method"] == "dense") & (table["variant"] == "")
        for name, score in shipped.scores.items():
            table.loc[dense & (table["score"] == name), "value"] = fmean(score.values)
        record = dataclasses.replace(ask("digits-r8").record(), task=typed)
        keys = {name: score.key for name, score in shipped.scores.items()}
        more = {"calibration": calibration, "requests": (record,), "dense_keys": keys}
        return table, dataclasses.replace(facts, **more)

    return made


def test_a_forged_calibration_of_a_task_that_ships_is_refused(table_of):
    with pytest.raises(BadInput, match="calibration is not that of task digits-r8"):
        summarise(*table_of(forged(), "digits-r8"))


def test_a_run_whose_own_dense_networks_are_not_like_the_trainings_names_the_scores(table_of):
    table, facts = table_of(None, "digits-r8")
    dense = (table["method"] == "dense") & (table["variant"] == "")
    assert "not like these trainings" not in yardstick_sentence(summarise(table, facts))
    table.loc[dense & (table["score"] == "accuracy"), "value"] = 0.5
    said = yardstick_sentence(summarise(table, facts))
    assert "not like these trainings (p below .001 over all scores) in accuracy: the calibration" in said
    summary = summarise(table, facts)
    assert "accuracy" not in summary.calibration.scores
    assert summary.pairs._yardstick is summary.yardstick, "it is decided once"


def test_one_of_a_task_of_ones_own_is_named_as_such(table_of):
    table, facts = table_of(forged(), "mine/digits-r8.toml")
    assert own_calibration(facts) is not None
    summary = summarise(table, facts)
    assert summary.calibration is not None
    assert SAID in yardstick_sentence(summary)


def test_the_trainings_that_networks_are_compared_with_stand_beside_the_dense_ones_of_the_table(table_of):
    summary = summarise(*table_of(None, "digits-r8"))
    values = calibrations.shipped("digits-r8", "quick").scores["accuracy"].values
    assert summary.trainings["accuracy"].mean == pytest.approx(fmean(values))
    own, trainings = leaderboard.board(summary).dense
    assert (own[0], trainings[0]) == ("dense, these seeds", f"dense, {len(values)} trainings")
    assert trainings[1][0] == summary.trainings["accuracy"].text
    assert [row["method"] for row in markdown.score_rows(summary)][:2] == ["dense", trainings[0]]
    row = task_page._rows(summary)[1]
    assert (row["method"], row["cells"][0]["text"]) == (trainings[0], trainings[1][0])
    page = task_page.render(summary)
    assert trainings[0] in page
    assert "one training is worse than another by that much in 5 of 100 cases" in page
    assert "Worse is said after a correction for all scores of a network (Hommel)" in page
    assert "less than the spread over seeds is not a finding" not in page
    assert "Behind ± is the standard deviation over seeds." in page


def test_without_a_calibration_the_dense_networks_stand_alone(made_table):
    summary = summarise(*made_table(["omp"], sparsities=(0.5,)))
    assert [name for name, _ in leaderboard.board(summary).dense] == ["dense itself"]
    assert [row["method"] for row in markdown.score_rows(summary)] == ["dense", "omp"]


def test_a_verdict_of_fewer_scores_than_lth_pass_asks_for_says_so(made_table):
    table, facts = made_table(["omp"], sparsities=(0.5,))
    task = {**facts.task, "data": {"dataset": "cifar10", "concepts": "shapes"}}
    keep = {"accuracy", "ece"}
    few = dataclasses.replace(facts, task=task, aspects=tuple(a for a in facts.aspects if a.score in keep))
    summary = summarise(table[table["score"].isin(keep)].assign(value=0.9, se=0.001), few)
    assert len(summary.lacking) == 11
    said = "on the 2 scores measured (of 13) up to 50.0 %, the highest measured."
    assert sentence(summary, summary.headline[0]) == f"omp is as good as its dense parent {said}"
    one = "As good as dense on the 2 scores measured, of 13 for LTH-PASS."
    assert answer.of_network(summary, summary.headline[0].at(0.5)) == one
    told = "Not measured, of the 13 scores that LTH-PASS asks for: mCE"
    assert told in " ".join(shell.text(summary).split())
    assert told in markdown.render(summary)
    assert told in task_page.render(summary)
    whole = summarise(table, facts)
    assert whole.lacking == ()
    assert "Not measured" not in markdown.render(whole)


def test_one_network_that_is_worse_and_no_worse_than_many_trainings_may_have_had_bad_luck(made_table):
    shipped = calibrations.shipped("digits-r8", "quick")
    table, facts = made_table(["omp"], task="digits-r8", seeds=1, sparsities=(0.5,))
    ordered = sorted(shipped.scores["accuracy"].values)
    table = table[(table["score"] == "accuracy") & (table["variant"] == "")]
    table = table.assign(value=ordered[len(ordered) // 5], se=1e-6, diff_se=1e-6, mean_diff_se=1e-6)
    aspects = tuple(a for a in facts.aspects if a.score == "accuracy")
    keys = {name: score.key for name, score in shipped.scores.items()}
    summary = summarise(table, dataclasses.replace(facts, aspects=aspects, dense_keys=keys))
    (found,) = summary.headline[0].at(0.5)
    said = standing(summary, summary.headline[0])
    assert ("the luck of one training" in said) == (found.finding == "worse")
    assert "omp at 50.0 % alone cannot be told from one of them" in said
    worse = dataclasses.replace(found, finding="worse", matches=False)
    unlucky = dataclasses.replace(summary.headline[0], matches=(worse,))
    assert "so that what is worse here may be the luck of one training" in standing(summary, unlucky)


def test_a_network_is_told_from_trainings_at_five_per_cent_over_all_of_its_scores(table_of):
    summary = summarise(*table_of(None, "digits-r8"))
    result = summary.headline[0]
    one, other = (m for m in result.matches if m.score in ("accuracy", "nll"))
    one = dataclasses.replace(one, as_bad=0.03, better_than=0.1)
    for beside, told in (([], "is told from them by accuracy"), ([0.5], "cannot be told from one of them")):
        others = tuple(dataclasses.replace(other, as_bad=p, better_than=0.5) for p in beside)
        alone = dataclasses.replace(result, scope="network", matches=(one, *others))
        assert told in standing(summary, alone)


def test_that_which_ships_is_taken_for_itself(table_of):
    shipped = json.loads(calibrations.shipped("digits-r8", "quick").to_json())
    for given, typed in ((shipped, "digits-r8"), (shipped, "mine/digits-r8.toml"), (None, "digits-r8")):
        summary = summarise(*table_of(given, typed))
        assert summary.calibration is not None
        assert SAID not in yardstick_sentence(summary)
