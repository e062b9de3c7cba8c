"""The local engine: jobs in worker processes on this machine, one thread each on a CPU.

One thread per process is faster for small networks than one process with all threads, and it makes
results independent of how many cores there are. Only keys and steps travel; the store holds the data.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench.engines.queue import (
    LOOK_EVERY,
    RETRIES,
    Done,
    Interrupted,
    Queue,
    Stepped,
    Watched,
    at_most,
    died,
    known,
    skipped,
)
from lthbench.engines.workers import Workers
from lthbench.errors import BadInput, LthbenchError
from lthbench.planning.jobs import Job, group, stack_on
from lthbench.spec import Step
from lthbench.store import Store, open_store
from lthbench.store.leases import Leases

if TYPE_CHECKING:
    from lthbench.execution.runner import Runner


@dataclass(frozen=True)
class Local:
    """``workers`` processes on ``device`` (0: in this process, which is what tests and notebooks use).

    Up to ``stack`` networks are trained as one (0: as many as pay on the device).
    """

    workers: int
    device: str = "cpu"
    stack: int = 0

    @property
    def together(self) -> int:
        """How many networks are trained as one at most."""
        return stack_on(self.device, self.stack)

    def run(
        self,
        steps: Sequence[Step],
        store: Store,
        places: tuple[Path, ...],
        done: Done = lambda job, failed: None,
        stopping: Callable[[], None] = lambda: None,
        stepped: Stepped = lambda step, share: None,
    ) -> dict[str, str]:
        """Do the steps, needs first. Returns why some failed, by key.

        ``stepped`` is called after each step, and on the way through a long training, some time later, and
        ``done`` after each job. On the first interrupt ``stopping`` is called, and the steps that are running
        are finished, trainings kept as they are after their epoch; on the second they are dropped. Either way
        Interrupted is raised.
        """
        jobs = group(steps)
        if self.workers == 0:
            return _in_process(jobs, store, places, self, done, stepped)
        return _in_workers(jobs, store, places, self, done, stopping, stepped)


def _in_process(
    jobs: dict[str, Job],
    store: Store,
    places: tuple[Path, ...],
    engine: Local,
    done: Done,
    stepped: Stepped,
) -> dict[str, str]:
    from lthbench.execution.runner import Runner

    failed: dict[str, str] = {}
    watched = Watched(store, steps={s.key: s for job in jobs.values() for s in job.steps})

    looked, ended = time.monotonic(), set[str]()

    def tell(step: Step, share: float) -> None:
        ended.add(step.key)
        stepped(step, share)

    def on_the_way() -> bool:
        nonlocal looked
        if time.monotonic() - looked >= LOOK_EVERY:
            looked = time.monotonic()
            for step, share in watched.new():
                if share < 1.0 and step.key not in ended:  # of its end each step tells itself
                    stepped(step, share)
        return False

    with one_thread(engine.device):
        runner, held = Runner(store, places, engine.device, engine.together), store.leases()
        queue = Queue(jobs)
        while (job := queue.next(held.taken) or queue.next()) is not None:
            result = skipped(job.steps, failed)
            together = [job]
            if not result:
                together += _like(queue, job, engine, held, failed)
                with _held(held, together):
                    steps = _steps(together)
                    result = runner.do(steps, known(steps, failed), on_the_way, tell)
            failed |= result
            _finish(together, result, queue, done)
    return failed


def _like(
    queue: Queue,
    job: Job,
    engine: Local,
    held: Leases,
    failed: Mapping[str, str],
    tries: Mapping[str, int] = MappingProxyType({}),
) -> list[Job]:
    """More jobs to do together with one, off the queue; none that was tried before."""

    def apart(other: Job) -> bool:
        return other.name in tries or held.taken(other.name) or bool(skipped(other.steps, failed))

    return queue.like(job, at_most(job, engine.together) - 1, apart)


def _steps(together: Sequence[Job]) -> list[Step]:
    return [step for job in together for step in job.steps]


def _finish(together: Sequence[Job], result: Mapping[str, str], queue: Queue, done: Done) -> None:
    for job in together:
        queue.finish(job)
        done(job, {s.key: result[s.key] for s in job.steps if s.key in result})


@contextlib.contextmanager
def _held(own: Leases, together: Sequence[Job], waited: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold the leases of jobs. In the order of their names, so that no two drivers wait for each other."""
    with contextlib.ExitStack() as stack:
        for name in sorted(job.name for job in together):
            stack.enter_context(own.held(name, waited))
        yield


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
    queue, held = Queue(jobs), store.leases()
    tries: dict[str, int] = {}
    running: dict[Future[dict[str, str]], list[Job]] = {}
    workers = Workers()
    try:
        # Shared memory without a lock: a worker that is killed while it looks must not lock out the others.
        flag = workers.RawValue("b", 0)
        pool = _pool(store, places, engine, flag, workers)
    except (OSError, ImportError) as error:  # containers without shared memory
        raise BadInput(
            f"worker processes cannot be started here: {error}. They need shared memory: mount /dev/shm "
            "(with docker run --shm-size=1g) and a folder for temporary files (TMPDIR), or work in one "
            "process: --workers 0."
        ) from error
    watched = Watched(store, steps={s.key: s for job in jobs.values() for s in job.steps})
    stop = False
    try:
        while True:
            try:
                lost = False
                while (
                    not stop and len(running) < engine.workers and (job := queue.next(held.taken)) is not None
                ):
                    reasons = skipped(job.steps, failed)
                    if reasons:
                        failed |= reasons
                        queue.finish(job)
                        done(job, reasons)
                        continue
                    together = [job]
                    if job.name not in tries:  # what a worker died of is tried again alone
                        together += _like(queue, job, engine, held, failed, tries)
                    try:
                        with _deaf_to_interrupts():
                            task = pool.submit(_work, together, known(_steps(together), failed))
                            running[task] = together
                    except BrokenProcessPool:
                        for job in together:
                            queue.give_back(job)
                        lost = True
                        break
                if not running and not lost:
                    if stop or not queue:
                        break
                    time.sleep(LOOK_EVERY)  # other drivers of this store are doing all that could be done
                    continue
                finished, _ = wait(running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED)
                for step, share in watched.new():
                    stepped(step, share)
                broken = [f for f in finished if isinstance(f.exception(), BrokenProcessPool)]
                for future in finished:
                    if future in broken:
                        continue
                    result = future.result()
                    failed |= result
                    together = running.pop(future)
                    if not stop:  # what was told to stop may have been left on the way
                        _finish(together, result, queue, done)
                if broken or lost:
                    for job in itertools.chain.from_iterable(running.values()):
                        tries[job.name] = tries.get(job.name, 0) + 1
                        if tries[job.name] > RETRIES:
                            raise died(tries[job.name])
                        queue.give_back(job)
                    running.clear()
                    workers.kill()
                    pool.shutdown(wait=True)
                    pool = _pool(store, places, engine, flag, workers)
            except KeyboardInterrupt:
                if stop or not running:
                    raise
                stop = True
                flag.value = 1
                stopping()
    except BaseException as error:
        workers.kill()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted from None
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if stop:
        raise Interrupted
    return failed


