"""A read that fails is no damage: it is tried again, and then the work stops and leaves all as it is."""

import contextlib
import errno
import io
import itertools
import os
import random
import shutil
from pathlib import Path

import pytest

from lthbench import api
from lthbench.cli import main
from lthbench.errors import BadInput, Damaged, StepFailed, Unreadable, Unwritable
from lthbench.planning import contents
from lthbench.planning.request import ask
from lthbench.report import write
from lthbench.spec import Init
from lthbench.store import LocalStore, archive, inventory, layout, local, open_store, reading

FILES = {"weights.safetensors": b"0123456789" * 50}
#: A disk that fails, a file that is another's, a server that was started anew, too many files, no memory.
FAULTS = (errno.EIO, errno.EACCES, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOMEM)
#: How many looks fail in the long test.
TIMES = int(os.environ.get("LTHBENCH_FAULTS", "40"))
FAILS = pytest.mark.parametrize("fault", FAULTS, ids=errno.errorcode.get)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(reading, "WAITS", (0.0, 0.0))


class Disk:
    """Lets looks at paths fail: those of names that ``hit`` takes, as long as ``left`` is not 0."""

    def __init__(self, monkeypatch):
        self.hit, self.fault, self.left, self.failed = (lambda path: False), errno.EIO, -1, 0
        for module, name in ((io, "open"), (os, "open"), (os, "stat"), (os, "scandir")):
            monkeypatch.setattr(module, name, self._wrapped(getattr(module, name)))

    def fail(self, fault, hit, times=-1):
        self.fault, self.hit, self.left, self.failed = fault, hit, times, 0

    def _wrapped(self, real):
        def look(path=".", *how, **more):
            mode = how[0] if how else more.get("mode", "r")
            writes = mode & (os.O_WRONLY | os.O_RDWR) if isinstance(mode, int) else mode[0] in "wax"
            if isinstance(path, str | os.PathLike) and not writes and self.left and self.hit(os.fspath(path)):
                self.left -= 1
                self.failed += 1
                raise OSError(self.fault, os.strerror(self.fault), os.fspath(path))
            return real(path, *how, **more)

        return look


@pytest.fixture
def disk(monkeypatch) -> Disk:
    return Disk(monkeypatch)


@pytest.fixture
def kept(tmp_path, init) -> LocalStore:
    store = LocalStore(tmp_path / "store")
    store.open()
    store.put(init, FILES, {"seconds": 1.0})
    return store


