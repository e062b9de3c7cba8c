"""A power cut leaves what was published: content is synced before the rename, the folder after it.

The disk here forgets what was not synced. A cut leaves of it what a file system may leave: of each file what
was synced last, or nothing, and of each folder either every name, or the names that were synced with it.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lthbench import api, files
from lthbench.cli import main
from lthbench.errors import BadInput
from lthbench.planning.plan import plan
from lthbench.planning.request import ask
from lthbench.report import write
from lthbench.spec import Init
from lthbench.store import LocalStore, archive, layout, open_store

FILES = {"weights.safetensors": b"0123456789" * 50}


class Disk:
    """What of a folder is on the disk: contents and names as they were when they were synced."""

    def __init__(self, root: Path, monkeypatch):
        self.root = root
        self.contents: dict[int, tuple[int, bytes]] = {}
        self.names: dict[int, dict[str, int]] = {}
        self.syncs = 0
        real = os.fsync

        def fsync(handle):
            self.syncs += 1
            facts = os.fstat(handle)
            path = Path(os.readlink(f"/proc/self/fd/{handle}"))
            if stat.S_ISDIR(facts.st_mode):
                self.names[facts.st_ino] = {p.name: p.lstat().st_ino for p in path.iterdir()}
            else:
                self.contents[facts.st_ino] = (facts.st_mtime_ns, path.read_bytes())
            real(handle)

        monkeypatch.setattr(os, "fsync", fsync)

    def cut(self, target: Path, *, names: str) -> Path:
        """What a cut leaves, copied elsewhere. ``names``: ``all``, or only those that were ``synced``."""
        self._copy(self.root, target, names)
        return target

    def _copy(self, here: Path, there: Path, names: str) -> None:
        there.mkdir()
        synced = self.names.get(here.stat().st_ino, {})
        for path in list(here.iterdir()):
            facts = path.lstat()
            if names == "synced" and synced.get(path.name) != facts.st_ino:
                continue
            if path.is_dir():
                self._copy(path, there / path.name, names)
            else:
                changed, content = self.contents.get(facts.st_ino, (0, b""))
                (there / path.name).write_bytes(content if changed == facts.st_mtime_ns else b"")


@pytest.fixture
def disk(tmp_path, monkeypatch) -> Disk:
    root = tmp_path / "disk"
    root.mkdir()
    made = Disk(root, monkeypatch)
    files.sync([root])
    return made


CUTS = pytest.mark.parametrize("names", ["all", "synced"])


@CUTS
@pytest.mark.parametrize("age", ["fresh", "old"])
@pytest.mark.parametrize("place", ["{}", "file://{}"], ids=["local", "file"])
def test_what_was_put_is_whole_after_a_power_cut(disk, tmp_path, network, monkeypatch, names, age, place):
    store = open_store(place.format(disk.root / "deep" / "store"))
    store.open()
    assert store.put(Init(network, 0), FILES, {"seconds": 1.0})
    if age == "old":
        store = open_store(place.format(disk.root / "deep" / "store"))
        store.open()
    for seed in range(1, 4):
        assert store.put(Init(network, seed), FILES, {"seconds": 1.0})
    store.save("a" * 64, b"a training on its way" * 9)
    store.save("a" * 64, b"the same, an epoch later" * 9)
    left = disk.cut(tmp_path / "left", names=names)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))  # copies are not what is asked for
    again = open_store(place.format(left / "deep" / "store"))
    again.open()
    assert again.savepoint("a" * 64) == b"the same, an epoch later" * 9
    for seed in range(4):
        assert again.intact(Init(network, seed))
    assert [found for found in again.audit() if found.reason] == []


@CUTS
def test_a_report_a_baseline_and_an_archive_outlive_a_power_cut(disk, tmp_path, made_table, init, names):
    table, facts = made_table(["omp"], seeds=2, sparsities=(0.5,))
    folder = disk.root / "report"
    written = write(table, facts, folder, formats=("csv", "md", "html", "json", "site"))
    store = LocalStore(disk.root / "store")
    store.open()
    store.put(init, FILES, {"seconds": 1.0})
    archive.export(store, [init.key], disk.root / "all.zip")
    main(["gate", "--report", str(folder), "--write-baseline", str(disk.root / "baseline.json")])
    left = disk.cut(tmp_path / "left", names=names)
    assert len(written) > 5
    for path in (*written, disk.root / "baseline.json", disk.root / "all.zip"):
        assert (left / path.relative_to(disk.root)).read_bytes() == path.read_bytes()


@pytest.mark.slow
def test_a_run_cut_at_any_moment_goes_on_and_ends_with_the_same_table(disk, tmp_path, tiny_task, monkeypatch):
    asked = ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"])
    put, lefts = LocalStore.put, []

    def cutting(store, step, *content):
        new = put(store, step, *content)
        if store.root.is_relative_to(disk.root):
            names = ("all", "synced")[len(lefts) % 2]
            lefts.append((disk.cut(tmp_path / f"left {len(lefts)}", names=names), step))
        return new

    monkeypatch.setattr(LocalStore, "put", cutting)
    expected = api.execute(asked, api.RunOptions(store=disk.root / "store", device="cpu")).table
    steps = plan(asked, ()).steps
    assert len(lefts) > 5
    for count, (left, last) in enumerate(lefts, 1):
        store = LocalStore(left / "store")
        store.check()
        assert store.intact(last)
        assert sum(map(store.intact, steps)) == count
    for left, _ in lefts[:: len(lefts) // 3]:
        again = api.execute(asked, api.RunOptions(store=left / "store", device="cpu"))
        assert again.table.equals(expected)
        assert not (left / "store" / "damaged").exists()


@pytest.mark.parametrize("content", [b"", b"\0" * 41, b'{"sche', layout.new_marker()[:-2] + b"\0\0"])
@pytest.mark.parametrize("place", ["{}", "file://{}"], ids=["local", "file"])
def test_a_marker_that_a_power_cut_has_torn_is_mended(tmp_path, init, content, place):
    where = place.format(tmp_path / "store")
    store = open_store(where)
    store.open()
    store.put(init, FILES, {"seconds": 1.0})
    (tmp_path / "store" / "store.json").write_bytes(content)
    store = open_store(where)
    store.check()
    store.open()
    assert store.intact(init)
    assert json.loads((tmp_path / "store" / "store.json").read_bytes())["schema"] == layout.SCHEMA
    assert open_store(where).has(init)


def test_a_torn_marker_beside_other_things_is_no_store(tmp_path):
    (tmp_path / "store.json").write_bytes(b"")
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(BadInput, match=r"holds other things \(thesis\.tex\)"):
        LocalStore(tmp_path).open()


def test_what_cannot_be_published_leaves_nothing(tmp_path, monkeypatch):
    files.publish(tmp_path / "old", b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for path in (tmp_path / "old", tmp_path / "new"):
        with pytest.raises(OSError, match="No space left"):
            files.publish_all({path: b"content", tmp_path / "beside": b"content"})
    with pytest.raises(OSError, match="No space left"):
        files.create(tmp_path / "made", b"content")
    assert [p.name for p in tmp_path.iterdir()] == ["old"]
    assert (tmp_path / "old").read_bytes() == b"old"


def test_a_file_is_created_once_also_where_there_are_no_links(tmp_path, monkeypatch):
    assert files.create(tmp_path / "one", b"first")
    assert not files.create(tmp_path / "one", b"second")

    def none(*paths):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", none)
    assert files.create(tmp_path / "two", b"first")
    assert not files.create(tmp_path / "two", b"second")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"one": b"first", "two": b"first"}


# ----------------------------------------------------------------------------------------- on a real disk

_WRITES = """
import sys
from lthbench.spec import Init, Network
from lthbench.store import open_store
store = open_store(sys.argv[1])
store.open()
network = Network("resnet8", 1, 10, 1, 8, (0.3057,), (0.3764,))
for seed in range(1_000_000):
    step = Init(network, int(sys.argv[2]) + seed)
    store.put(step, {"weights.safetensors": bytes(20_000)}, {"seconds": 1.0})
    print(step.key, flush=True)
