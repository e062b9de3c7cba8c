"""The cluster engine: each job is a task of Ray, which decides where and when it runs.

On GPUs a task is a stack of jobs that are alike, as many as leave each GPU its share of those that are ready.
What a task needs are the results of other tasks, so that Ray's own scheduler knows the order; it gives a
task that died with its worker or its node to another one, a bounded number of times, and of a stack that
died the jobs are done one after the other. Only steps and reasons travel: the store, in a folder that all
nodes see or at a URL, holds the data, and leases keep two drivers from the same work.

Where no cluster is named, one of this machine is started, bound to loopback, with no dashboard and no
statistics of usage, and ended with the run.
"""

from __future__ import annotations

import hashlib
import logging
import math
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench._version import __version__
from lthbench.compute.process import host
from lthbench.corruptions import official
from lthbench.data import concepts, loading
from lthbench.engines.gpu_shares import share, shares
from lthbench.engines.queue import (
    LOOK_EVERY,
    RETRIES,
    Done,
    Interrupted,
    Stepped,
    Watched,
    died,
    known,
    skipped,
    stacks,
)
from lthbench.errors import BadInput, LthbenchError, Unwritable
from lthbench.kinds import Bank
from lthbench.planning.jobs import Job, group, stack_on
from lthbench.spec import Data, Explain, Inputs, Measure, Predict, Prune, Step, Train
from lthbench.store import Store, open_store

if TYPE_CHECKING:
    from lthbench.execution.runner import Runner

#: How long a node waits until it sees in a shared folder what another has written, in seconds.
PATIENCE = 90.0
#: Bytes of shared memory for Ray's objects on a cluster of our own: next to nothing travels.
_OBJECTS = 100_000_000
#: Variables of the driver's environment that a task must see.
_SETTINGS = ("LTHBENCH_SETS_GB",)


@dataclass(frozen=True)
class OnRay:
    """A cluster that is connected: ``workers`` is how many jobs fit on it at once, each on ``device``.

    Up to ``stack`` networks are trained as one in a task (0: as many as pay on the device).
    """

    workers: int
    device: str
    stack: int = 0

    def run(
        self,
        steps: Sequence[Step],
        store: Store,
        places: tuple[Path, ...],
        done: Done = lambda job, failed: None,
        stopping: Callable[[], None] = lambda: None,
        stepped: Stepped = lambda step, share: None,
    ) -> dict[str, str]:
        """Do the steps, needs first. Returns why some failed, by key. Interrupts are as in ``Local.run``."""
        import ray

        together = list(stacks(group(steps), stack_on(self.device, self.stack), self.workers))
        site = _site(store, places, self.device, stack_on(self.device, self.stack))
        watched = Watched(store, {s.key: s for s in steps})
        failed: dict[str, str] = {}
        stop = False
        pending: dict[Any, list[Job]] = {}
        try:
            pending = _submitted(together, site, self.device, store)
            while pending:
                try:
                    finished, _ = ray.wait(list(pending), num_returns=len(pending), timeout=LOOK_EVERY / 2)
                    for step, share in watched.new():
                        stepped(step, share)
                    for task in finished:
                        result = _result(task)
                        failed |= result.failed
                        for event in result.events:
                            store.log(event)
                        for job in pending.pop(task):
                            if not stop:
                                done(job, {s.key: failed[s.key] for s in job.steps if s.key in failed})
                except KeyboardInterrupt:
                    if stop:
                        raise
                    stop = True
                    store.flag(site.stop)
                    stopping()
        except BaseException as error:
            for task in pending:
                ray.cancel(task, force=True)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted from None
            raise
        finally:
            raised = [_begun(site, (job.name for job in stack)) for stack in together if len(stack) > 1]
            for flag in (site.stop, *raised):
                store.unflag(flag)
        if stop:
            raise Interrupted
        return failed


