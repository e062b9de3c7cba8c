"""A rewind point whose training is stored already: it is trained again, and may be stopped on the way."""

import dataclasses

import pytest

from lthbench.data import loading
from lthbench.execution.runner import Runner
from lthbench.spec import Data, Rewind, Train
from lthbench.store import LocalStore
from lthbench.training import savepoints


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
