"""What a plan says of a calibration that is there and does not count."""

import dataclasses
from pathlib import Path

import pytest

from lthbench import registry
from lthbench.cli import foresight
from lthbench.planning import request
from lthbench.planning.plan import plan
from lthbench.results import run_facts

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
TINY = Path(__file__).resolve().parents[1] / "tiny.toml"


def planned(task: str):
    return plan(request.ask(task, ["omp"], [0.5]), (), data_needed=False)


@pytest.fixture
def digits():
    return planned("digits-r8")


def test_a_calibration_of_the_same_dense_networks_counts(digits):
    found = foresight.of_plan(digits)
    assert found.joint is not None
    assert found.reason == ""


def test_one_of_other_images_is_said_to_be_of_others(digits, monkeypatch):
    keys = run_facts.dense_keys(digits)
    monkeypatch.setattr(run_facts, "dense_keys", lambda made: dict.fromkeys(keys, "0" * 64))
    found = foresight.of_plan(digits)
    assert found.joint is None
    said = foresight.in_words(digits, found)
    assert "is of other images, another start or other versions; each score" in said


def test_where_images_are_missing_it_cannot_be_said_yet():
    made = planned("c10-r20s")
    found = foresight.of_plan(made)
    assert "counts if it is of the same images, which shows when they are here" in found.reason
    assert found.record()["reason"] == found.reason


def test_the_command_that_calibrates_names_own_files_and_the_folder_of_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    taken = EXAMPLES / "two_digits.py"
    registry.take(taken)
    registry.take(EXAMPLES / "taylor.py")
    text = TINY.read_text().replace('name = "tiny"', 'name = "mine"')
    Path("mine.toml").write_text(text.replace('dataset = "digits"', 'dataset = "two-digits"'))
    asked = request.ask("./mine.toml", ["taylor"], [0.5], metrics=["accuracy"], concepts="shapes")
    made = plan(asked, (), data_needed=False)
    found = foresight.of_plan(made)
    command = "lthbench calibrate --task ./mine.toml --budget quick --concepts shapes --data my"
    assert foresight.in_words(made, found, "my").endswith(f"{command} --plugin {taken}")
    begun = dataclasses.replace(made, request=dataclasses.replace(asked, pretrained="weights.pt"))
    assert foresight.in_words(begun, found).endswith("most stay open")
