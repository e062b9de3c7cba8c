"""A network made elsewhere is held to the digest in its step: on import, by verify, before it is scored."""

import dataclasses
import hashlib
import shutil

import pytest
import safetensors.torch
import torch

from lthbench import masks, registry
from lthbench.checkpoints import files, importing, pretrained, taking
from lthbench.cli import main
from lthbench.kinds import Architecture
from lthbench.planning import contents, digests, plan
from lthbench.planning import task as tasks
from lthbench.store import LocalStore, layout

NETWORK = plan.network(tasks.load("digits-r8"))


@pytest.fixture(scope="module")
def taken() -> taking.Taken:
    """A ResNet-8 without half of its weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = registry.get(Architecture, "resnet8").build(NETWORK)
        held = {name: torch.rand(w.shape) < 0.5 for name, w in masks.prunable(model).items()}
    return taking.take(NETWORK, files.of(model.state_dict(), "model"), files.of(held, "mask"))


@pytest.fixture
def store(taken, tmp_path) -> LocalStore:
    made = LocalStore(tmp_path / "store")
    made.open()
    importing.publish(made, [taken])
    return made


def spoil(store: LocalStore, key: str, name: str, change) -> None:
    """Change the tensors of an artefact, with hashes that match."""
    folder = store.place(key)
    found = safetensors.torch.load((folder / name).read_bytes())
    change(found)
    with safetensors.safe_open(folder / name, "pt") as file:
        told = file.metadata()
    (folder / name).write_bytes(safetensors.torch.save(found, told))
    hashes = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    hashes.pop("manifest.json")
    (folder / "manifest.json").write_bytes(layout.manifest_text(key, hashes))
    assert layout.fault(folder, key) == ""


def shifted(name: str):
    return lambda found: found[name].add_(1)


def turned(name: str):
    return lambda found: found.update({name: found[name] ^ 128})  # the first bit of eight


WRONG = {
    "weights": ("weights.safetensors", shifted("fc.weight")),
    "statistics": ("weights.safetensors", shifted("bn1.running_mean")),
    "pixels": ("weights.safetensors", lambda found: found["normalize.std"].mul_(2)),
    "mask": ("mask.safetensors", turned("conv1.weight")),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_another_network_in_the_place_of_one_is_refused_and_put_aside(taken, store, tmp_path, capsys, wrong):
    key = taken.step.key
    assert contents.misfit(taken.step, store.place(key)) == ""
    spoil(store, key, *WRONG[wrong])
    said = f"another network than the step names: their digest is not {taken.step.digest[:12]}"
    assert said in contents.misfit(taken.step, store.place(key))
    for verb in (
        ["verify", "--store", str(store.root)],
        ["import", str(store.root), "--store", str(tmp_path / "b")],
    ):
        with pytest.raises(SystemExit) as end:
            main(["store", *verb])
        assert end.value.code == 1
        assert said in capsys.readouterr().out
    assert not LocalStore(tmp_path / "b").has(taken.step)
    importing.publish(store, [taken])  # as scoring does first
    assert contents.misfit(taken.step, store.place(key)) == ""
    assert [p.name.partition("-")[0] for p in (store.root / "damaged").iterdir()] == [key]


def test_a_network_whose_last_layer_was_drawn_has_its_digest(taken, tmp_path):
    begun = pretrained._with_new_head(NETWORK, taken, 3)
    store = LocalStore(tmp_path / "store")
    store.open()
    importing.publish(store, [begun])
    assert contents.misfit(begun.step, store.place(begun.step.key)) == ""
    spoil(store, begun.step.key, *WRONG["pixels"])
    assert "another network" in contents.misfit(begun.step, store.place(begun.step.key))


def test_a_whole_store_of_a_network_can_be_imported(taken, store, tmp_path):
    shutil.copytree(store.root, tmp_path / "a")
    main(["store", "import", str(tmp_path / "a"), "--store", str(tmp_path / "b")])
    assert LocalStore(tmp_path / "b").has(taken.step)


def test_an_idle_tensor_that_no_file_had_is_stored_as_zeros_and_stands_in_no_digest(taken):
    weights = {"fc.weight": torch.ones(2, 2), "fc.bias": torch.zeros(2)}
    step = dataclasses.replace(taken.step, digest=digests.digest(weights, None))
    assert digests.has_digest(step, {**weights, "aux1.weight": torch.zeros(3)}, None)
    assert not digests.has_digest(step, {**weights, "aux1.weight": torch.ones(3)}, None)
    assert not digests.has_digest(step, {**weights, "fc.more": torch.zeros(3)}, None)