def content(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@FAILS
@pytest.mark.parametrize("name", ["weights.safetensors", "step.json", "meta.json", "manifest.json"])
def test_an_artefact_that_cannot_be_read_stays_and_the_path_and_the_reason_are_told(
    kept, init, disk, fault, name
):
    path = kept.place(init.key) / name
    before = content(kept.root)
    disk.fail(fault, lambda looked: looked == str(path))
    reads = (
        lambda: kept.intact(init),
        lambda: kept.read(init, name),
        lambda: layout.fault(kept.place(init.key), init.key),
        lambda: archive.export(kept, [init.key], kept.root.parent / "all.zip"),
        lambda: archive.take_in(LocalStore(kept.root.parent / "other"), kept.root),
    )
    for read in reads:
        with pytest.raises(Unreadable) as told:
            read()
        assert os.strerror(fault) in str(told.value)
        assert path.name in str(told.value) or str(path.parent) in str(told.value)
    assert [found.put_aside for found in kept.audit()] == [None]
    disk.fail(0, lambda looked: False)
    assert content(kept.root) == before
    assert kept.intact(init)


@FAILS
def test_a_read_that_fails_for_a_moment_is_tried_again(kept, init, disk, fault):
    for times in (1, 2):
        disk.fail(fault, lambda looked: "weights" in looked, times)
        assert kept.intact(init)
        assert disk.failed == times


def test_what_is_gone_or_is_no_file_is_damage_and_no_failure_to_read(kept, init):
    path = kept.place(init.key) / "weights.safetensors"
    path.unlink()
    for make in (lambda: None, path.mkdir, lambda: (path.rmdir(), path.symlink_to(path))):
        make()
        with pytest.raises(Damaged, match=r"weights\.safetensors"):
            kept.read(init, "weights.safetensors")
        assert layout.fault(kept.place(init.key), init.key)
    assert not kept.intact(init)
    assert not kept.has(init)


@FAILS
def test_a_rename_that_fails_puts_nothing_aside(kept, network, monkeypatch, fault):
    before = content(kept.root)

    def fail(path, target):
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(os, "replace", fail)
    for step in (Init(network, 1), Init(network, 0)):
        with contextlib.suppress(OSError, Unwritable):
            assert not kept.put(step, FILES, {})  # where it is there already
    assert content(kept.root) == before


@FAILS
@pytest.mark.parametrize("what", ["manifest.json", "steps", "store.json"])
def test_prune_stops_at_what_it_cannot_read_and_deletes_nothing(kept, disk, capsys, fault, what):
    (kept.root / "index.tsv").unlink()
    before = content(kept.root)
    disk.fail(fault, lambda looked: looked.endswith(f"/{what}"))
    with pytest.raises(SystemExit) as end:
        main(["store", "prune", "--yes", "--store", str(kept.root)])
    disk.fail(0, lambda looked: False)
    assert end.value.code == 1
    assert os.strerror(fault) in capsys.readouterr().err
    assert content(kept.root) == before


@pytest.mark.parametrize("fault", FAULTS[:2], ids=errno.errorcode.get)
def test_what_behind_a_kept_report_cannot_be_read_is_not_pruned(tiny_task, tmp_path, disk, capsys, fault):
    asked = ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"])
    outcome = api.execute(asked, api.RunOptions(store=tmp_path / "store", device="cpu"))
    write(outcome.table, outcome.facts, tmp_path / "report", formats=("csv",))
    before = content(tmp_path)
    disk.fail(fault, lambda looked: looked.endswith("step.json"))
    words = ["store", "prune", "--keep", str(tmp_path / "report"), "--yes"]
    with pytest.raises(SystemExit) as end:
        main([*words, "--store", str(tmp_path / "store")])
    disk.fail(0, lambda looked: False)
    assert end.value.code == 1
    assert "step.json: cannot be read" in capsys.readouterr().err
    assert content(tmp_path) == before


@FAILS
def test_verify_counts_what_it_could_not_read_and_leaves_it(
    kept, init, network, disk, capsys, monkeypatch, fault
):
    monkeypatch.setattr(contents, "misfit_by_key", lambda folder, key: "")  # the weights are made up
    kept.put(Init(network, 1), FILES, {})
    disk.fail(fault, lambda looked: init.key in looked and "weights" in looked)
    with pytest.raises(SystemExit) as end:
        main(["store", "verify", "--aside", "--store", str(kept.root)])
    said = capsys.readouterr().out
    assert end.value.code == 1
    assert f"unread: {init.key}" in said or "unread: init" in said
    assert "1 artefacts are whole, 1 could not be read" in said
    disk.fail(0, lambda looked: False)
    assert kept.intact(init)


@FAILS
def test_a_savepoint_that_cannot_be_read_is_not_begun_anew(kept, disk, fault):
    kept.save("a" * 64, b"on its way")
    disk.fail(fault, lambda looked: "savepoints" in looked)
    with pytest.raises(Unreadable, match="savepoints"):
        kept.savepoint("a" * 64)


@FAILS
def test_an_object_that_cannot_be_read_is_not_written_anew(tmp_path, init, disk, monkeypatch, fault):
    pytest.importorskip("fsspec")
    store = open_store(f"file://{tmp_path}/there")
    store.open()
    store.put(init, FILES, {"seconds": 1.0})
    before = content(tmp_path / "there")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    other = open_store(f"file://{tmp_path}/there")
    other.open()
    disk.fail(fault, lambda looked: looked.endswith(".zip") and "/tmp/" in looked.removeprefix(str(tmp_path)))
    with pytest.raises(Unreadable):
        other.has(init)
    disk.fail(0, lambda looked: False)
    assert other.intact(init)
    assert content(tmp_path / "there") == before


@FAILS
def test_what_is_half_written_is_deleted_also_where_looks_fail(tmp_path, network, disk, monkeypatch, fault):
    store = LocalStore(tmp_path / "store")
    store.open()

    def full(*given):
        disk.fail(fault, lambda path: "/tmp/" in path.removeprefix(str(tmp_path)), times=3)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(local, "install", full)
    with pytest.raises(Unwritable):
        store.put(Init(network, 0), FILES, {"seconds": 1.0})
    assert disk.failed == 3
    assert list((store.root / "tmp").iterdir()) == []


def test_a_run_over_a_disk_that_fails_now_and_then_puts_nothing_aside(tiny_task, tmp_path, disk, capsys):
    """One look in a hundred fails, up to three times in a row: some runs stop, and the last has the table."""
    asked = ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy", "ece"])
    expected = api.execute(asked, api.RunOptions(store=tmp_path / "quiet", device="cpu")).table
    draw, store, faults = random.Random(TIMES), tmp_path / "store", itertools.cycle(FAULTS)
    failing, failed, stopped, finished, again = 0, 0, 0, 0, None

    def hit(path: str) -> bool:
        nonlocal failing, failed
        if not path.startswith(str(store)):
            return False
        if not failing and draw.random() < 0.01:
            failing, disk.fault = draw.choice((2, 3, 4)), next(faults)
        failing -= failing > 0
        failed += failing > 0
        return failing > 0

    while failed < TIMES or again is None or again.failures:
        if again is not None and finished % 2 == 0:  # one finished run of two is found done, then begun anew
            shutil.rmtree(store)
        disk.fail(errno.EIO, hit)
        again = None
        with contextlib.suppress(StepFailed, BadInput, OSError):
            again = api.execute(asked, api.RunOptions(store=store, device="cpu"))
        stopped += again is None
        finished += again is not None
        disk.fail(0, lambda looked: False)
        assert not (store / "damaged").exists()
        assert again is None or again.failures or again.table.equals(expected)
    assert stopped > 0
    if TIMES > 40:
        with capsys.disabled():
            print(f"\n{failed} looks failed, {stopped} runs stopped, {finished} finished; nothing put aside")
    assert inventory.stock(LocalStore(store)).half == {}
