"""The store holds an artefact whole or not at all, and notices every damage to it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lthbench import spec
from lthbench.compute.process import machine
from lthbench.errors import BadInput, Damaged, Unwritable
from lthbench.spec import Init
from lthbench.store import LocalStore, local
from lthbench.store.layout import SCHEMA

FILES = {"weights.safetensors": b"0123456789" * 50, "note.txt": b"x"}
ALL = ("weights.safetensors", "note.txt", "meta.json", "step.json", "manifest.json")


@pytest.fixture
def store(tmp_path) -> LocalStore:
    opened = LocalStore(tmp_path / "store")
    opened.open()
    return opened


@pytest.fixture
def kept(store, init) -> LocalStore:
    """A store with one artefact."""
    assert store.put(init, FILES, {"seconds": 1.5})
    return store


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


DAMAGES = {"flipped": flip, "cut": cut, "emptied": lambda p: p.write_bytes(b""), "removed": Path.unlink}


def test_an_artefact_that_describes_another_step_is_damaged(kept, init):
    """With a manifest that fits it: by its description alone it is of another step."""
    folder = kept.root / kept.path_of(init.key)
    described = json.dumps({init.key: {**spec.describe(init), "seed": 7}}).encode()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"]["step.json"] = hashlib.sha256(described).hexdigest()
    (folder / "step.json").write_bytes(described)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Damaged, match=r"step\.json is of another step"):
        LocalStore(kept.root).verified(init)


def test_what_is_put_is_read(kept, init):
    assert kept.has(init)
    assert kept.intact(init)
    assert {name: kept.read(init, name) for name in FILES} == FILES
    assert kept.meta(init) == {"seconds": 1.5}
    described = json.loads(kept.read(init, "step.json"))
    assert described[init.key] == spec.describe(init)


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_was_seen_before_is_held_to_its_hashes_again(kept, init, damage):
    assert kept.intact(init)
    DAMAGES[damage](kept.place(init.key) / "note.txt")
    with pytest.raises(Damaged, match="note"):
        kept.read(init, "note.txt")


def test_files_of_what_was_made_anew_are_those_that_it_has_now(kept, init):
    before = kept.files(init)
    kept.put_aside(init)
    assert kept.put(init, {"mask": b"y"}, {"seconds": 2.5})
    assert "mask" in set(kept.files(init)) - set(before)
    other = LocalStore(kept.root)
    other.delete(init.key)
    assert other.put(init, FILES, {"seconds": 1.5})
    kept.look_again()
    assert kept.files(init) == before


def test_what_another_process_made_anew_is_read(kept, init):
    assert kept.meta(init) == {"seconds": 1.5}
    other = LocalStore(kept.root)
    other.delete(init.key)
    assert other.put(init, {"mask": b"y"}, {"seconds": 2.5})
    assert kept.meta(init) == {"seconds": 2.5}
    with pytest.raises(Damaged):
        kept.read(init, "note.txt")


def test_what_was_not_put_is_not_there(store, init):
    assert not store.has(init)
    assert not store.intact(init)
    with pytest.raises(Damaged, match="cannot be read"):
        store.read(init, "weights.safetensors")


def test_a_file_that_the_artefact_does_not_have_is_refused(kept, init):
    with pytest.raises(Damaged, match=r"has no mask\.safetensors"):
        kept.read(init, "mask.safetensors")


def test_a_step_is_put_once(kept, init):
    assert not kept.put(init, {"weights.safetensors": b"other"}, {})
    assert kept.read(init, "weights.safetensors") == FILES["weights.safetensors"]
    assert list((kept.root / "tmp").iterdir()) == []


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ALL)
def test_a_damaged_file_is_noticed_and_the_artefact_can_be_made_again(kept, init, name, damage):
    DAMAGES[damage](kept.place(init.key) / name)
    with pytest.raises(Damaged, match=name if name != "manifest.json" else "manifest"):
        kept.read(init, name)
    assert not kept.intact(init)
    assert not kept.has(init)
    if (name, damage) != ("manifest.json", "removed"):
        assert len(list((kept.root / "damaged").glob(f"{init.key}-*"))) == 1
    assert kept.put(init, FILES, {"seconds": 1.5})
    assert kept.intact(init)
    assert kept.read(init, "weights.safetensors") == FILES["weights.safetensors"]


@pytest.mark.parametrize(
    "change",
    [{"key": "0" * 64}, {"schema": SCHEMA + 1}, {"schema": None}, {"files": ["weights.safetensors"]}],
)
def test_a_manifest_of_another_step_or_schema_is_noticed(kept, init, change):
    path = kept.place(init.key) / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(Damaged, match="of another step or schema"):
        kept.read(init, "weights.safetensors")
    assert not kept.intact(init)


def test_the_artefact_of_another_step_in_its_place_is_noticed(kept, init, network):
    other = Init(network, 1)
    shutil.copytree(kept.place(init.key), kept.place(other.key))
    assert kept.has(other)
    assert not kept.intact(other)
    assert kept.intact(init)


def test_of_writers_at_once_one_wins_and_the_artefact_is_whole(store, network):
    for seed in range(20):
        step, start = Init(network, seed), threading.Barrier(4)

        def write(who: int, step=step, start=start) -> bool:
            start.wait()
            return store.put(step, {"who": b"%d" % who * 10_000}, {"who": who})

        with ThreadPoolExecutor(4) as pool:
            won = list(pool.map(write, range(4)))
        assert sum(won) == 1
        assert store.intact(step)
        assert store.meta(step)["who"] == won.index(True)
        assert store.read(step, "who") == b"%d" % won.index(True) * 10_000
    assert list((store.root / "tmp").iterdir()) == []


def test_a_write_that_fails_leaves_nothing(store, init, monkeypatch):
    def full(path: Path, data: bytes) -> int:
        if path.name == "meta.json":
            raise OSError(28, "No space left on device")
        return len(data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Unwritable, match=r"the disk is full \(No space left.*What was finished is stored"):
        store.put(init, FILES, {})
    assert not store.has(init)
    assert list((store.root / "tmp").iterdir()) == []


# -------------------------------------------------------------------------------------- opening and sweeping


def half_written(store: LocalStore, pid: int, age: float, there: str | None = None) -> Path:
    """A folder as a process leaves it that is killed while it writes."""
    folder = store.root / "tmp" / f"{there or machine()}-{pid}-{'0' * 32}"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"012")
    os.utime(folder, (time.time() - age,) * 2)
    return folder


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that is no more."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_what_dead_processes_left_half_written_is_swept_when_the_store_is_opened(store, dead):
    folder = half_written(store, dead, age=120)
    store.open()
    assert not folder.exists()


def test_what_a_living_process_writes_is_not_swept(store):
    folder = half_written(store, os.getpid(), age=120)
    store.open()
    assert folder.exists()


def test_what_another_machine_writes_is_not_swept_by_the_numbers_of_processes_here(store, dead):
    folder = half_written(store, dead, age=120, there="a-node.of.the-cluster")
    store.open()
    assert folder.exists()


def test_what_was_just_written_is_not_swept(store, dead):
    folder = half_written(store, dead, age=0)
    store.open()
    assert folder.exists()


def test_what_another_machine_left_a_day_ago_is_swept(store):
    folder = half_written(store, os.getpid(), age=90_000, there="a-node")
    marker = store.root / "tmp" / "abc.json"
    marker.write_text("{}")
    os.utime(marker, (0, 0))
    store.open()
    assert not folder.exists()
    assert not marker.exists()


def test_half_written_folders_are_never_taken_for_artefacts(store, init, dead):
    half_written(store, dead, age=0)
    half = store.place(init.key)
    half.mkdir(parents=True)
    (half / "weights.safetensors").write_bytes(b"012")
    assert not store.has(init)
    assert store.put(init, FILES, {})
    assert store.intact(init)


def test_opening_makes_a_store_and_opening_it_again_changes_nothing(tmp_path):
    store = LocalStore(tmp_path / "deep" / "store")
    store.check()
    assert not store.root.parent.exists()
    store.open()
    marker = (store.root / "store.json").read_bytes()
    assert json.loads(marker)["schema"] == SCHEMA
    store.open()
    assert (store.root / "store.json").read_bytes() == marker


@pytest.mark.parametrize("schema", [0, SCHEMA + 1, "1", None])
def test_a_store_of_another_schema_is_refused_and_left_alone(store, schema):
    marker = store.root / "store.json"
    marker.write_text(json.dumps({"schema": schema}))
    with pytest.raises(BadInput, match=f"has schema {schema}, this version reads schema {SCHEMA}"):
        store.open()
    assert json.loads(marker.read_text()) == {"schema": schema}


@pytest.mark.parametrize("content", ["{]", "[]", "{}", "7"])
def test_a_broken_marker_is_refused(store, content):
    (store.root / "store.json").write_text(content)
    with pytest.raises(BadInput, match=r"store\.json: cannot be read"):
        store.open()


def test_a_folder_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match=r"holds other things \(thesis\.tex\)"):
        LocalStore(tmp_path).open()
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_store_is_refused(tmp_path):
    (tmp_path / "store").write_text("x")
    with pytest.raises(BadInput, match="is a file; give a folder"):
        LocalStore(tmp_path / "store").open()


def test_a_store_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadInput, match="cannot be written: Not a directory"):
        LocalStore(tmp_path / "file" / "store").open()


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root can write everywhere")
def test_a_store_in_a_folder_that_is_read_only_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(BadInput, match="cannot be written: Permission denied"):
            LocalStore(tmp_path / "store").open()
    finally:
        tmp_path.chmod(0o700)


def test_a_store_that_another_process_makes_meanwhile_is_not_taken_for_other_things(tmp_path, monkeypatch):
    store, listing = LocalStore(tmp_path), Path.iterdir

    def iterdir(path: Path):
        if path == store.root:
            (path / "store.json").write_text(json.dumps({"schema": SCHEMA}))
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    store.check()


def test_broken_lines_of_the_event_log_are_passed_over(store):
    assert store.events() == []
    store.log({"n": 1})
    with (store.root / "events.jsonl").open("ab") as file:
        file.write(b'{"n": \n[1]\n\xff\xfe\n')
    store.log({"n": 2})
    assert store.events() == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize(
    "line",
    [
        '{"key": ["x"], "status": "ok"}',
        '{"training": {"a": 1}, "share": 0.5}',
        '{"step": "Train", "seconds": "long", "flops": 1, "status": "ok", "device": "cpu"}',
        '{"step": "Train", "seconds": 1, "flops": "many", "status": "ok", "device": "cpu"}',
        '{"step": "Train", "seconds": 1e999, "flops": 1, "status": "ok", "device": "cpu"}',
        '{"step": "Train", "seconds": -1, "flops": 1, "status": "ok", "device": "cpu"}',
        '{"step": 5, "seconds": 1, "flops": 1, "architecture": "a", "status": "ok", "device": "cpu"}',
        '{"seconds": 1, "flops": 1, "architecture": "a", "status": "ok", "device": "cpu"}',
        '{"training": "x", "share": true}',
        '{"training": "x", "share": null}',
        '{"memory": 1e30, "device_memory": 1, "status": "ok"}',
        f'{{"epoch": {"9" * 5000}}}',
    ],
)
def test_lines_of_the_event_log_that_no_run_writes_are_passed_over(store, line):
    (store.root / "events.jsonl").write_text(line + "\n")
    assert store.events() == []
    assert store.events_after(0) == ([], len(line) + 1)


def test_what_a_run_logs_is_read(store):
    known = {"key": "k", "step": "Train", "start": 1.5, "seconds": 2.0, "flops": 3, "device": "cpu", "pid": 1}
    lines = [{**known, "status": "ok", "reason": "", "architecture": "a", "precision": "float32"}]
    lines += [{"training": "k", "epoch": 3, "share": 0.5, "pid": 7}]
    for line in lines:
        store.log(line)
    assert store.events() == lines


def test_a_marker_that_cannot_be_installed_leaves_nothing(tmp_path, monkeypatch):
    def fails(scratch, path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(local, "install", fails)
    with pytest.raises(BadInput, match="cannot be written"):
        LocalStore(tmp_path / "store").open()
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


@pytest.mark.parametrize("look", ["check", "open"])
def test_a_marker_that_is_a_folder_is_named(tmp_path, look):
    (tmp_path / "store.json").mkdir()
    with pytest.raises(BadInput, match=f"store {tmp_path}: store.json is a folder"):
        getattr(LocalStore(tmp_path), look)()
