"""Leases: one holder at a time, taken over when stale by whichever clock, and two drivers share the work."""

import contextlib
import errno
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

from lthbench.compute.process import born, host, machine
from lthbench.engines.local import Local
from lthbench.engines.queue import Queue
from lthbench.errors import BadInput, Unwritable
from lthbench.planning import request
from lthbench.planning.jobs import group
from lthbench.planning.plan import plan
from lthbench.spec import Init
from lthbench.store import LocalStore, reading
from lthbench.store.file_leases import FileLeases


@pytest.fixture
def leases(tmp_path) -> FileLeases:
    store = LocalStore(tmp_path / "store")
    store.open()
    return store.leases()


def written_by(leases: FileLeases, name: str, **changes: object) -> None:
    """A lease as another process writes it."""
    leases.folder.mkdir(exist_ok=True)
    facts = {"host": "another", "pid": 1, "born": "1", "mark": "theirs", "what": name, **changes}
    leases.path(name).write_text(json.dumps(facts))


def aged(leases: FileLeases, name: str, seconds: float) -> None:
    moment = time.time() - seconds
    os.utime(leases.path(name), (moment, moment))


def test_one_takes_it_and_gives_it_back(leases):
    mark = leases.take("train a")
    assert mark
    assert leases.take("train a") is None
    assert leases.take("train b")
    assert [f["what"] for f in leases.others() if f["mark"] == mark] == ["train a"]
    leases.release("train a", mark)
    assert leases.take("train a")


def test_of_many_at_once_one_takes_it(leases):
    for n in range(30):
        start = threading.Barrier(6)

        def take(_: int, name: str = f"job {n}", start: threading.Barrier = start) -> str | None:
            start.wait()
            return LocalStore(leases.folder.parent).leases().take(name)

        with ThreadPoolExecutor(6) as pool:
            assert sum(mark is not None for mark in pool.map(take, range(6))) == 1


def test_what_another_host_holds_is_taken_and_what_it_left_is_not(leases):
    written_by(leases, "job")
    assert leases.taken("job")
    assert leases.take("job") is None
    aged(leases, "job", leases.stale + 5)
    assert not leases.taken("job")
    mark = leases.take("job")
    assert mark
    assert json.loads(leases.path("job").read_text())["mark"] == mark


def test_what_a_dead_process_of_this_host_holds_is_free_at_once(leases):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    written_by(leases, "job", host=host(), machine=machine(), pid=child.pid)
    assert not leases.taken("job")
    assert leases.take("job")


def test_a_number_of_a_process_that_was_used_again_is_not_taken_for_the_holder(leases):
    written_by(leases, "job", host=host(), machine=machine(), pid=os.getppid(), born="7")
    assert leases.take("job")


def test_a_lease_from_the_future_is_free_once_it_has_not_changed_for_long(leases):
    """The store's clock was put back: the lease's age is negative, for days perhaps."""
    short = LocalStore(leases.folder.parent).leases(stale=0.3)
    written_by(short, "job")
    aged(short, "job", -86400)
    assert short.taken("job")
    time.sleep(0.2)
    aged(short, "job", -86401)  # it beats still
    assert short.taken("job")
    time.sleep(0.2)
    assert short.taken("job")
    time.sleep(0.2)
    assert not short.taken("job")
    assert short.take("job")


def test_a_local_clock_that_jumps_changes_nothing(leases, monkeypatch):
    written_by(leases, "job")
    for jump in (-1e6, 1e6):
        monkeypatch.setattr(time, "time", lambda jump=jump: jump)
        assert leases.taken("job")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"[" * 5000])
def test_a_lease_that_cannot_be_read_is_somebodys_until_it_is_old(leases, content):
    leases.folder.mkdir()
    leases.path("job").write_bytes(content)
    assert leases.take("job") is None
    aged(leases, "job", leases.stale + 5)
    assert leases.take("job")


