"""What the engines share: the order of jobs, what failures mean for others, and news of steps done."""

from __future__ import annotations

import contextlib
import heapq
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from lthbench.errors import DeviceLost, LthbenchError
from lthbench.planning.jobs import Job, alike
from lthbench.spec import Step
from lthbench.store import Store
from lthbench.store.leases import Leases

#: How often a job is given to a new worker after its worker died.
RETRIES = 2

#: How often the event log is looked at for steps that workers have done, in seconds.
LOOK_EVERY = 1.0


#: How many networks are scored by turns at most: as many as have work on a GPU at the same moment.
SCORED = 8

Done = Callable[[Job, dict[str, str]], None]
#: Told of a step, and what share of it is done.
Stepped = Callable[[Step, float], None]


class Interrupted(KeyboardInterrupt):
    """The user asked to stop; all steps that were finished are stored.

    It is no Exception, so that a program that goes on after errors of a run stops, too.
    """


def died(times: int) -> LthbenchError:
    """The error for work at which one worker after another died."""
    return LthbenchError(
        f"a worker died {times} times at the same work (out of memory, or a GPU that fails?). What was "
        "finished is stored."
    )


@contextlib.contextmanager
def ending_with_its_device() -> Iterator[None]:
    """A worker whose device fails says so and ends: another process may do the work."""
    try:
        yield
    except DeviceLost as error:
        with contextlib.suppress(OSError):
            os.write(2, f"{error}\n".encode(errors="backslashreplace"))
        os._exit(1)


def at_most(job: Job, stack: int) -> int:
    """How many jobs like this one are done together at most."""
    return stack if job.training is not None else min(stack, SCORED)


class Queue:
    """Jobs whose needs are done: those that draw weights and masks, then those with the most work after them.

    What only prepares comes first so that trainings are ready together, as stacks want them.
    """

    def __init__(self, jobs: dict[str, Job]):
        self._jobs = jobs
        self._places = {name: place for place, name in enumerate(jobs)}
        self._waiting = {name: len(job.needs) for name, job in jobs.items()}
        self._users: dict[str, list[str]] = {name: [] for name in jobs}
        for job in jobs.values():
            for need in job.needs:
                self._users[need].append(job.name)
        self._ready: list[tuple[bool, float, int, Job]] = []
        for job in jobs.values():
            if not job.needs:
                self.give_back(job)

    def __bool__(self) -> bool:
        """Whether a job is ready."""
        return bool(self._ready)

    def next(self, taken: Callable[[str], bool] = lambda name: False) -> Job | None:
        """Take the first ready job that nobody else has taken."""
        passed = []
        while self._ready and taken(self._ready[0][-1].name):
            passed.append(heapq.heappop(self._ready))
        job = heapq.heappop(self._ready)[-1] if self._ready else None
        for entry in passed:
            heapq.heappush(self._ready, entry)
        return job

    def like(self, job: Job, count: int, taken: Callable[[Job], bool]) -> list[Job]:
        """Take up to so many more ready jobs that can be done together with one that was taken."""
        fitting = (e for e in sorted(self._ready) if alike(job, e[-1]) and not taken(e[-1]))
        found = list(islice(fitting, count))
        self._ready = [e for e in self._ready if e not in found]
        heapq.heapify(self._ready)
        return [e[-1] for e in found]

    def give_back(self, job: Job) -> None:
        """Put back a job that was taken and not done."""
        heapq.heappush(self._ready, (not job.prepares, -job.height, self._places[job.name], job))

    def finish(self, job: Job) -> None:
        """Free the jobs that waited for this one."""
        for user in self._users[job.name]:
            self._waiting[user] -= 1
            if self._waiting[user] == 0:
                self.give_back(self._jobs[user])


def stacks(jobs: dict[str, Job], stack: int, workers: int) -> Iterator[list[Job]]:
    """Jobs that are done together, needs first, those with the most work hanging from them first.

    Up to ``stack`` trainings that are ready at the same time are, as many as leave each worker its share.
    """
    queue = Queue(jobs)
    while (job := queue.next()) is not None:
        most = at_most(job, stack)
        ready = [job, *queue.like(job, sys.maxsize if most > 1 else 0, lambda other: False)]
        size = min(most, math.ceil(len(ready) / workers))
        yield from (ready[start : start + size] for start in range(0, len(ready), size))
        for done in ready:
            queue.finish(done)


def skipped(steps: Sequence[Step], failed: Mapping[str, str]) -> dict[str, str]:
    """Why a job's steps cannot be started, by key: each needs what has failed. {} where one can be."""
    reasons: dict[str, str] = {}
    for step in steps:  # needs come before those that need them
        lost = [n.key for n in step.needs() if n.key in failed or n.key in reasons]
        if not lost:
            return {}
        reasons[step.key] = failed.get(lost[0]) or reasons[lost[0]]
    return reasons


def known(steps: Sequence[Step], failed: Mapping[str, str]) -> dict[str, str]:
    """The failures among what a job's steps need."""
    return {n.key: failed[n.key] for step in steps for n in step.needs() if n.key in failed}


def steps_of(together: Iterable[Job]) -> list[Step]:
    """The steps of jobs that are done together."""
    return [step for job in together for step in job.steps]


@contextlib.contextmanager
def held(leases: Leases, names: Iterable[str], waited: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Hold the leases of jobs. In the order of their names, so that no two drivers wait for each other."""
    with contextlib.ExitStack() as stack:
        for name in sorted(names):
            stack.enter_context(leases.held(name, waited))
        yield


class Watched:
    """Steps that workers have done, or are at, from the event log of the store."""

    def __init__(self, store: Store, steps: dict[str, Step]):
        self._store, self._steps = store, steps
        self._place = store.events_after(0)[1]

    def new(self) -> list[tuple[Step, float]]:
        """What was done since it was asked last, and what share of the step that is."""
        events, self._place = self._store.events_after(self._place)
        done = [
            (e.get("key"), 1.0) if "key" in e else (e.get("training"), e.get("share", 0.0)) for e in events
        ]
        return [(self._steps[key], share) for key, share in done if key in self._steps]
