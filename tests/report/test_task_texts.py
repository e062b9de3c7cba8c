"""What pages say of a task that ships is what it says here, whatever the file of a table says."""

import dataclasses
import json

import pytest

from lthbench.planning import task
from lthbench.report import task_texts


@pytest.fixture
def said(made_table):
    """The facts of a table of a task that ships, with words of another's; its fields can be changed."""
    ships = task.load("digits-r8")

    def made(typed="digits-r8", budget="quick", **changed):
        spec = json.loads(json.dumps(dataclasses.asdict(ships.budgets()[budget])))
        _, facts = made_table(("imp",), "digits-r8", budget)
        asked = tuple(dataclasses.replace(r, task=typed) for r in facts.requests)
        words = {"about": "trained for 1000 epochs", "source": "NeurIPS"}
        own = {"name": budget, **spec, **words, **changed}
        return dataclasses.replace(facts, requests=asked, task=facts.task | words, budget=own)

    return made


@pytest.mark.parametrize("budget", ["quick", "quick-bf16"])
def test_a_task_that_ships_has_its_own_words(said, budget):
    ships = task.load("digits-r8")
    assert task_texts.about(said(budget=budget)) == ships.about
    assert task_texts.recipe(said(budget=budget)) == ships.budgets()[budget].about
    assert task_texts.source(said(budget=budget)) == ships.budgets()[budget].source


def test_a_task_of_ones_own_and_another_recipe_have_those_of_their_file(said):
    for facts in (said("./digits-r8.toml"), said(rewind_epoch=7)):
        assert task_texts.recipe(facts) == "trained for 1000 epochs"
    assert task_texts.about(said("./digits-r8.toml")) == "trained for 1000 epochs"
    other = dataclasses.replace(said(), task={**said().task, "name": "mine"})
    assert task_texts.about(other) == task_texts.recipe(other) == "trained for 1000 epochs"
