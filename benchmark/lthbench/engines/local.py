"""The local engine: jobs in worker processes on this machine, one thread each on a CPU.

One thread per process is faster for small networks than one process with all threads, and it makes
results independent of how many cores there are. Only keys and steps travel; the store holds the data.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from lthbench import registry
from lthbench.engines import local_worker
from lthbench.engines.pool import Pool, deaf_to_interrupts
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
    held,
    known,
    skipped,
    steps_of,
)
from lthbench.engines.threads import one_thread
from lthbench.planning.jobs import Job, group, stack_on
from lthbench.spec import Step
from lthbench.store import Store
from lthbench.store.leases import Leases

_Future = Future[dict[str, str]]


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
        runner, leases = Runner(store, places, engine.device, engine.together), store.leases()
        queue = Queue(jobs)
        while (job := queue.next(leases.taken) or queue.next()) is not None:
            result = skipped(job.steps, failed)
            together = [job]
            if not result:
                together += _like(queue, job, engine, leases, failed)
                with held(leases, [each.name for each in together]):
                    steps = steps_of(together)
                    result = runner.do(steps, known(steps, failed), on_the_way, tell)
            failed |= result
            _finish(together, result, queue, done)
    return failed


def _like(
    queue: Queue,
    job: Job,
    engine: Local,
    leases: Leases,
    failed: Mapping[str, str],
    tries: Mapping[str, int] = MappingProxyType({}),
) -> list[Job]:
    """More jobs to do together with one, off the queue; none that was tried before."""

    def apart(other: Job) -> bool:
        return other.name in tries or leases.taken(other.name) or bool(skipped(other.steps, failed))

    return queue.like(job, at_most(job, engine.together) - 1, apart)


def _finish(together: Sequence[Job], result: Mapping[str, str], queue: Queue, done: Done) -> None:
    for job in together:
        queue.finish(job)
        done(job, {s.key: result[s.key] for s in job.steps if s.key in result})


def _in_workers(
    jobs: dict[str, Job],
    store: Store,
    places: tuple[Path, ...],
    engine: Local,
    done: Done,
    stopping: Callable[[], None],
    stepped: Stepped,
) -> dict[str, str]:
    crew = _Crew(Queue(jobs), store, places, engine, done)
    watched = Watched(store, steps={s.key: s for job in jobs.values() for s in job.steps})
    stop = False
    try:
        while True:
            try:
                whole = stop or crew.give()
                if whole and not crew.running:
                    if stop or not crew.queue:
                        break
                    time.sleep(LOOK_EVERY)  # other drivers of this store are doing all that could be done
                    continue
                ended = crew.ended()
                for step, share in watched.new():
                    stepped(step, share)
                if not crew.take(ended, finish=not stop) or not whole:
                    crew.begin_anew()
            except KeyboardInterrupt:
                if stop or not crew.running:
                    raise
                stop = True
                crew.pool.tell_to_stop()
                stopping()
    except BaseException as error:
        crew.pool.kill()
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted from None
        raise
    finally:
        crew.pool.close()
    if stop:
        raise Interrupted
    return crew.failed


class _Crew:
    """Jobs of a queue in the hands of worker processes: ``running``, by what will tell their result."""

    def __init__(
        self, queue: Queue, store: Store, places: tuple[Path, ...], engine: Local, done: Done
    ) -> None:
        self.queue, self.failed = queue, dict[str, str]()
        self.running: dict[_Future, list[Job]] = {}
        self._engine, self._done, self._leases = engine, done, store.leases()
        self._tries: dict[str, int] = {}
        self.pool = Pool(
            engine.workers,
            local_worker.begin,
            store.address,
            places,
            engine.device,
            engine.together,
            registry.user_files(),
        )

    def give(self) -> bool:
        """Give jobs to workers that have none. False where a worker has died."""
        while len(self.running) < self._engine.workers:
            job = self.queue.next(self._leases.taken)
            if job is None:
                break
            reasons = skipped(job.steps, self.failed)
            if reasons:
                self.failed |= reasons
                self.queue.finish(job)
                self._done(job, reasons)
                continue
            together = [job]
            if job.name not in self._tries:  # what a worker died of is tried again alone
                together += _like(self.queue, job, self._engine, self._leases, self.failed, self._tries)
            try:
                with deaf_to_interrupts():
                    given = known(steps_of(together), self.failed)
                    self.running[self.pool.submit(local_worker.work, together, given)] = together
            except BrokenProcessPool:
                for each in together:
                    self.queue.give_back(each)
                return False
        return True

    def ended(self) -> set[_Future]:
        """What has ended, after a wait for something to end."""
        return wait(self.running, timeout=LOOK_EVERY, return_when=FIRST_COMPLETED).done

    def take(self, ended: Iterable[_Future], finish: bool) -> bool:
        """Take the results of jobs that have ended, as ended where ``finish``. False where a worker has died.

        What was told to stop may have been left on the way.
        """
        whole = True
        for future in ended:
            if isinstance(future.exception(), BrokenProcessPool):
                whole = False
                continue
            result = future.result()
            self.failed |= result
            together = self.running.pop(future)
            if finish:
                _finish(together, result, self.queue, self._done)
        return whole

    def begin_anew(self) -> None:
        """Other workers in place of those that died. Raises LthbenchError where work is at fault."""
        for job in itertools.chain.from_iterable(self.running.values()):
            self._tries[job.name] = self._tries.get(job.name, 0) + 1
            if self._tries[job.name] > RETRIES:
                raise died(self._tries[job.name])
            self.queue.give_back(job)
        self.running.clear()
        self.pool.begin_anew()
