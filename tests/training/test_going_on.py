"""What goes on from where it was left: a training done again for a rewind point, and single numbers."""

import dataclasses

import pytest
import torch
from torch import nn

from lthbench.data import loading
from lthbench.execution.runner import Runner
from lthbench.spec import Data, Rewind, Train
from lthbench.store import LocalStore
from lthbench.training import optimization, savepoints
from lthbench.training.optimization import Trained


@pytest.fixture
def steps(recipe, init):
    recipe = dataclasses.replace(recipe, epochs=4, images=64)
    dense = Train(init, recipe, Data("digits", 1, loading.digest(loading.find("digits", ()))), 0)
    return init, dense, Rewind(dense, 3)


@pytest.fixture
def stored(tmp_path, steps):
    """Opens a store that has the training, and not what it passed through."""

    def opened(name: str) -> LocalStore:
        store = LocalStore(tmp_path / name)
        store.open()
        assert Runner(store, ()).do(steps[:2]) == {}
        return store

    return opened


def stopping_after(epoch):
    """Says stop from then on. It is asked before the step, and after each epoch."""
    asked = -1

    def stopped():
        nonlocal asked
        asked += 1
        return asked >= epoch

    return stopped


def test_it_is_kept_after_the_epoch_and_goes_on_to_the_same_bytes(stored, steps, monkeypatch):
    rewind = steps[2]
    store, expected = stored("store"), stored("expected")
    monkeypatch.setattr(savepoints, "TELL_EVERY", 0.0)
    assert Runner(expected, ()).do([rewind]) == {}
    runner = Runner(store, ())
    assert runner.do([rewind], stopped=stopping_after(2)) == {}
    assert not store.has(rewind)
    assert list(store.saved()) == [rewind.key]
    assert savepoints.shares([rewind], store) == {rewind.key: pytest.approx(2 / 3)}
    assert runner.do([rewind]) == {}
    assert store.saved() == expected.saved() == {}
    assert store.meta(rewind)["resumed_after"] == 2
    assert store.read(rewind, "weights.safetensors") == expected.read(rewind, "weights.safetensors")
    told = [e["share"] for e in expected.events() if e.get("training") == rewind.key]
    assert told == pytest.approx([1 / 3, 2 / 3])


def test_it_is_kept_now_and_then(stored, steps, monkeypatch):
    store, kept = stored("store"), []
    save = store.save
    monkeypatch.setattr(store, "save", lambda key, content: kept.append(key) or save(key, content))
    assert Runner(store, (), save_every=0.0).do([steps[2]]) == {}
    assert kept == [steps[2].key] * 2
    assert store.saved() == {}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_is_left_of_a_single_number_lies_where_the_number_lies(recipe, optimizer):
    """A temperature, or a gate: a parameter without dimensions, and the device is no CPU."""
    model = nn.Module()
    model.gate = nn.Parameter(torch.tensor(1.0))
    made = optimization.optimizer_of(
        model.to("meta"), dataclasses.replace(recipe, optimizer=optimizer, nesterov=False)
    )
    left = {"gate": torch.tensor(0.5)}
    so_far = Trained([1.0], left, squares=left, steps=left)
    assert optimization.gone_on(made, model, so_far) == [1.0]
    devices = {key: value.device.type for key, value in made.state[model.gate].items()}
    assert devices.pop("step", "cpu") == "cpu"
    assert set(devices.values()) == {"meta"}