@contextmanager
def connected(address: str | None, workers: int, device: str, stack: int = 0) -> Iterator[OnRay]:
    """A cluster: the one at ``address``, or one of this machine with so many workers. Raises BadInput.

    ``device`` auto is a GPU where the cluster has one; ``stack`` is as for ``OnRay``.
    """
    # Set before ray is imported: it asks no outside address, and leaves it to us what a task may see.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise BadInput("engine ray needs the package ray: pip install 'lthbench[ray]'") from error
    own = not ray.is_initialized()
    if own and address is None:
        ray.init(
            address="local",  # else Ray would join a cluster that somebody else runs on this machine
            num_cpus=max(workers, 1),
            num_gpus=0 if device == "cpu" else None,
            object_store_memory=_OBJECTS,
            include_dashboard=False,
            logging_level=logging.ERROR,
            _node_ip_address="127.0.0.1",
            _system_config={"task_oom_retries": RETRIES},
        )
    elif own:
        try:
            _reach(address)
            ray.init(address=address, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            said = str(error).strip().partition("\n")[0]
            raise BadInput(
                f"--address {address}: no Ray cluster answers there ({said}). Start one (ray start --head), "
                "or leave --address away. For one that asks for a token set RAY_AUTH_MODE=token and "
                "RAY_AUTH_TOKEN as on its nodes."
            ) from error
    try:
        resources: Any = ray.cluster_resources  # has no types in some versions
        there: dict[str, float] = resources()
        gpus = int(there.get("GPU", 0))
        if device.startswith("cuda") and not gpus:
            raise BadInput(f"device {device}: the cluster has no GPU. Valid here: auto, cpu")
        chosen = "cpu" if device == "cpu" or not gpus else "cuda"
        yield OnRay(gpus if chosen == "cuda" else int(there.get("CPU", 1)), chosen, stack)
    finally:
        if own:
            ray.shutdown()


def _reach(address: str | None) -> None:
    """Raise OSError or ValueError where nothing listens: Ray itself would try for minutes."""
    if address in (None, "auto"):
        return
    machine, colon, port = str(address).rpartition(":")
    if not colon or "/" in machine or not port.isdigit():
        raise ValueError("give auto, or HOST:PORT as ray start printed it")
    socket.create_connection((machine.strip("[]"), int(port)), timeout=10.0).close()


# ------------------------------------------------------------------------------------------- at the driver


@dataclass(frozen=True)
class _Site:
    """What a task must know beside its steps; ``stop`` is a flag of the store: no more once it is up.

    ``stack`` is how many networks are trained as one at most.
    """

    store: str
    folder: str
    places: tuple[Path, ...]
    device: str
    files: tuple[tuple[str, str, str], ...]
    version: str
    stop: str
    stack: int = 1
    settings: tuple[tuple[str, str], ...] = field(default=())


def _site(store: Store, places: tuple[Path, ...], device: str, stack: int = 1) -> _Site:
    own = registry.user_files()
    files = tuple((kind, path, _hash(Path(path))) for kind, paths in own.items() for path in paths)
    settings = tuple((n, os.environ[n]) for n in _SETTINGS if n in os.environ)
    seen = tuple(p.resolve() for p in places)
    stop = store.scratch().name
    return _Site(store.address, store.workplace, seen, device, files, __version__, stop, stack, settings)


@dataclass(frozen=True)
class _Result:
    """Why steps of a job failed, by key, and the lines of a log of its own that a worker keeps."""

    failed: dict[str, str]
    events: list[dict[str, Any]] = field(default_factory=list)


def _submitted(stacked: Iterable[list[Job]], site: _Site, device: str, store: Store) -> dict[Any, list[Job]]:
    """All jobs as tasks, in order; each waits for those it needs. A stack takes a whole GPU."""
    import ray

    task = ray.remote(_do)
    measured = shares(store.events()) if device == "cuda" else {}
    where = ray.put(site)
    tasks: dict[str, Any] = {}  # by the name of each job
    pending: dict[Any, list[Job]] = {}
    for together in stacked:
        first = together[0]
        options: dict[str, Any] = {"num_cpus": 1, "max_retries": RETRIES, "name": first.name[:80]}
        if device == "cuda":
            options["num_gpus"] = share(first, measured) if len(together) == 1 else 1.0
        needs = sorted(set().union(*(job.needs for job in together)))
        before = list(dict.fromkeys(tasks[need] for need in needs))
        handle = task.options(**options).remote(where, [(j.name, j.steps) for j in together], *before)
        tasks |= {job.name: handle for job in together}
        pending[handle] = together
    return pending


def _begun(site: _Site, names: Iterable[str]) -> str:
    """The flag of a stack that is at work: if it is up before it begins, its worker died of it."""
    return f"{site.stop}-{hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:32]}"


def _result(task: Any) -> _Result:
    """What a task returned. Raises what it raised, or LthbenchError if it died too often."""
    import ray

    try:
        found: _Result = ray.get(task)
        return found
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception):
            raise error.cause from None
        raise
    except (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.ObjectLostError,
    ):
        raise died(RETRIES + 1) from None


# ------------------------------------------------------------------------------------------- at a worker


def _do(site: _Site, together: Sequence[tuple[str, Sequence[Step]]], *before: _Result) -> _Result:
    """Do the steps of jobs, by name; ``before`` are the results of those they need."""
    failed = {key: reason for result in before for key, reason in result.failed.items()}
    reasons = {key: why for _, own in together for key, why in skipped(own, failed).items()}
    names = sorted(name for name, own in together if not skipped(own, failed))
    steps = [step for name, own in together if name in names for step in own]
    if not names:
        return _Result(reasons)
    runner = _runner(site)
    store = runner.store

    stopped = _Flagged(store, site.stop)
    if stopped():
        return _Result({})
    _check_data(steps, site.places)
    place = store.events_after(0)[1]
    leases = store.leases()
    with ExitStack() as held:
        for name in names:  # in this order, so that no two drivers wait for each other
            held.enter_context(leases.held(name, waited=stopped))
        if not _await(store, steps, failed, stopped):
            return _Result({})
        held.enter_context(_as_one(site, runner, [name for name, _ in together]))
        reasons |= runner.do(steps, known(steps, failed), stopped=stopped)
    if store.workplace == site.folder:
        return _Result(reasons)
    return _Result(reasons, [e for e in store.events_after(place)[0] if e.get("pid") == os.getpid()])


