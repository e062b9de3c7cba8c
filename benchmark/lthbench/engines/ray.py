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

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthbench.engines.gpu_shares import share, shares
from lthbench.engines.queue import (
    LOOK_EVERY,
    RETRIES,
    Done,
    Interrupted,
    Stepped,
    Watched,
    died,
    stacks,
)
from lthbench.engines.ray_worker import Result, Site, begun, do, site_of
from lthbench.errors import BadInput, LthbenchError
from lthbench.planning.jobs import Job, group, stack_on
from lthbench.spec import Step
from lthbench.store import Store

#: Bytes of shared memory for Ray's objects on a cluster of our own: next to nothing travels.
_OBJECTS = 100_000_000


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
        site = site_of(store, places, self.device, stack_on(self.device, self.stack))
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
                with suppress(ray.exceptions.RayError):  # of a cluster that is gone nothing is left to cancel
                    ray.cancel(task, force=True)
            if isinstance(error, KeyboardInterrupt):
                raise Interrupted from None
            if isinstance(error, ray.exceptions.RayError):
                raise _lost(error) from error
            raise
        finally:
            raised = [begun(site, (job.name for job in stack)) for stack in together if len(stack) > 1]
            for flag in (site.stop, *raised):
                store.unflag(flag)
        if stop:
            raise Interrupted
        return failed


@contextmanager
def connected(address: str | None, workers: int, device: str, stack: int = 0) -> Iterator[OnRay]:
    """A cluster: the one at ``address``, or one of this machine with so many workers. Raises BadInput.

    Where this process is connected to one already, it is that one, which stays connected; an ``address``
    beside it is refused.
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
    if not own and address is not None:
        raise BadInput(
            f"--address {address}: this process is connected to a Ray cluster already. "
            "Leave the address away to run on that one, or call ray.shutdown() first."
        )
    if own and address is None:
        _start(
            ray,
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


def _start(ray: Any, **options: Any) -> None:
    """Start a cluster of this machine. Raises LthbenchError where it does not come up."""
    try:
        ray.init(**options)
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        said = str(error).strip().partition("\n")[0][:200]
        raise LthbenchError(
            f"Ray cannot start a cluster on this machine: {type(error).__name__}: {said}. Work without one: "
            "--engine local."
        ) from error


def _reach(address: str | None) -> None:
    """Raise OSError or ValueError where nothing listens: Ray itself would try for minutes."""
    if address in (None, "auto"):
        return
    machine, colon, port = str(address).rpartition(":")
    if not colon or "/" in machine or not port.isdigit():
        raise ValueError("give auto, or HOST:PORT as ray start printed it")
    socket.create_connection((machine.strip("[]"), int(port)), timeout=10.0).close()


# ------------------------------------------------------------------------------------------- at the driver


def _submitted(stacked: Iterable[list[Job]], site: Site, device: str, store: Store) -> dict[Any, list[Job]]:
    """All jobs as tasks, in order; each waits for those it needs. A stack takes a whole GPU."""
    import ray

    # A process that has used a GPU sees no other from then on, and keeps memory of it: the next task has a
    # new one. Ray sees to that where the decorator says num_gpus, but not where only the options do.
    task = ray.remote(max_calls=1)(do) if device == "cuda" else ray.remote(do)
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


def _lost(error: Exception) -> LthbenchError:
    """The error for a cluster that fails as a whole: its raylet, an agent or its head has died."""
    said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
    return LthbenchError(
        f"the Ray cluster failed ({said}). What was finished is stored; continue with the same command, on a "
        "cluster that answers or with --engine local."
    )


def _result(task: Any) -> Result:
    """What a task returned. Raises what it raised, or LthbenchError if it died too often."""
    import ray

    try:
        found: Result = ray.get(task)
        return found
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, Exception) and not isinstance(cause, ray.exceptions.RayError):
            raise cause from None
        raise
    except (
        ray.exceptions.WorkerCrashedError,
        ray.exceptions.NodeDiedError,
        ray.exceptions.OutOfMemoryError,
        ray.exceptions.ObjectLostError,
    ):
        raise died(RETRIES + 1) from None
