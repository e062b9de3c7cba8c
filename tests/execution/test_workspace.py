"""A forward pass that is kept for the next images is that of the same networks, and of no others."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from lthbench import registry
from lthbench.data import loading
from lthbench.execution import workspace
from lthbench.execution.runner import Runner
from lthbench.global_state import full_precision
from lthbench.inference.folding import folded
from lthbench.inference.predict import predict, ready
from lthbench.inference.rounding import OUTPUT
from lthbench.kinds import Architecture
from lthbench.spec import Given, Init, Inputs, Predict
from lthbench.store import LocalStore
from lthbench.store.artifacts import LOGITS, WEIGHTS


@pytest.fixture
def runner(tmp_path, init):
    """A runner whose store has two networks of their own weights."""
    found = Runner(LocalStore(tmp_path), ())
    found.store.open()
    assert found.do([init, Init(init.network, 1)]) == {}
    return found


@pytest.fixture
def folds(monkeypatch):
    """The networks that were folded."""
    made = []
    monkeypatch.setattr(workspace, "folded", lambda model: made.append(model) or folded(model))
    return made


def test_a_network_whose_parameters_have_names_of_several_lines_is_refused(tmp_path, init, monkeypatch):
    shipped = registry.get(Architecture, init.network.architecture)

    def build(network):
        model: Any = shipped.build(network)
        model.register_module("la\rst", model.fc)
        del model.fc
        return model

    own = dataclasses.replace(shipped, build=build)
    monkeypatch.setitem(registry._imported, (Architecture, shipped.name), own)
    found = Runner(LocalStore(tmp_path), ())
    found.store.open()
    said = f"architecture {shipped.name}: a parameter has a name with control characters: 'la\\rst.weight'"
    assert found.do([init]) == {init.key: said}


def given(init, runner, activations):
    """The weights of a network as if made elsewhere, in the store."""
    step = Given(init.network, "0" * 64, activations=activations)
    content = {WEIGHTS.name: WEIGHTS.encode(WEIGHTS.read(runner.store, init))}
    runner.store.put(step, content, runner.space.meta(0.0))
    return step


def test_networks_are_made_ready_once_for_sets_in_a_row(runner, init, folds):
    other = Init(init.network, 1)
    data = loading.identify("digits", ())
    sets = [Inputs(data, "test", 40, "clean", 1), Inputs(data, "val", 30, "clean", 1)]
    sets.append(Inputs(data, "test", 20, "contrast", 1, (1, 5)))
    attacked = Inputs(data, "test", 10, "fgsm", 1, (8,))
    steps = [Predict(network, each) for network in (init, other) for each in [*sets, attacked]]
    steps.append(Predict(init, Inputs(data, "test", 50, "clean", 1)))
    assert runner.do(steps) == {}
    assert len(folds) == 3
    for step in steps:
        model = ready(runner.space.network(step.subject), torch.device("cpu"))
        (alone,) = predict([model], step.inputs, ())
        np.testing.assert_array_equal(LOGITS.read(runner.store, step).logits, alone.values)


def test_another_network_or_precision_has_a_pass_of_its_own(runner, init):
    rounds = given(init, runner, (("fc", OUTPUT, 0.5, 100, 255),))
    exact, space = given(init, runner, None), runner.space
    images = torch.rand(5, 1, 8, 8)
    plain = space.forward([init])
    assert space.forward([init]) is plain
    found = [space.forward(these)(images) for these in ([exact], [rounds], [Init(init.network, 1), init])]
    assert torch.equal(found[0], plain(images))
    assert not torch.equal(found[1], found[0])
    assert torch.equal(found[2][1:], found[0])
    assert not torch.equal(found[2][:1], found[0])
    plain = space.forward([init])
    with full_precision():
        assert space.forward([init]) is not plain


def test_nothing_is_kept_once_another_step_needs_a_network_or_all_are_done(runner, init):
    space = runner.space
    plain = space.forward([init])
    space.network(init)
    assert space.forward([init]) is not plain
    plain = space.forward([init])
    runner.do([])
    assert space.forward([init]) is not plain


def test_a_network_that_cannot_be_traced_is_made_anew(runner, init, monkeypatch):
    """It may hold something of the images that it saw."""
    monkeypatch.setattr(workspace, "folded", lambda model: model)
    plain = runner.space.forward([init])
    assert runner.space.forward([init]) is not plain


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ("parameters", "gives 75,009 parameters, and what build(network) makes has 75,002"),
        ("prunable", "gives 73,879 prunable weights, and what build(network) makes has 73,872"),
    ],
)
def test_a_network_of_another_size_than_its_architecture_counts_fails(
    tmp_path, init, monkeypatch, field, said
):
    own = registry.get(Architecture, "resnet8")

    def count(network):
        counts = own.count(network)
        return counts._replace(**{field: getattr(counts, field) + 7})

    other = dataclasses.replace(own, count=count)
    monkeypatch.setitem(registry._imported, (Architecture, "resnet8"), other)
    runner = Runner(LocalStore(tmp_path), ())
    runner.store.open()
    assert runner.do([init]) == {init.key: f"architecture resnet8: count(network) {said}"}
