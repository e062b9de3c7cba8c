"""What a metric is shown: finite logits or a reason, and out-of-distribution images with their classes."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from lthbench import api, registry
from lthbench.data import loading
from lthbench.errors import StepFailed
from lthbench.execution import predict as verb
from lthbench.execution.context import StoredContext
from lthbench.execution.workspace import Workspace
from lthbench.inference.batches import as_pixels
from lthbench.kinds import Dataset, Metric
from lthbench.planning.plan import network
from lthbench.planning.task import load
from lthbench.spec import Data, Init, Inputs, Measure
from lthbench.store import LocalStore, layout


@pytest.fixture
def sick(monkeypatch):
    """Lets the passes of every network but the dense one yield a logit that is no number, on test images."""
    seen, passed = [], verb._logits

    def instead(steps, space):
        (logits,), (step,) = passed(steps, space), steps
        inputs, model = step.inputs, space.network(step.subject)
        zeros = sum(int((p == 0).sum()) for p in model.parameters())
        if (
            inputs.view == "clean"
            and inputs.split == "test"
            and inputs.data.name == "digits"
            and zeros > 1000
        ):
            seen.append(inputs)
            logits.values[3, 1] = np.nan
        return [logits]

    monkeypatch.setattr(verb, "_logits", instead)
    return seen


def test_images_that_are_looked_at_are_those_whose_logits_are_read():
    inputs = Inputs(loading.identify("digits", ()), "test", 20, "clean", 1, (), 40)
    step = Measure("x", "1", Init(network(load("digits-r8")), 0), (), looks=(("some", inputs),))
    shown = StoredContext(Workspace(LocalStore("none"), ()), step, step.subject).images("some")
    chosen, whole = loading.numbers(540, 20, 40), loading.load("digits", "test", ())
    assert np.array_equal(shown.labels, whole.labels[chosen])
    assert np.array_equal(shown.pixels[:], whole.pixels[chosen])


@pytest.mark.parametrize("count", [0, 20])
def test_what_a_metric_changes_in_its_images_stays_as_it_is_for_others(context, count):
    inputs = Inputs(Data("digits", 1, ""), "test", count, "clean", 1)
    step = dataclasses.replace(context._step, looks=(("some", inputs),))
    kept = loading.load("digits", "test", ())
    before = (np.array(kept.pixels), kept.labels.copy())
    shown = StoredContext(context._space, step, step.subject).images("some")
    shown.pixels[:] += np.uint8(1)
    shown.labels[:] += 1
    assert np.array_equal(kept.pixels[:], before[0])
    assert np.array_equal(kept.labels, before[1])


def test_the_images_of_concepts_cannot_be_changed_for_others(context):
    inputs = Inputs(Data("digits", 1, ""), "test", 0, "bank/shapes", 1)
    step = dataclasses.replace(context._step, looks=(("concepts", inputs),))
    bank = StoredContext(context._space, step, step.subject).concepts()
    for shared in (bank.pixels, bank.layers):
        with pytest.raises(ValueError, match="read-only"):
            shared[0] = 0
    assert as_pixels(bank.pixels[:2], torch.device("cpu")).max() <= 1.0  # without a warning


def test_logits_that_are_no_numbers_fail_the_scores_that_read_them_and_nothing_else(
    sick, tiny_task, tmp_path
):
    found = api.run(
        tiny_task,
        ["omp"],
        rounds=[4],
        seeds=1,
        metrics=["accuracy", "fgsm", "nll"],
        store=tmp_path / "store",
        device="cpu",
    )
    assert sick, "the network should have been pruned"
    status = {(r.method, r.metric): (r.status, r.reason) for r in found.itertuples()}
    bad = ("failed", "the network's logits on test are not finite")
    assert status["omp", "accuracy"] == status["omp", "nll"] == bad
    assert status["omp", "fgsm"][0] == "ok"
    assert {status["dense", m][0] for m in ("accuracy", "fgsm", "nll")} == {"ok"}


def test_ood_images_come_with_the_classes_that_they_were_collected_against(monkeypatch, tiny_task, tmp_path):
    given = []
    ood = registry.get(Metric, "ood")
    patches = registry.get(Dataset, "photo-patches")
    changed = {
        "ood": dataclasses.replace(ood, measure=lambda c: given.append(c.sets("ood")) or ood.measure(c)),
        "photo-patches": dataclasses.replace(patches, against={"digits": (3, 5), "cifar10": (1,)}),
    }
    get = registry.get
    monkeypatch.setattr(registry, "get", lambda kind, name: changed.get(name) or get(kind, name))
    found = api.run(tiny_task, [], seeds=1, metrics=["ood"], store=tmp_path / "store", device="cpu")
    assert given[0]["photo-patches"].against == (3, 5)
    numbers = found[found["score"] == "ood_auroc"].set_index("variant")["n"]
    assert numbers[""] < numbers["all classes"]


ODD = ("", "per class.csv", ".hidden", "-rf", "a/b.csv", "../b.csv", "a\\b.csv", "é.csv", "a\n", "x" * 101)


@pytest.fixture
def context(init, tmp_path):
    inputs = Inputs(Data("digits", 1, ""), "test", 0, "clean", 1)
    step = Measure("own", "1", init, (("test", inputs),))
    return StoredContext(Workspace(LocalStore(tmp_path), ()), step, init)


@pytest.mark.parametrize("name", [*layout.EVERY, "scores.json", "draws.safetensors", "Manifest.json", *ODD])
def test_a_name_that_no_file_of_an_artefact_has_fails_the_metric_that_attaches_it(context, name):
    with pytest.raises(StepFailed, match=r"metric own attaches .*, which is no name for a file"):
        context.attach(name, b"x")
    assert context.attached == {}


@pytest.mark.parametrize("asked", ["own", "reference"])
def test_a_metric_that_is_not_relative_is_told_nothing_of_the_dense_parent(context, asked):
    with pytest.raises(StepFailed, match="metric own asks for the dense parent but is not declared relative"):
        getattr(context, asked)


def test_a_relative_metric_is_told_whether_a_network_is_the_dense_parent(context):
    step = dataclasses.replace(context._step, reference=context._subject)
    pruned = dataclasses.replace(context._subject, seed=context._subject.seed + 1)
    assert StoredContext(context._space, step, context._subject).own
    other = StoredContext(context._space, step, pruned)
    assert not other.own
    assert other.reference.own


def test_other_names_are_kept(context):
    context.attach("per_class-1.csv", b"x")
    assert context.attached == {"per_class-1.csv": b"x"}


def test_images_are_numbered_by_their_places_in_the_files_where_some_are_taken(
    monkeypatch, tiny_task, tmp_path
):
    path = tmp_path / "some.toml"
    path.write_text(re.sub(r"test_images = \d+", "test_images = 60", Path(tiny_task).read_text()))
    told = []
    metric = registry.get(Metric, "accuracy")
    changed = dataclasses.replace(
        metric, measure=lambda c: told.append((c.numbers("test"), c.logits("test"))) or metric.measure(c)
    )
    get = registry.get
    monkeypatch.setattr(registry, "get", lambda kind, n: changed if n == "accuracy" else get(kind, n))
    api.run(str(path), [], seeds=1, metrics=["accuracy"], store=tmp_path / "store", device="cpu")
    (numbers, logits), *_ = told
    assert len(set(numbers)) == 60
    assert numbers.tolist() != sorted(numbers)
    assert logits.labels.tolist() == loading.load("digits", "test", ()).labels[numbers].tolist()
