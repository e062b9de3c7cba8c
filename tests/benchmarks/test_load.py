"""Large plans, and what a second worker brings: times as they were measured, and what each must not exceed.

How much faster two workers compute depends on the cores, so it is measured beside what two bare processes
gain on them, and steps that only sleep show whether the engine itself holds workers up.
"""

import multiprocessing
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from lthbench import registry
from lthbench.engines.local import Local
from lthbench.kinds import Architecture
from lthbench.planning import plan, request
from lthbench.spec import Init, Network, Train
from lthbench.store import LocalStore

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PLAN = """
import re, time
from pathlib import Path
from lthbench.engines.queue import Queue
from lthbench.planning import plan, request
from lthbench.planning.jobs import group
asked = request.ask("c10-r18", rounds=list(range(1, 13)), seeds=SEEDS, budget="quick")
def peak():
    return int(re.search("VmHWM: *\\t* *([0-9]+) kB", Path("/proc/self/status").read_text())[1]) / 1024
before, began, spent = peak(), time.perf_counter(), time.process_time()
made = plan.plan(asked, (), data_needed=False)
planned = time.perf_counter()
queue, jobs = Queue(group(made.steps)), 0
while (job := queue.next()) is not None:
    queue.finish(job)
    jobs += 1
ended = time.perf_counter()
spent = time.process_time() - spent
print(len(made.steps), jobs, planned - began, ended - planned, spent, peak(), peak() - before)
"""


def test_a_hundred_thousand_steps_are_planned_in_seconds_and_little_memory(capsys):
    def planned(seeds: int) -> list[float]:
        words = [sys.executable, "-c", PLAN.replace("SEEDS", str(seeds))]
        return [float(w) for w in subprocess.check_output(words, text=True).split()]

    each = planned(2)[0] - planned(1)[0]
    steps, jobs, planning, queueing, spent, peak, grown = planned(int(100_000 // each) + 1)
    with capsys.disabled():
        print(
            f"\n{steps:,.0f} steps planned in {planning:.1f} s, as {jobs:,.0f} jobs put in order in "
            f"{queueing:.1f} s, {spent:.1f} s of the processor; {peak:.0f} MiB, {grown:.0f} of them for it"
        )
    assert steps >= 100_000
    assert jobs > steps / 100
    assert peak < 1024
    assert spent < 30.0  # 10 s where nothing else is run


# ------------------------------------------------------------------------------------------------ two workers

SLEEPY = """
import dataclasses, time
from lthbench.architectures.resnet8 import ARCHITECTURE as resnet8

def build(network):
    time.sleep(0.25)
    return resnet8.build(network)

ARCHITECTURE = dataclasses.replace(resnet8, name="sleepy", build=build)
"""


def worked(store: LocalStore) -> tuple[float, list[float]]:
    """From the first step's start to the last one's end, and the waits between two steps of one worker."""
    done = sorted((e["start"], e["start"] + e["seconds"], e["pid"]) for e in store.events() if "key" in e)
    gaps, last = [], {}
    for start, end, pid in done:
        if pid in last:
            gaps.append(start - last[pid])
        last[pid] = end
    return max(end for _, end, _ in done) - done[0][0], gaps


def test_two_workers_take_half_the_time_where_cores_do_not_matter(tmp_path, capsys):
    """The engine itself: steps that sleep, each a job of its own."""
    (tmp_path / "sleepy.py").write_text(textwrap.dedent(SLEEPY))
    registry.get(Architecture, str(tmp_path / "sleepy.py"))
    network = Network(str(tmp_path / "sleepy.py"), 1, 10, 1, 8, (0.3,), (0.4,))
    spent: dict[int, float] = {}
    waits: dict[int, list[float]] = {}
    for workers in (1, 2):
        store = LocalStore(tmp_path / f"store {workers}")
        store.open()
        assert Local(workers).run([Init(network, seed) for seed in range(80)], store, ()) == {}
        spent[workers], waits[workers] = worked(store)
    with capsys.disabled():
        print(
            f"\n80 steps of 0.25 s: {spent[1]:.1f} s on one worker, {spent[2]:.1f} s on two, "
            f"{spent[1] / spent[2]:.2f} times faster; a worker waits {1000 * np.median(waits[1]):.1f} and "
            f"{1000 * np.median(waits[2]):.1f} ms between jobs (median)"
        )
    assert spent[1] / spent[2] > 1.6
    assert np.median(waits[2]) < 0.1


def spin(turns: int) -> None:
    values = np.full((64, 64), 1.0 / 64)
    for _ in range(turns):
        values = values @ values + 1.0 / 64


def bare(workers: int, turns: int) -> float:
    """The time of two pieces of work of one thread each, one after another or at once."""
    made = multiprocessing.get_context("spawn").Pool(workers)
    with made as pool:
        pool.map(spin, [1] * 2 * workers)  # starts them
        began = time.perf_counter()
        pool.map(spin, [turns] * 2, chunksize=1)
        return time.perf_counter() - began


def test_a_grid_on_two_workers_gains_what_the_cores_give(tiny_task, tmp_path, capsys):
    """A grid that computes, interleaved with two bare processes that do: 1.6 times faster on two cores."""
    asked = request.ask(tiny_task, ["omp"], rounds=[1, 2], seeds=6, metrics=["accuracy", "ece"])
    made = plan.plan(asked, ())
    assert sum(isinstance(s, Train) for s in made.steps) >= 12
    grid: dict[int, list[float]] = {1: [], 2: []}
    cores: dict[int, list[float]] = {1: [], 2: []}
    waits: list[float] = []
    for turn in range(2):
        for workers in (1, 2):
            store = LocalStore(tmp_path / f"store {turn} {workers}")
            store.open()
            assert Local(workers).run(made.steps, store, ()) == {}
            wall, gaps = worked(store)
            grid[workers].append(wall)
            cores[workers].append(bare(workers, 60_000))
            waits += gaps if workers == 2 else []
    gained = min(grid[1]) / min(grid[2])
    possible = min(cores[1]) / min(cores[2])
    with capsys.disabled():
        print(
            f"\n{len(made.steps)} steps: {min(grid[1]):.1f} s on one worker, {min(grid[2]):.1f} s on two, "
            f"{gained:.2f} times faster; two bare processes {possible:.2f} times; a worker waits "
            f"{1000 * np.median(waits):.1f} ms between steps (median), {sum(waits):.1f} s in all"
        )
    assert gained > 1.6 or gained > 0.8 * possible