@pytest.mark.parametrize("fault", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_look_that_fails_once_ends_no_heartbeat(leases, monkeypatch, fault):
    quick = LocalStore(leases.folder.parent).leases(beat=0.02)
    real, failed = Path.open, threading.Event()

    def fail_once(path, *arguments, **options):
        if path == quick.path("run x") and not failed.is_set():
            failed.set()
            raise OSError(fault, os.strerror(fault))
        return real(path, *arguments, **options)

    with quick.held("run x"):
        monkeypatch.setattr(Path, "open", fail_once)
        assert failed.wait(5)
        aged(quick, "run x", 1000)
        old = quick.path("run x").stat().st_mtime
        for _ in range(50):
            time.sleep(0.02)
            if quick.path("run x").stat().st_mtime > old:
                break
        assert quick.path("run x").stat().st_mtime > old


def test_a_holder_touches_it_and_gives_it_back_whatever_happens(leases):
    quick = LocalStore(leases.folder.parent).leases(beat=0.05, stale=0.5)

    def work() -> None:
        with quick.held("job") as held:
            assert held
            aged(quick, "job", 100)
            time.sleep(0.3)
            assert time.time() - quick.path("job").stat().st_mtime < 50
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert not quick.path("job").exists()


def test_who_waits_gets_it_next_or_gives_up(leases):
    other = LocalStore(leases.folder.parent).leases()
    with leases.held("job"):
        with other.held("job", waited=lambda: True) as held:
            assert not held
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(lambda: other.held("job", look=0.02).__enter__())
            time.sleep(0.1)
            assert not waiting.done()
            leases.release("job", json.loads(leases.path("job").read_text())["mark"])
            assert waiting.result(timeout=10)


def test_a_holder_that_was_taken_over_leaves_the_new_one_alone(leases):
    with leases.held("job"):
        written_by(leases, "job")
    assert json.loads(leases.path("job").read_text())["mark"] == "theirs"


def test_a_queue_passes_over_what_others_are_doing(tiny_task):
    jobs = group(plan(request.ask(tiny_task, ["omp"], seeds=3, metrics=["accuracy"]), ()).steps)
    free = Queue(jobs)
    first = free.next()
    assert first is not None
    second = Queue(jobs).next(lambda name: name == first.name)
    assert second is not None
    assert second.name != first.name
    assert Queue(jobs).next(lambda name: True) is None


# As threads of one process they see each other's settings of precision change.
@pytest.mark.filterwarnings("ignore::lthbench.errors.PluginWarning")
def test_two_drivers_at_once_do_each_step_once(tiny_task, tmp_path):
    asked = request.ask(tiny_task, ["omp"], seeds=3, metrics=["accuracy", "ece"])
    made = plan(asked, ())
    stores = [LocalStore(tmp_path / "store") for _ in range(2)]
    stores[0].open()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(Local(0).run, made.steps, store, ()) for store in stores]
        assert [run.result() for run in runs] == [{}, {}]
    done = [e["key"] for e in stores[0].events() if "key" in e]  # not of trainings on their way
    assert all(stores[0].intact(step) for step in made.steps)
    # Rewound weights are taken on the way, and have no line of their own.
    assert len(done) == len(set(done)) >= len(made.steps) - 3
    assert list(stores[0].leases().folder.iterdir()) == []


# -------------------------------------------------------------------------------------- a disk that fails


