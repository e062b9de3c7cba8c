"""Steps grouped into jobs, and in which order jobs are started. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import singledispatch
from graphlib import TopologicalSorter

from lthbench.planning.flops import flops
from lthbench.spec import (
    Explain,
    Given,
    Init,
    Measure,
    Network,
    Predict,
    Prune,
    Rewind,
    Step,
    Train,
    mask_keeper,
    network_of,
    trains_alike,
)


@dataclass
class Job:
    """Steps that one worker does in a row: a training with its rewind points, or a network's whole scoring.

    ``training`` is the one among them, if there is one; ``scored`` the network that passes over images.
    ``needs`` are the jobs that must be done first; ``height`` is the work in FLOPs on the longest way from
    here to the end, by which jobs that are ready are ordered. ``prepares`` says that it draws weights or
    masks alone, which is soon done and lets trainings start.
    """

    name: str
    steps: list[Step] = field(default_factory=list)
    training: Train | None = None
    scored: Network | None = None
    prepares: bool = True
    needs: set[str] = field(default_factory=set)
    flops: float = 0.0
    height: float = 0.0

    def timed(self) -> Iterator[Step]:
        """The steps that take time of their own: a training keeps its rewind points on the way."""
        return (s for s in self.steps if self.training is None or not isinstance(s, Rewind))


def alike(job: Job, other: Job) -> bool:
    """Whether two jobs gain by being done together: trainings of a stack, or networks on the same images."""
    if job.training is not None and other.training is not None:
        return trains_alike(job.training) == trains_alike(other.training)
    return job.scored is not None and job.scored == other.scored


def group(steps: Sequence[Step], begun: Mapping[str, float] | None = None) -> dict[str, Job]:
    """The jobs for steps that are to be done; steps must come after what they need.

    ``begun`` are the shares of steps that are done already, by key: they cost nothing any more.
    """
    begun = begun or {}
    todo = {s.key for s in steps}
    owner: dict[str, str] = {}
    jobs: dict[str, Job] = {}
    for step in steps:
        name = _belongs(step, todo)
        job = jobs.setdefault(name, Job(name))
        job.steps.append(step)
        job.prepares &= isinstance(step, Init | Given | Prune)
        if isinstance(step, Train):
            job.training = step
        elif isinstance(step, Predict):
            job.scored = network_of(step)
        kept_on_the_way = name != step.key and isinstance(step, Rewind)
        job.flops += 0.0 if kept_on_the_way else flops(step) * (1.0 - begun.get(step.key, 0.0))
        owner[step.key] = name
        job.needs |= {owner[n.key] for n in step.needs() if n.key in todo} - {name}
    _measure_heights(jobs)
    return jobs


@singledispatch
def _belongs(step: Step, todo: Set[str]) -> str:
    """The name of the job that a step is part of, among steps ``todo``: one of its own."""
    del todo
    return step.key


@_belongs.register
def _(step: Rewind, todo: Set[str]) -> str:
    return step.train.key if step.train.key in todo else step.key


@_belongs.register
def _(step: Predict, todo: Set[str]) -> str:
    del todo
    return f"score {step.subject.key}"


@_belongs.register(Explain)
@_belongs.register(Measure)
def _(step: Explain | Measure, todo: Set[str]) -> str:
    del todo
    if _beside(step):
        return f"control {step.subject.key} {step.reference.key if step.reference else ''}"
    return f"score {step.subject.key}"


def _beside(step: Explain | Measure) -> bool:
    """Whether another network without a mask is held against a dense one.

    Dense networks are held against one another in a ring: in their own jobs they would wait for each other.
    """
    unmasked = mask_keeper(step.subject) is None
    return unmasked and step.reference is not None and step.reference.key != step.subject.key


def _measure_heights(jobs: dict[str, Job]) -> None:
    """Raises graphlib.CycleError where jobs wait for each other."""
    users: dict[str, list[str]] = {name: [] for name in jobs}
    for job in jobs.values():
        for need in job.needs:
            users[need].append(job.name)
    for name in TopologicalSorter(users).static_order():
        jobs[name].height = jobs[name].flops + max((jobs[u].height for u in users[name]), default=0.0)


#: How many networks are trained as one by default, where that pays; a GPU's memory may allow fewer.
STACKS = {"cpu": 1, "cuda": 32}


def stack_on(device: str, asked: int) -> int:
    """How many networks are trained as one at most on a device; where 0 is asked for, as many as pay."""
    return asked or STACKS[device.partition(":")[0]]
