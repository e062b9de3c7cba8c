"""Leases: one holder at a time, taken over when stale by whichever clock, and two drivers share the work."""

import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lthbench.compute.process import host
from lthbench.engines.local import Local
from lthbench.engines.queue import Queue
from lthbench.planning import request
from lthbench.planning.jobs import group
from lthbench.planning.plan import plan
from lthbench.store import LocalStore
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
    written_by(leases, "job", host=host(), pid=child.pid)
    assert not leases.taken("job")
    assert leases.take("job")


def test_a_number_of_a_process_that_was_used_again_is_not_taken_for_the_holder(leases):
    written_by(leases, "job", host=host(), pid=os.getppid(), born="7")
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


def test_two_drivers_at_once_do_each_step_once(tiny_task, tmp_path):
    asked = request.ask(tiny_task, ["omp"], seeds=3, metrics=["accuracy", "ece"])
    made = plan(asked, ())
    stores = [LocalStore(tmp_path / "store") for _ in range(2)]
    stores[0].open()
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(Local(0).run, made.steps, store, ()) for store in stores]
        assert [run.result() for run in runs] == [{}, {}]
    done = [e["key"] for e in stores[0].events()]
    assert all(stores[0].intact(step) for step in made.steps)
    # Rewound weights are taken on the way, and have no line of their own.
    assert len(done) == len(set(done)) >= len(made.steps) - 3
    assert list(stores[0].leases().folder.iterdir()) == []