@contextmanager
def _as_one(site: _Site, runner: Runner, names: Sequence[str]) -> Iterator[None]:
    """What is alike is done together, but one after the other if a worker died of it."""
    flag = _begun(site, names)
    runner.stack = site.stack if len(names) > 1 and not runner.store.flagged(flag) else 1
    if runner.stack > 1:
        runner.store.flag(flag)
    yield
    if runner.stack > 1:
        runner.store.unflag(flag)


@lru_cache(maxsize=1)
def _runner(site: _Site) -> Runner:
    """The worker's own runner, set up for a driver once. Raises BadInput if the node is set up otherwise."""
    import torch

    from lthbench.execution.runner import Runner

    where = f"node {host()}"
    if __version__ != site.version:
        raise BadInput(f"{where}: has lthbench {__version__}, the driver has {site.version}.")
    store = open_store(site.store)
    store.join()
    for kind, path, digest in site.files:
        if not Path(path).is_file() or _hash(Path(path)) != digest:
            raise BadInput(f"{where}: {path} is not there, or is another file than the driver's.")
        registry.use_files({kind: [path]})
    os.environ.update(dict(site.settings))
    if site.device == "cpu":
        torch.set_num_threads(1)
    return Runner(store, site.places, site.device)


def _check_data(steps: Iterable[Step], places: tuple[Path, ...]) -> None:
    """Raise BadInput if a data set is not the one here that stands in the keys of the steps."""
    for found in {d for step in steps for d in _sources(step)}:
        here = loading.identify(found.name, places)
        if here != found:
            raise BadInput(
                f"node {host()}: data set {found.name} is another one here than the driver's; all nodes must "
                "see the same images."
            )
    looks = (look for step in steps if isinstance(step, Measure) for look in step.looks or ())
    for view in {inputs.view for need, inputs in looks if need == "concepts"}:
        name, _, digest = view.partition("/")
        if concepts.identify(registry.get(Bank, name), places).digest != digest:
            raise BadInput(
                f"node {host()}: the bank of concepts {name} is another one here than the driver's; all "
                "nodes must see the same images."
            )


def _sources(step: Step) -> Iterator[Data]:
    if isinstance(step, Train | Prune):
        yield from () if step.data is None else (step.data,)
    elif isinstance(step, Predict | Explain):
        yield from _source(step.inputs)
    elif isinstance(step, Measure):
        for _, inputs in (*step.inputs, *(step.looks or ()), *(step.maps or ())):
            yield from _source(inputs)


def _source(inputs: Inputs) -> Iterator[Data]:
    if not inputs.view.startswith(official.PREFIX):  # those have a digest of their own
        yield inputs.data


class _Flagged:
    """Whether a flag is raised, asked at most every ``LOOK_EVERY`` seconds; where that fails, as it was."""

    def __init__(self, store: Store, name: str):
        self._store, self._name = store, name
        self._asked, self._raised = -math.inf, False

    def __call__(self) -> bool:
        now = time.monotonic()
        if not self._raised and now - self._asked >= LOOK_EVERY:
            self._asked = now
            with suppress(Unwritable):  # an object store that does not answer for once ends no training
                self._raised = self._store.flagged(self._name)
        return self._raised


def _await(store: Store, steps: Sequence[Step], failed: dict[str, str], stopped: Callable[[], bool]) -> bool:
    """Wait until this node sees what the steps need: a shared folder may show it late.

    False where it is told to stop meanwhile: what is needed may have been left on the way.
    """
    own = {s.key for s in steps}
    needs = (n for s in steps if not store.has(s) for n in s.needs())
    wanted = {n.key: n for n in needs if n.key not in own | failed.keys()}
    end = time.monotonic() + PATIENCE
    for need in wanted.values():
        while not store.has(need):
            if stopped():
                return False
            if time.monotonic() > end:
                raise LthbenchError(
                    f"{type(need).__name__.lower()} {need.key[:12]} is done, but not to be seen in "
                    f"{store.root} after {PATIENCE:.0f} s; is that one folder for all nodes?"
                )
            time.sleep(0.2)
            with os.scandir(store.root / "steps") as entries:  # makes a network's file system look again
                sum(1 for _ in entries)
    return True


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
