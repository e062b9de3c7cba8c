"""What a metric is shown: finite logits or a reason, and out-of-distribution images with their classes."""

import dataclasses

import numpy as np
import pytest

from lthbench import api, registry
from lthbench.execution import predict as verb
from lthbench.inference.predict import predict
from lthbench.kinds import Dataset, Metric


@pytest.fixture
def sick(monkeypatch):
    """Lets the passes of every network but the dense one yield a logit that is no number, on test images."""
    seen = []

    def instead(models, inputs, places, kept=None):
        (logits,), (model,) = predict(models, inputs, places, kept), models
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

    monkeypatch.setattr(verb, "predict", instead)
    return seen


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
