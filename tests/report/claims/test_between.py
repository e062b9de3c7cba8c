"""Claims about several tasks: held to each table beside the others."""

from types import SimpleNamespace
from typing import Any

import pytest

from lthbench.report.claims import between
from lthbench.verdict.rules import Match, Verdict

LEVELS = (0.5, 0.8, 0.9)


def table(name, architecture, dataset, findings, budget="quick"):
    """A summary whose tickets have these findings at each level, by score."""
    matches = tuple(
        Match("imp", s, score, "noninferior", 0, 0, 0, 0, row[k] == "matches", "", row[k])
        for score, row in findings.items()
        for k, s in enumerate(LEVELS)
    )
    verdict = Verdict("imp", "noninferior", LEVELS, {}, None, (), None, (), True, None, "", matches)
    task = {"architecture": architecture, "data": {"dataset": dataset}}
    made: Any = SimpleNamespace(
        facts=SimpleNamespace(task_name=name, budget_name=budget, task=task), headline=(verdict,)
    )
    return made


def up_to(count, then="worse"):
    return ["matches"] * count + [then] * (3 - count)


@pytest.fixture(autouse=True)
def _headline(monkeypatch):
    monkeypatch.setattr(between, "headline_of", lambda summary: summary.headline[0])


def said(*summaries):
    """The findings of both claims for each table."""
    return [[row["finding"] for row in rows] for rows in between.held(summaries)]


def test_larger_networks_are_held_to_smaller_ones_of_the_same_images():
    small = table("c10-r20s", "resnet20s", "cifar10", {"accuracy": up_to(1)})
    large = table("c10-r18", "resnet18", "cifar10", {"accuracy": up_to(3)})
    found = between.held([small, large])
    assert found[1][0]["finding"] == "agrees"
    assert found[1][0]["shown"] == "imp up to 90.0 %, on c10-r20s up to 50.0 %"
    assert said(small, large) == [["not measured"] * 2, ["agrees", "not measured"]]
    flat = table("c10-r18", "resnet18", "cifar10", {"accuracy": up_to(0)})
    assert said(small, flat)[1][0] == "differs"
    unsure = table("c10-r20s", "resnet20s", "cifar10", {"accuracy": up_to(1, "open")})
    assert said(unsure, large)[1][0] == "cannot say"
    other = table("c100-r18", "resnet18", "cifar100", {"accuracy": up_to(3)})
    assert said(small, other)[1][0] == "not measured"
    longer = table("c10-r18", "resnet18", "cifar10", {"accuracy": up_to(3)}, budget="paper")
    assert said(small, longer)[1][0] == "not measured"


def test_fewer_classes_are_held_to_more_of_the_same_network():
    ten = table("c10-r18", "resnet18", "cifar10", {"accuracy": up_to(3), "ece": up_to(2)})
    hundred = table("c100-r18", "resnet18", "cifar100", {"accuracy": up_to(1), "nll": up_to(0)})
    assert said(ten, hundred) == [["not measured", "agrees"], ["not measured"] * 2]
    apart = table("c100-r18", "resnet18", "cifar100", {"nll": up_to(0)})
    assert said(ten, apart)[0] == ["not measured"] * 2


def test_several_that_say_both_say_nothing_and_what_is_unknown_is_passed_over():
    large = table("c10-r18", "resnet18", "cifar10", {"accuracy": up_to(2)})
    behind = table("c10-r20s", "resnet20s", "cifar10", {"accuracy": up_to(1)})
    ahead = table("c10-small", "resnet8", "cifar10", {"accuracy": up_to(3)})
    rows = between.held([large, behind, ahead])[0]
    assert rows[0]["finding"] == "cannot say"
    assert rows[0]["shown"].count(";") == 1
    foreign = table("mine", "of-a-plug-in", "cifar10", {"accuracy": up_to(0)})
    assert said(large, foreign) == [["not measured"] * 2] * 2
