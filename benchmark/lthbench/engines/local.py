"""The local engine: jobs in worker processes on this machine, one thread each on a CPU.

One thread per process is faster for small networks than one process with all threads, and it makes
results independent of how many cores there are. Only keys and steps travel; the store holds the data.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench.engines.jobs import Job, group
from lthbench.errors import Damaged, LthbenchError
from lthbench.leases import Leases
from lthbench.spec import Step
from lthbench.store import Store

if TYPE_CHECKING:
    from lthbench.runner import Runner

#: How often a job is given to a new worker after its worker died.
RETRIES = 2

#: How often the event log is looked at for steps that workers have done, in seconds.
LOOK_EVERY = 1.0

Done = Callable[[Job, dict[str, str]], None]
Stepped = Callable[[Step], None]


class Interrupted(LthbenchError):
    """The user asked to stop; all steps that were finished are stored."""


@dataclass(frozen=True)
class Local:
    """``workers`` processes on ``device`` (0: in this process, which is what tests and notebooks use)."""

    workers: int
    device: str = "cpu"

    def run(
        self,
        steps: Sequence[Step],
        store: Store,
        places: tuple[Path, ...],
        done: Done = lambda job, failed: None,
        stopping: Callable[[], None] = lambda: None,
        stepped: Stepped = lambda step: None,
    ) -> dict[str, str]:
        """Do the steps, needs first. Returns why some failed, by key.

        ``stepped`` is called after each step, a second later or so, and ``done`` after each job. On the first
        interrupt ``stopping`` is called, and the steps that are running are finished; on the second they are
        dropped. Either way Interrupted is raised.
        """
        jobs = group(steps)
        if self.workers == 0:
            return _in_process(jobs, store, places, self.device, done, stepped)
        return _in_workers(jobs, store, places, self, done, stopping, stepped)


def _in_process(
    jobs: dict[str, Job], store: Store, places: tuple[Path, ...], device: str, done: Done, stepped: Stepped
) -> dict[str, str]:
    from lthbench.runner import Runner

    failed: dict[str, str] = {}
    with one_thread(device):
        runner, leases = Runner(store, places, device), Leases(store)
        queue = _Queue(jobs)
        while (job := queue.next(leases.taken) or queue.next()) is not None:
            result = _skipped(job, failed)
            if not result:
                with leases.held(job.name):
                    result = runner.do(job.steps, _known(job, failed), stepped=stepped)
            failed |= result
            queue.finish(job)
            done(job, result)
    return failed


def _in_workers(
    jobs: dict[str, Job],
    store: Store,
    places: tuple[Path, ...],
    engine: Local,
    done: Done,
    stopping: Callable[[], None],
    stepped: Stepped,
) -> dict[str, str]:
    failed: dict[str, str] = {}
    queue, leases = _Queue(jobs), Leases(store)
    tries: dict[str, int] = {}
    running: dict[Future[dict[str, str]], Job] = {}
    # Shared memory without a lock: a worker that is killed while it looks must not lock out the others.
    flag = multiprocessing.get_context("spawn").RawValue("b", 0)
    pool = _pool(store, places, engine, flag)
    watched = _Watched(store, steps={s.key: s for job in jobs.values() for s in job.steps})
    stop = False
    try:
        while True:
            try:
                died = False
                while (
                    not stop
                    and len(running) < engine.workers
                    and (job := queue.next(leases.taken)) is not None
                ):
                    skipped = _skipped(job, failed)
                    if skipped:
                        failed |= skipped
                        queue.finish(job)
                        done(job, skipped)
                        continue
                    try:
                        with _deaf_to_interrupts():
                            running[pool.submit(_work, job.name, job.steps, _known(job, failed))] = job
                    except BrokenProcessPool:
                        queue.give_back(job)
                        died = True
                        break
                if not running and not died:
                    if stop or not queue.ready:
                        break
                    time.sleep(LOOK_EVERY)  # other drivers of this store are doing all that could be done
                    continue
                finished, _ = wait(running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
                for step in watched.new():
                    stepped(step)
                broken = [f for f in finished if isinstance(f.exception(), BrokenProcessPool)]
                for future in finished:
                    if future in broken:
                        continue
                    job = running.pop(future)
                    result = future.result()
                    failed |= result
                    queue.finish(job)
                    done(job, result)
                if broken or died:
                    for job in running.values():
                        tries[job.name] = tries.get(job.name, 0) + 1
                        if tries[job.name] > RETRIES:
                            raise LthbenchError(
                                f"a worker died {tries[job.name]} times at the same work (out of memory?). "
                                "What was finished is stored."
                            )
                        queue.give_back(job)
                    running.clear()
                    pool.shutdown(wait=True)
                    pool = _pool(store, places, engine, flag)
            except KeyboardInterrupt:
                if stop or not running:
                    raise
                stop = True
                flag.value = 1
                stopping()
    except BaseException as error:
        for child in multiprocessing.active_children():
            child.kill()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted from None
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if stop:
        raise Interrupted
    return failed


class _Queue:
    """Jobs whose needs are done, those with the most work hanging from them first."""

    def __init__(self, jobs: dict[str, Job]):
        self._jobs = jobs
        self._waiting = {name: len(job.needs) for name, job in jobs.items()}
        self._users: dict[str, list[str]] = {name: [] for name in jobs}
        for job in jobs.values():
            for need in job.needs:
                self._users[need].append(job.name)
        self.ready = [job for job in jobs.values() if not job.needs]

    def next(self, taken: Callable[[str], bool] = lambda name: False) -> Job | None:
        """Take the ready job with the greatest height (the earliest of equals) that nobody else has taken."""
        for _, place in sorted((-job.height, i) for i, job in enumerate(self.ready)):
            if not taken(self.ready[place].name):
                return self.ready.pop(place)
        return None

    def give_back(self, job: Job) -> None:
        """Put back a job that was taken and not done."""
        self.ready.append(job)

    def finish(self, job: Job) -> None:
        """Free the jobs that waited for this one."""
        for user in self._users[job.name]:
            self._waiting[user] -= 1
            if self._waiting[user] == 0:
                self.ready.append(self._jobs[user])


def _skipped(job: Job, failed: dict[str, str]) -> dict[str, str]:
    """Why a job cannot be started: what its first step needs has failed."""
    own = {s.key for s in job.steps}
    for need in job.steps[0].needs():
        if need.key in failed and need.key not in own:
            return {s.key: failed[need.key] for s in job.steps}
    return {}


def _known(job: Job, failed: dict[str, str]) -> dict[str, str]:
    """The failures among what a job's steps need."""
    return {n.key: failed[n.key] for step in job.steps for n in step.needs() if n.key in failed}