def test_a_process_takes_what_it_gave_back_in_vain_at_once_and_others_wait(leases, monkeypatch):
    unlink, failed = Path.unlink, []

    def fail(path, missing_ok=False):
        if path.parent == leases.folder:
            failed.append(path)
            raise OSError(errno.EIO, "Input/output error", str(path))
        unlink(path, missing_ok=missing_ok)

    monkeypatch.setattr(reading, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(Path, "unlink", fail)
    with leases.held("job"):
        pass
    monkeypatch.undo()
    assert len(failed) == 3
    left = leases.path("job").read_bytes()
    another = LocalStore(leases.folder.parent).leases()
    assert not another.taken("job")
    mark = another.take("job")
    assert mark
    assert leases.take("job") is None  # of another thread, say, that lives
    another.release("job", mark)
    leases.path("job").write_bytes(left)
    assert leases.others() == []
    assert not leases.path("job").exists()
    monkeypatch.setattr(
        os, "getpid", lambda: os.getppid()
    )  # as another process sees it, while this one lives
    leases.path("job").write_bytes(left)
    assert another.taken("job")
    assert another.take("job") is None


def test_a_release_is_tried_again_where_the_disk_fails_for_a_moment(leases, monkeypatch):
    mark, read, times = leases.take("job"), Path.open, []

    def fail_twice(path, *how, **more):
        times.append(path)
        if len(times) < 3:
            raise OSError(errno.EIO, "Input/output error", str(path))
        return read(path, *how, **more)

    monkeypatch.setattr(reading, "WAITS", (0.0, 0.0))
    monkeypatch.setattr(Path, "open", fail_twice)
    leases.release("job", mark)
    assert len(times) == 3
    assert not leases.path("job").exists()


def test_a_lease_that_could_not_be_written_is_nobodys(leases, monkeypatch):
    def full(*given, **more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(json, "dumps", full)
    with pytest.raises(Unwritable, match="the disk is full"):
        leases.take("job")
    monkeypatch.undo()
    assert not leases.path("job").exists()
    assert leases.take("job")


def test_what_a_fork_inherits_it_does_not_give_back(leases, monkeypatch):
    mark = leases.take("job")
    monkeypatch.setattr(os, "getpid", lambda: os.getppid())
    leases.release("job", mark)
    assert leases.path("job").exists()
    assert leases.take("job") is None
    monkeypatch.undo()
    assert leases.take("job") is None
    leases.release("job", mark)
    assert not leases.path("job").exists()


# ------------------------------------------------------------------------------- machines and containers


def test_containers_of_one_host_name_do_not_take_each_other_for_dead(leases):
    """Process 999999999 lives in another namespace of process numbers, where this one cannot see it."""
    for other in ("another.0123456789ab", f"{host()}.0123456789ab", None):
        written_by(leases, "job", host=host(), machine=other, pid=999_999_999)
        assert leases.taken("job")
        assert leases.take("job") is None
        assert len(leases.others()) == 1


def test_a_machine_is_another_after_its_next_start_and_in_another_namespace(monkeypatch):
    found = {machine.__wrapped__()}
    link, read = os.readlink, Path.read_text
    monkeypatch.setattr(os, "readlink", lambda path: link(path) + "0")
    found.add(machine.__wrapped__())
    monkeypatch.setattr(os, "readlink", link)
    monkeypatch.setattr(Path, "read_text", lambda path, **how: read(path, **how) + "0")
    found.add(machine.__wrapped__())
    monkeypatch.setattr(Path, "read_text", lambda path, **how: read(Path("/nowhere")))
    found.add(machine.__wrapped__())
    assert machine.__wrapped__() in found
    monkeypatch.undo()
    assert machine() in found
    assert len(found) == 4
    assert all(name.startswith(f"{host()[:40]}.") for name in found)


_HOLDS = """
import sys, time
from lthbench.store import LocalStore, reading
with LocalStore(sys.argv[1]).leases().held("job"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0 or shutil.which("unshare") is None,
    reason="only root makes namespaces",
)
def test_a_holder_in_a_namespace_of_its_own_is_alive_here(leases):
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", _HOLDS]
    with subprocess.Popen(
        [*command, str(leases.folder.parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        if holder.stdout.readline() != "held\n":
            pytest.skip("no namespaces here")
        written = json.loads(leases.path("job").read_text())
        assert written["host"] == host()
        assert written["pid"] < os.getpid()
        assert leases.taken("job")
        assert leases.take("job") is None
        holder.communicate("")
    assert leases.take("job")


# ------------------------------------------------------------------------------------- working and deleting


def test_who_works_keeps_others_from_deleting_and_the_other_way_round(leases):
    other = LocalStore(leases.folder.parent).leases()
    with leases.working("run"):
        assert [f["what"].partition(" ")[0] for f in other.others()] == ["run"]
        with pytest.raises(BadInput, match=rf"store here: is in use by process {os.getpid()} on "):
            other.alone("here").__enter__()
        with leases.working("import"):
            pass
    with leases.alone("here"), pytest.raises(BadInput, match="in use by another lthbench store prune"):
        other.alone("here").__enter__()
    assert list(leases.folder.iterdir()) == []


def test_who_wants_to_work_waits_until_what_goes_is_gone(leases):
    """As another process sees it: threads of one process are told from one another by nothing."""
    never = threading.Event()
    code = "import sys; from lthbench.store import LocalStore; s = LocalStore(sys.argv[1])\n"
    code += "with s.in_use('run', lambda said: print(said, flush=True)): print('works', flush=True)"
    with contextlib.ExitStack() as stack:
        stack.enter_context(leases.alone("here"))
        waits = subprocess.Popen(
            [sys.executable, "-c", code, str(leases.folder.parent)], stdout=subprocess.PIPE, text=True
        )
        assert waits.stdout.readline() == "waiting until lthbench store prune is done\n"
        assert not never.wait(0.5)
        assert waits.poll() is None
    assert waits.communicate(timeout=30)[0] == "works\n"
    assert waits.returncode == 0


def test_of_a_run_and_a_prune_at_once_one_gives_way(leases):
    """Both show themselves before they look: never do both go on."""
    at_work, both = set(), []

    def enter(name: str, how, start: threading.Barrier) -> None:
        start.wait()
        with contextlib.suppress(BadInput), how:
            at_work.add(name)
            both.append(set(at_work))
            time.sleep(0.01)
            both.append(set(at_work))
            at_work.discard(name)

    for _ in range(8):
        start = threading.Barrier(2)
        one, two = (LocalStore(leases.folder.parent).leases() for _ in range(2))
        with ThreadPoolExecutor(2) as pool:
            pool.submit(enter, "run", one.working("run"), start)
            pool.submit(enter, "prune", two.alone("here"), start)
    assert {"run", "prune"} not in both
    assert len(both) >= 16


def test_a_store_that_is_only_read_takes_no_lease_and_is_read(leases, network, monkeypatch):
    store, step = LocalStore(leases.folder.parent), Init(network, 0)
    store.put(step, {"weights.safetensors": b"numbers"}, {"seconds": 1.0})
    before = _all_of(store.root)
    refused, worked = [], []

    def full(path, *how, **more):
        refused.append(path)
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as read_only:
        for what in ("mkdir", "open", "rename", "unlink", "touch", "write_bytes", "write_text"):
            read_only.setattr(Path, what, full)
        with leases.working("run"):
            again = LocalStore(store.root)
            worked.append((again.read(step, "weights.safetensors"), again.meta(step), again.whole(step)))
    assert refused, "no lease was tried for"
    ((content, facts, whole),) = worked
    assert (content, facts["seconds"]) == (b"numbers", 1.0)
    assert whole is not None
    assert whole["weights.safetensors"] == content
    assert _all_of(store.root) == before


def _all_of(folder: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Every file below a folder: its number, bytes, time of change, and content; and folders."""
    found = {}
    for path in sorted(folder.rglob("*")):
        facts = path.stat()
        content = path.read_bytes() if path.is_file() else b""
        found[str(path)] = (facts.st_ino, facts.st_size, facts.st_ctime_ns, content)
    return found


def test_a_holder_elsewhere_is_watched_until_it_shows_that_it_lives(leases):
    short, told = LocalStore(leases.folder.parent).leases(stale=1.5), []
    written_by(short, "run 1", machine="another")
    aged(short, "run 1", 1.0)
    with short.alone("here", told.append):  # it ended without a word
        assert told
        assert "looking for up to 2 s whether process 1 on another still works" in told[0]
    assert list(leases.folder.iterdir()) == []
    written_by(short, "run 2", machine="another")
    with ThreadPoolExecutor(1) as pool:
        pool.submit(lambda: (time.sleep(0.6), short.touch("run 2", "theirs")))
        with pytest.raises(BadInput, match="in use by process 1 on another"):
            short.alone("here").__enter__()


def test_what_dead_drivers_left_is_cleared_away_by_the_next(leases):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    written_by(leases, "run 7", machine=machine(), pid=child.pid)
    with leases.working("run"):
        assert len(list(leases.folder.iterdir())) == 1
    assert born(os.getpid())