def _pool(
    store: Store, places: tuple[Path, ...], engine: Local, flag: Any, workers: Workers
) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        engine.workers,
        mp_context=workers,
        initializer=_begin,
        initargs=(store.address, places, engine, registry.user_files(), flag),
    )


def _begin(
    address: str, places: tuple[Path, ...], engine: Local, files: tuple[registry.OwnFile, ...], flag: Any
) -> None:
    """Set up a worker: it ends with its parent, and leaves signals to it; ``flag`` tells it to stop.

    A terminal interrupts all processes of a command, a scheduler terminates them: what trains is to be kept.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    global _runner, _flag, _unfit
    _flag = flag
    try:
        import torch

        from lthbench.execution.runner import Runner

        if engine.device == "cpu":
            torch.set_num_threads(1)
        registry.use_files(files)
        _runner = Runner(open_store(address), places, engine.device, engine.together)
    except LthbenchError as error:  # raised here, it would be a worker that died of nothing known
        _unfit = error
    except Exception as error:  # as where memory or address space is short of what torch takes
        said = " ".join(str(error).split())[:300]
        _unfit = LthbenchError(f"a worker process cannot begin: {type(error).__name__}: {said}")


_runner: Runner | None = None  # the worker's own, and what tells it to stop; set by _begin
_flag: Any = None
_unfit: LthbenchError | None = None  # why it can do no work


def _work(together: Sequence[Job], failed: dict[str, str]) -> dict[str, str]:
    if _unfit is not None:
        raise _unfit
    assert _runner is not None
    with _held(_runner.store.leases(), together, _stopped):
        return _runner.do(_steps(together), failed, stopped=_stopped)


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
