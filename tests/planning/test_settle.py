"""What a task leaves to the data that is here: its paper's bank and the published corrupted images."""

import dataclasses

import numpy as np
import pytest

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Dataset
from lthbench.planning import request, settle
from lthbench.planning.settle import settled


@pytest.fixture
def paper():
    """Chen et al.'s recipe on CIFAR-10, scored by accuracy and mCE."""
    return request.ask("c10-r20s", ["omp"], budget="paper", metrics=["accuracy", "mce"])


def published(folder, kinds, images=4):
    """Arrays of the published shape: their contents are not looked at here, and take no room."""
    folder.mkdir()
    np.save(folder / "labels.npy", np.zeros(5 * images, dtype=np.uint8))
    for kind in kinds:
        np.lib.format.open_memmap(folder / f"{kind}.npy", "w+", np.uint8, (5 * images, 32, 32, 3))


@pytest.fixture
def small(monkeypatch):
    """CIFAR-10 with four test images, so that its corrupted sets are small."""
    few = dataclasses.replace(registry.get(Dataset, "cifar10"), splits={"train": 4, "test": 4})
    real = registry.get
    monkeypatch.setattr(
        registry, "get", lambda kind, name: few if (kind, name) == (Dataset, "cifar10") else real(kind, name)
    )


def test_published_corruptions_are_taken_where_all_are_here(paper, tmp_path, small):
    kinds = [k.replace("frost_procedural", "frost") for k in paper.spec.evaluate.corruptions]
    published(tmp_path / "CIFAR-10-C", kinds)
    found = settled(paper, (tmp_path,))
    assert found.spec.evaluate.corruptions == tuple(kinds)
    assert found.spec.evaluate.corruption_source == "official"
    assert found.notes == ("corrupted images are official: CIFAR-10-C is here",)
    assert found.command().endswith(" --corruptions official")
    again = request.from_json(found.to_json(), "run.json")
    assert again.spec == found.spec
    assert settled(again, ()) == again  # decided once


def test_without_them_corruptions_are_generated_and_it_is_said(paper, tmp_path):
    found = settled(paper, (tmp_path,))
    assert found.spec.evaluate.corruption_source == "generated"
    assert "frost_procedural" in found.spec.evaluate.corruptions
    assert found.notes == ("corrupted images are generated: CIFAR-10-C is not here",)


def test_a_set_that_is_here_in_part_is_no_choice(paper, tmp_path, small):
    published(tmp_path / "CIFAR-10-C", ["fog", "snow"])
    with pytest.raises(BadInput, match=r"CIFAR-10-C is here without gaussian_noise.*--corruptions generated"):
        settled(paper, (tmp_path,))


@pytest.mark.parametrize("source", ["generated", "official"])
def test_what_is_asked_for_stays(source, tmp_path):
    asked = request.ask("c10-r20s", [], budget="paper", metrics=["mce"], corruptions=source)
    assert settled(asked, (tmp_path,)) is asked
    assert ("frost" in asked.spec.evaluate.corruptions) == (source == "official")


def test_a_source_that_there_is_not_is_refused():
    with pytest.raises(BadInput, match=r'no source of corrupted images "ofical". Did you mean official'):
        request.ask("c10-r20s", [], corruptions="ofical")


@pytest.mark.parametrize(("task", "bank"), [("img-r50", "broden"), ("cub-r50", "cub-attributes")])
def test_the_papers_bank_is_taken_where_it_is_here(task, bank, tmp_path, monkeypatch):
    asked = request.ask(task, ["omp"], metrics=["dissection"])
    without = settled(asked, (tmp_path,))
    assert without.task.data.concepts == "shapes"
    assert f"the paper's bank, {bank}, is not here. " in without.notes[0]
    assert without.command().endswith(" --concepts shapes")
    monkeypatch.setattr("lthbench.data.concepts.describe", lambda name, places: {"state": "found"})
    beside = settled(asked, (tmp_path,))
    assert beside.task.data.concepts == bank
    assert beside.notes == (f"concepts of {bank}: the paper's bank is here",)
    named = request.ask(task, ["omp"], metrics=["dissection"], concepts="shapes")
    assert settled(named, (tmp_path,)) is named


def test_a_bank_that_is_made_counts_as_here():
    asked = request.ask("img-r50", ["omp"], metrics=["dissection"])
    data = dataclasses.replace(asked.task.data, concepts=None, published_concepts="shapes")
    made = settled(dataclasses.replace(asked, task=dataclasses.replace(asked.task, data=data)), ())
    assert made.task.data.concepts == "shapes"
    assert made.notes == ("concepts of shapes: the paper's bank is here",)


def test_nothing_is_settled_that_no_metric_looks_at(tmp_path):
    asked = request.ask("img-r50", ["omp"], metrics=["accuracy"], budget="paper")
    assert settled(asked, (tmp_path,)) is asked


def test_a_plan_says_which_published_images_are_missing(paper, tmp_path, small):
    assert settle.published(paper, ()) == {}
    asked = dataclasses.replace(paper, task=request.with_corruptions(paper.task, "official"))
    kinds = [k.replace("frost_procedural", "frost") for k in asked.spec.evaluate.corruptions]
    published(tmp_path / "CIFAR-10-C", kinds[2:])
    told = settle.published(asked, (tmp_path,))
    assert told == {"CIFAR-10-C": {"state": "missing", "detail": ", ".join(kinds[:2])}}
    for kind in kinds[:2]:
        np.lib.format.open_memmap(tmp_path / "CIFAR-10-C" / f"{kind}.npy", "w+", np.uint8, (20, 32, 32, 3))
    assert settle.published(asked, (tmp_path,))["CIFAR-10-C"]["state"] == "found"
    unasked = dataclasses.replace(asked, metrics=("accuracy",))
    assert settle.published(unasked, (tmp_path,)) == {}