"""


def _mounted(image: Path, where: Path) -> None:
    where.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop,commit=300", image, where], check=True, capture_output=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0 or shutil.which("mkfs.ext4") is None,
    reason="only root mounts a disk",
)
@pytest.mark.parametrize("place", ["{}", "file://{}"], ids=["local", "file"])
def test_a_disk_that_is_copied_at_a_moment_of_the_run_holds_all_that_was_published(tmp_path, place):
    """Ten cuts in a row of one store: what ext4 makes of a copy of the disk is what a cut leaves."""
    image, mount = tmp_path / "disk", tmp_path / "mounted"
    with image.open("wb") as file:
        file.truncate(128 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    published: list[str] = []
    for trial in range(10):
        try:
            _mounted(image, mount)
        except subprocess.CalledProcessError:
            pytest.skip("this machine mounts no images")
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / f"cache {trial}")}
        command = [sys.executable, "-c", _WRITES, place.format(mount / "store"), str(1_000_000 * trial)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as writer:
            published += [writer.stdout.readline().strip() for _ in range(3 + trial)]
            time.sleep(0.01 * trial)
            os.kill(writer.pid, 19)  # SIGSTOP: nothing is written while the disk is copied
            shutil.copyfile(image, tmp_path / "copy")
            os.kill(writer.pid, 9)
            published += [line for line in writer.stdout.read().split("\n") if len(line) == 64]
        subprocess.run(["umount", mount], check=True)
        (tmp_path / "copy").replace(image)
    _mounted(image, mount)
    try:
        os.environ["XDG_CACHE_HOME"] = str(tmp_path / "cache")
        store = open_store(place.format(mount / "store"))
        store.open()
        assert len(published) > 70
        assert all(map(store.hold, published))
        assert [found.what for found in store.audit() if found.reason] == []
    finally:
        subprocess.run(["umount", mount], check=True)
