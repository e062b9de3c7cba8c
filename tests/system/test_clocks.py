"""Clocks that are set by hours in the middle of a run: results stay, and so do durations."""

import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import pytest

from lthbench import api
from lthbench.compute.process import machine
from lthbench.engines.local import Local
from lthbench.execution import runner
from lthbench.planning import request
from lthbench.planning.estimate import estimate, learned_rates
from lthbench.planning.plan import plan
from lthbench.report import write
from lthbench.store import LocalStore
from lthbench.store.folder import Folder

HOURS = 3600.0
#: By how much the clock is off, from one look to the next.
JUMPS = (0.0, 5 * HOURS, -7 * HOURS, 30 * HOURS, -400 * HOURS, 1 * HOURS)


def jumping(real):
    """A clock that is set anew between any two looks at it."""
    off = itertools.cycle(JUMPS)
    return lambda *given: real(*given) + next(off)


@pytest.fixture
def asked(tiny_task):
    return request.ask(tiny_task, ["omp"], rounds=[1], seeds=2, metrics=["accuracy", "ece"])


def table_of(folder, asked) -> bytes:
    outcome = api.execute(asked, api.RunOptions(store=folder / "store", device="cpu", progress="plain"))
    write(outcome.table, outcome.facts, folder / "report", formats=("csv",))
    return (folder / "report" / "scores.csv").read_bytes()


def done(events):
    """Those of steps: of trainings on their way, as on a slow machine, there are lines, too."""
    return [e for e in events if "key" in e]


def test_a_run_under_a_clock_that_jumps_gives_the_same_table_and_true_durations(
    asked, tmp_path, monkeypatch, capsys
):
    expected = table_of(tmp_path / "calm", asked)
    calm = sum(e["seconds"] for e in done(LocalStore(tmp_path / "calm" / "store").events()))
    monkeypatch.setattr(time, "time", jumping(time.time))
    began = time.monotonic()
    assert table_of(tmp_path / "jumping", asked) == expected
    wall = time.monotonic() - began
    store = LocalStore(tmp_path / "jumping" / "store")
    events = store.events()
    assert all(0.0 <= e["seconds"] <= wall for e in done(events))
    made = plan(asked, ())
    assert all(0.0 <= store.meta(step)["seconds"] <= wall for step in made.steps)
    guess = estimate(made.steps, events, 1, "cpu")
    assert guess.learned
    assert 0.0 < guess.high < 100 * (calm + wall)
    assert all(rate > 0 for rate in learned_rates(events, "cpu").values())
    assert " left" in capsys.readouterr().err


def test_two_drivers_on_a_disk_whose_clock_jumps_lose_nothing(asked, tmp_path, monkeypatch):
    """What the disk stamps on its files and what it says the time is are hours apart, each time anew."""
    made = plan(asked, ())
    stores = [LocalStore(tmp_path / "store") for _ in range(2)]
    stores[0].open()
    monkeypatch.setattr(Folder, "clock", jumping(Folder.clock))
    off = itertools.cycle(JUMPS)
    utime = os.utime

    def stamped(path, times=None, **more):
        moment = time.time() + next(off)
        utime(path, (moment, moment))

    monkeypatch.setattr(os, "utime", stamped)
    # Drivers are processes, whose precision of convolutions is their own; threads would see each other's.
    monkeypatch.setattr(runner, "kept", lambda *given, **more: nullcontext())
    monkeypatch.setattr(runner, "full_precision", nullcontext)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(Local(0).run, made.steps, store, ()) for store in stores]
        assert [run.result(timeout=300) for run in runs] == [{}, {}]
    assert all(stores[0].intact(step) for step in made.steps)
    assert not (stores[0].root / "damaged").exists()
    assert list((stores[0].root / "tmp").iterdir()) == []


def test_a_lease_that_beats_is_not_lost_to_a_clock_that_was_put_back(tmp_path, monkeypatch):
    store = LocalStore(tmp_path / "store")
    store.open()
    holder, other = store.leases(beat=0.05), store.leases(stale=0.5)
    # Whose processes are not looked up.
    monkeypatch.setattr("lthbench.store.leases.machine", lambda: "another")
    with holder.held("job"):
        monkeypatch.undo()
        monkeypatch.setattr(Folder, "clock", lambda self: time.time() - 9 * HOURS)
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            assert other.taken("job")
            time.sleep(0.05)


@pytest.mark.parametrize("jump", [-400 * HOURS, 400 * HOURS])
def test_what_a_living_process_writes_is_not_swept_and_what_a_dead_one_left_is(tmp_path, monkeypatch, jump):
    store = LocalStore(tmp_path / "store")
    store.open()
    ours = store.scratch()
    ours.mkdir()
    old = store.root / "tmp" / f"{machine()}-999999999-0"
    old.mkdir()
    strange = store.root / "tmp" / "elsewhere-1-0"
    strange.mkdir()
    clock = Folder.clock
    monkeypatch.setattr(Folder, "clock", lambda self: clock(self) + jump)
    store.open()
    assert ours.exists()
    assert old.exists() == strange.exists() == (jump < 0)
