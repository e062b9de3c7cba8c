"""What an artefact holds is compared with its step: on import, by verify, and before a run reads it."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from safetensors import safe_open

from lthbench import api, registry
from lthbench.cli import main
from lthbench.errors import BadInput
from lthbench.execution.stored import stored
from lthbench.kinds import Architecture
from lthbench.planning import contents, request
from lthbench.planning.plan import plan
from lthbench.planning.step_record import restored
from lthbench.spec import (
    Explain,
    Init,
    Measure,
    Network,
    Predict,
    Prune,
    Rewind,
    Step,
    Train,
    describe,
    history,
    network_of,
)
from lthbench.store import LocalStore, layout, open_store


def asked(task: str) -> request.Request:
    return request.ask(task, ["omp", "rigl"], rounds=[1], metrics=["accuracy", "gini", "mce"])


@pytest.fixture(scope="module")
def scored(tiny_task, tmp_path_factory) -> Path:
    """A store with a finished run of all kinds of steps but networks made elsewhere."""
    folder = tmp_path_factory.mktemp("scored") / "store"
    outcome = api.execute(asked(tiny_task), api.RunOptions(store=folder, device="cpu"))
    assert not outcome.failures
    return folder


@pytest.fixture(scope="module")
def steps(tiny_task) -> list[Step]:
    return list(plan(asked(tiny_task), ()).steps)


def first(steps: list[Step], kind: type) -> Step:
    return next(step for step in steps if isinstance(step, kind))


def rewritten(root: Path, key: str, name: str, content: bytes | None) -> None:
    """Put other content into an artefact, with hashes that match: what was made wrong, not damaged."""
    folder = layout.place(root, key)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    files = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}
    files.pop("manifest.json")
    (folder / "manifest.json").write_bytes(layout.manifest_text(key, files))
    assert layout.fault(folder, key) == ""


def tensors(path: Path, change) -> bytes:
    with safe_open(path, "np") as file:
        told = file.metadata()
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(found)
    return safetensors.numpy.save(found, told)


def facts(path: Path, change) -> bytes:
    found = json.loads(path.read_bytes())
    change(found)
    return json.dumps(found).encode()


def renamed(found: dict) -> None:
    name = next(iter(found))
    found[f"module.{name}"] = found.pop(name)


def cut(name: str, axis: int):
    return lambda found: found.update({name: np.ascontiguousarray(np.delete(found[name], -1, axis))})


def first_cut(found: dict) -> None:
    name = next(name for name, array in found.items() if array.ndim)
    found[name] = np.ascontiguousarray(found[name][:-1])


#: Kind of step, file, and how it is changed (None: the file is removed).
WRONG: dict[str, tuple[type[Step], str, Any]] = {
    "weights of other names": (Train, "weights.safetensors", renamed),
    "weights that lack one": (Init, "weights.safetensors", lambda found: found.pop(next(iter(found)))),
    "weights of another shape": (Rewind, "weights.safetensors", first_cut),
    "no weights": (Train, "weights.safetensors", None),
    "a mask of another shape": (Prune, "mask.safetensors", first_cut),
    "a mask of other names": (Prune, "mask.safetensors", renamed),
    "no mask": (Prune, "mask.safetensors", None),
    "logits of fewer classes": (Predict, "logits.safetensors", cut("logits", -1)),
    "logits of fewer images": (Predict, "logits.safetensors", cut("logits", -2)),
    "logits in double": (
        Predict,
        "logits.safetensors",
        lambda found: found.update(logits=found["logits"].astype("float64")),
    ),
    "logits without labels": (Predict, "logits.safetensors", lambda found: found.pop("labels")),
    "maps of nothing": (Explain, "maps.safetensors", lambda found: found.pop("differ")),
    "scores as a list": (Measure, "scores.json", b"[]"),
    "an unknown score": (Measure, "scores.json", lambda found: found["values"][0].update(score="made-up")),
    "a score that is text": (Measure, "scores.json", lambda found: found["values"][0].update(value="0.9")),
    "a score without number": (Measure, "scores.json", lambda found: found["values"][0].pop("n")),
    "scores without values": (Measure, "scores.json", lambda found: found.pop("values")),
    "draws in rows": (
        Measure,
        "draws.safetensors",
        lambda found: found.update({name: array[None] for name, array in found.items()}),
    ),
    "a measure without seconds": (Measure, "meta.json", lambda found: found.pop("seconds")),
    "a training without a machine": (Train, "meta.json", lambda found: found.pop("environment")),
    "a mask that is not counted": (Prune, "meta.json", lambda found: found.pop("collapsed")),
    "logits without notes": (Predict, "meta.json", lambda found: found.update(notes=[])),
}


def spoil(root: Path, step: Step, name: str, change) -> None:
    path = layout.place(root, step.key) / name
    if change is None:
        content = None
    elif name.endswith(".json"):
        content = change if isinstance(change, bytes) else facts(path, change)
    else:
        content = tensors(path, change)
    rewritten(root, step.key, name, content)


def test_what_a_run_made_fits_and_every_step_is_restored_from_its_description(scored, steps):
    store = LocalStore(scored)
    assert {type(step) for step in steps} >= {Init, Train, Rewind, Prune, Predict, Explain, Measure}
    for step in filter(store.has, steps):
        assert contents.misfit(step, store.place(step.key)) == ""
        assert contents.misfit_by_key(store.place(step.key), step.key) == ""
    for step in steps:
        assert restored({s.key: describe(s) for s in history(step)}, step.key) == step


@pytest.mark.parametrize("name", ["resnet8", "resnet20s", "vgg11"])
def test_tensors_that_are_expected_are_those_of_the_network_with_its_numbers(name):
    import torch

    architecture = registry.get(Architecture, name)
    network = Network(name, architecture.version, 10, 3, 32, (0.5,) * 3, (0.2,) * 3)
    state = architecture.build(network).state_dict()
    kinds = {torch.float32: "F32", torch.int64: "I64"}
    assert contents._expected(network) == {n: (kinds[t.dtype], tuple(t.shape)) for n, t in state.items()}


@pytest.mark.parametrize("wrong", WRONG)
def test_what_does_not_fit_its_step_is_named(scored, steps, tmp_path, wrong):
    kind, name, change = WRONG[wrong]
    step = next(s for s in steps if isinstance(s, kind) and (layout.place(scored, s.key) / name).is_file())
    folder = layout.place(tmp_path, step.key)
    shutil.copytree(layout.place(scored, step.key), folder)
    spoil(tmp_path, step, name, change)
    assert name.partition(".")[0] in contents.misfit(step, folder).replace("meta.json", "meta")
    assert contents.misfit_by_key(folder, step.key) == contents.misfit(step, folder)


@pytest.mark.parametrize("change", [{"step": "Nothing"}, {"seed": "0"}, {"network": 7}, {"more": 1}])
def test_a_description_of_no_step_is_none(steps, change):
    step = first(steps, Init)
    with pytest.raises((ValueError, TypeError, KeyError, AttributeError)):
        restored({step.key: {**describe(step), **change}}, step.key)


def test_a_step_that_needs_itself_is_none():
    described = {"a" * 64: {"step": "Rewind", "train": "b" * 64, "epoch": 1}}
    described["b" * 64] = {"step": "Rewind", "train": "a" * 64, "epoch": 1}
    with pytest.raises(ValueError, match="needs itself"):
        restored(described, "a" * 64)


def key_of(described: dict[str, Any]) -> str:
    text = json.dumps(described, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def foreign(root: Path, described: dict[str, Any], *before: dict[str, Any]) -> str:
    """Put an artefact of a description that no plan makes into a store, with hashes that match."""
    files = {
        "step.json": layout.as_json({key_of(step): step for step in (described, *before)}),
        "meta.json": layout.as_json({"seconds": 1.0, "environment": {}}),
        "weights.safetensors": safetensors.numpy.save({"w": np.zeros(1, "float32")}),
    }
    key = key_of(described)
    folder = layout.place(root, key)
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    (folder / "manifest.json").write_bytes(layout.manifest_text(key, hashes))
    return key


@pytest.mark.parametrize("change", [{"classes": -3}, {"mean": [None]}, {"size": "x"}, {"classes": [[]]}])
def test_a_network_that_cannot_be_built_is_named(steps, tmp_path, change):
    store = LocalStore(tmp_path / "store")
    store.open()
    drawn, trained = (describe(first(steps, kind)) for kind in (Init, Train))
    drawn = drawn | {"network": drawn["network"] | change}
    trained = trained | {"start": key_of(drawn)}
    keys = [foreign(store.root, drawn), foreign(store.root, trained, drawn)]
    found = {audited.what.split()[1]: audited.reason for audited in store.audit(contents.misfit_by_key)}
    assert found.keys() == set(keys)
    assert all(found.values())
    with pytest.raises(BadInput, match="is not what its step makes"):
        stored(store, keys[1])


def test_sets_of_images_that_are_none_are_named(steps, tmp_path, capsys):
    store = LocalStore(tmp_path / "store")
    store.open()
    measure = first(steps, Measure)
    before = [describe(step) for step in history(*measure.needs())]
    key = foreign(store.root, describe(measure) | {"inputs": [[]]}, *before)
    with pytest.raises(SystemExit) as end:
        main(["store", "import", str(store.root), "--store", str(tmp_path / "other")])
    assert end.value.code == 1
    assert f"refused: {key}: step.json describes no step" in capsys.readouterr().out


def test_verify_and_import_name_what_does_not_fit_and_a_run_makes_it_again(
    scored, steps, tiny_task, tmp_path, capsys
):
    root = tmp_path / "store"
    shutil.copytree(scored, root)
    main(["store", "verify", "--store", str(root)])
    spoiled = [first(steps, Train), first(steps, Measure)]
    spoil(root, spoiled[0], "weights.safetensors", renamed)
    spoil(root, spoiled[1], "meta.json", lambda found: found.pop("seconds"))
    with pytest.raises(SystemExit) as end:
        main(["store", "verify", "--store", str(root)])
    said = capsys.readouterr().out
    assert end.value.code == 1
    assert f"damaged: train {spoiled[0].key}: weights.safetensors lacks " in said
    assert f"damaged: measure {spoiled[1].key}: meta.json does not say how many seconds" in said
    with pytest.raises(SystemExit) as end:
        main(["store", "import", str(root), "--store", str(tmp_path / "other")])
    said = capsys.readouterr().out
    assert end.value.code == 1
    assert all(f"refused: {step.key}: " in said for step in spoiled)
    assert not any(map(LocalStore(tmp_path / "other").has, spoiled))
    expected = api.execute(asked(tiny_task), api.RunOptions(store=scored, device="cpu")).table
    again = api.execute(asked(tiny_task), api.RunOptions(store=root, device="cpu"))
    assert again.table.equals(expected)
    assert spoiled[1].key in {p.name.partition("-")[0] for p in (root / "damaged").iterdir()}


def test_an_object_that_does_not_fit_is_made_again(scored, steps, tiny_task, tmp_path):
    pytest.importorskip("fsspec")
    store = open_store(f"file://{tmp_path}/there")
    store.open()
    measures = [step for step in steps if isinstance(step, Measure)]
    spoiled = measures[0]
    shutil.copytree(layout.place(scored, spoiled.key), store.place(spoiled.key))
    spoil(store.root, spoiled, "scores.json", lambda found: found["values"][0].update(score="made-up"))
    assert store.hold(spoiled.key)
    assert spoiled.key in (store.elsewhere() or {})
    from lthbench.planning.missing import missing

    assert spoiled in missing(plan(asked(tiny_task), ()), store)
    assert spoiled.key not in (store.elsewhere() or {})
    assert not store.has(spoiled)


def test_what_a_network_holds_is_known_whatever_torchs_defaults(steps):
    network = network_of(first(steps, Init))
    usual = contents._expected(network)
    contents._expected.cache_clear()
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert contents._expected(network) == usual
    finally:
        torch.set_default_dtype(torch.float32)
        contents._expected.cache_clear()