class _Watched:
    """Steps that workers have done, from the event log of the store."""

    def __init__(self, store: Store, steps: dict[str, Step]):
        self._store, self._steps = store, steps
        self._place = store.events_after(0)[1]

    def new(self) -> list[Step]:
        """Those that were done since it was asked last."""
        events, self._place = self._store.events_after(self._place)
        return [self._steps[e["key"]] for e in events if e.get("key") in self._steps]


def _pool(store: Store, places: tuple[Path, ...], engine: Local, flag: Any) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        engine.workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(str(store.root), places, engine.device, registry.user_files(), flag),
    )


def _begin(root: str, places: tuple[Path, ...], device: str, files: dict[str, list[str]], flag: Any) -> None:
    """Set up a worker: it ends with its parent, and leaves interrupts to it; ``flag`` tells it to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from lthbench.runner import Runner

    if device == "cpu":
        torch.set_num_threads(1)
    registry.use_files(files)
    global _runner, _flag
    _flag = flag
    _runner = Runner(Store(root), places, device)


_runner: Runner | None = None  # the worker's own, and what tells it to stop; set by _begin
_flag: Any = None


def _work(name: str, steps: Sequence[Step], known: dict[str, str]) -> dict[str, str]:
    assert _runner is not None
    with Leases(_runner.store).held(name, waited=_stopped):
        return _runner.do(steps, known, stopped=_stopped)


def _stopped() -> bool:
    return _flag is not None and bool(_flag.value)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def one_thread(device: str) -> Iterator[None]:
    """One torch thread on a CPU, as in the workers, so that results do not depend on where they are made."""
    import torch

    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """While a worker process is started, so that it is born deaf to the terminal's interrupt.

    An interrupt that comes meanwhile is not lost: it is raised at the end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    masked = hasattr(signal, "pthread_sigmask")
    if masked:
        resource_tracker.ensure_running()  # its start would lift the block
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if masked:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
    if heard:
        raise KeyboardInterrupt


__all__ = ["Damaged", "Interrupted", "Local"]
