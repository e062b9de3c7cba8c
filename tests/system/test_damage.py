"""What is damaged in the store between two runs, the second repairs, with the same table as before."""

import shutil
from pathlib import Path

import pytest

from lthbench import api
from lthbench.errors import Unwritable
from lthbench.planning import request
from lthbench.results import table
from lthbench.store import LocalStore

NAMES = (
    "weights.safetensors",
    "mask.safetensors",
    "logits.safetensors",
    "scores.json",
    "meta.json",
    "step.json",
    "manifest.json",
)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES = {"flipped": flip, "removed": Path.unlink, "gone": lambda path: shutil.rmtree(path.parent)}


def run(task: str, store: Path) -> str:
    """The table of a small run, as text."""
    outcome = api.execute(
        request.ask(task, ["omp"], rounds=[1], metrics=["accuracy"]),
        api.RunOptions(store=store, device="cpu"),
    )
    assert not outcome.failures
    assert table.COLUMNS.keys() == set(outcome.table.columns)
    return outcome.table.to_csv()


@pytest.fixture(scope="module")
def scored(tiny_task, tmp_path_factory) -> tuple[Path, str]:
    """A store with a finished run, and its table."""
    folder = tmp_path_factory.mktemp("scored") / "store"
    return folder, run(tiny_task, folder)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_whatever_is_damaged_between_runs_the_next_one_repairs_it(scored, tiny_task, tmp_path, name, damage):
    folder = tmp_path / "store"
    shutil.copytree(scored[0], folder)
    if name != "scores.json":
        for scores in list((folder / "steps").rglob("scores.json")):
            shutil.rmtree(scores.parent)
    victims = list((folder / "steps").rglob(name))
    assert victims
    for path in victims:
        DAMAGES[damage](path)
    assert run(tiny_task, folder) == scored[1]
    again = (folder / "events.jsonl").read_bytes()
    assert run(tiny_task, folder) == scored[1]
    assert (folder / "events.jsonl").read_bytes() == again


def test_facts_damaged_before_a_finished_measure_are_repaired(scored, tiny_task, tmp_path):
    """The run's measures are whole; what came before them is still told of in reports."""
    folder = tmp_path / "store"
    shutil.copytree(scored[0], folder)
    victims = [p for p in (folder / "steps").rglob("meta.json") if not (p.parent / "scores.json").exists()]
    for path in victims:
        flip(path)
    assert run(tiny_task, folder) == scored[1]
    assert len(list((folder / "damaged").iterdir())) == len(victims)


@pytest.mark.long
@pytest.mark.parametrize("after", [1, 3])
@pytest.mark.parametrize("what", ["folder", "content"])
def test_a_store_that_is_deleted_under_a_run_can_be_used_again(
    scored, tiny_task, tmp_path, monkeypatch, what, after
):
    put, done = LocalStore.put, []

    def deleting(store, *artefact):
        new = put(store, *artefact)
        done.append(new)
        if len(done) == after:
            shutil.rmtree(store.root)
            if what == "content":
                store.root.mkdir()
        return new

    monkeypatch.setattr(LocalStore, "put", deleting)
    folder = tmp_path / "store"
    if what == "folder":
        with pytest.raises(Unwritable, match="the folder was deleted"):
            run(tiny_task, folder)
        assert not folder.exists()
    assert run(tiny_task, folder) == scored[1]
    assert len(done) > after + 3
