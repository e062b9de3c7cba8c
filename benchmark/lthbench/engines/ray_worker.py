"""What a task of Ray does at its worker: looks at the node, takes leases, does steps, tells what failed."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench._version import __version__
from lthbench.compute.process import host
from lthbench.engines.queue import LOOK_EVERY, ending_with_its_device, held, known, skipped
from lthbench.engines.threads import keep_to_one_thread
from lthbench.errors import BadInput, LthbenchError, Unwritable
from lthbench.kinds.origins import OwnFile
from lthbench.spec import Step
from lthbench.store import Store, open_store

if TYPE_CHECKING:
    from lthbench.execution.runner import Runner

#: How long a node waits until it sees in a shared folder what another has written, in seconds.
PATIENCE = 90.0
#: Variables of the driver's environment that a task must see.
_SETTINGS = ("LTHBENCH_SETS_GB",)


@dataclass(frozen=True)
class Site:
    """What a task must know beside its steps; ``stop`` is a flag of the store: no more once it is up.

    ``stack`` is how many networks are trained as one at most.
    """

    store: str
    folder: str
    places: tuple[Path, ...]
    device: str
    files: tuple[OwnFile, ...]
    version: str
    stop: str
    stack: int = 1
    settings: tuple[tuple[str, str], ...] = field(default=())


def site_of(store: Store, places: tuple[Path, ...], device: str, stack: int = 1) -> Site:
    """What tasks must know of a run, with the hashes of the user's own files."""
    files = registry.user_files()
    settings = tuple((n, os.environ[n]) for n in _SETTINGS if n in os.environ)
    seen = tuple(p.resolve() for p in places)
    stop = store.scratch().name
    return Site(store.address, store.workplace, seen, device, files, __version__, stop, stack, settings)


@dataclass(frozen=True)
class Result:
    """Why steps of a job failed, by key, and the lines of a log of its own that a worker keeps."""

    failed: dict[str, str]
    events: list[dict[str, Any]] = field(default_factory=list)


def begun(site: Site, names: Iterable[str]) -> str:
    """The flag of a stack that is at work: if it is up before it begins, its worker died of it."""
    return f"{site.stop}-{hashlib.sha256(chr(10).join(names).encode()).hexdigest()[:32]}"


@ending_with_its_device()
def do(site: Site, together: Sequence[tuple[str, Sequence[Step]]], *before: Result) -> Result:
    """Do the steps of jobs, by name; ``before`` are the results of those they need."""
    failed = {key: reason for result in before for key, reason in result.failed.items()}
    reasons = {key: why for _, own in together for key, why in skipped(own, failed).items()}
    names = sorted(name for name, own in together if not skipped(own, failed))
    steps = [step for name, own in together if name in names for step in own]
    if not names:
        return Result(reasons)
    runner = runner_of(site)
    store = runner.store

    stopped = Flagged(store, site.stop)
    if stopped():
        return Result({})
    place = store.events_after(0)[1]
    with held(store.leases(), names, stopped):
        if not await_needs(store, steps, failed, stopped):
            return Result({})
        with _as_one(site, runner, [name for name, _ in together]):
            try:
                reasons |= runner.do(steps, known(steps, failed), stopped=stopped)
            except BadInput as error:
                raise BadInput(f"node {host()}: {error}") from error
    if store.workplace == site.folder:
        return Result(reasons)
    return Result(reasons, [e for e in store.events_after(place)[0] if e.get("pid") == os.getpid()])


@contextmanager
def _as_one(site: Site, runner: Runner, names: Sequence[str]) -> Iterator[None]:
    """What is alike is done together, but one after the other if a worker died of it."""
    flag = begun(site, names)
    runner.stack = site.stack if len(names) > 1 and not runner.store.flagged(flag) else 1
    if runner.stack > 1:
        runner.store.flag(flag)
    yield
    if runner.stack > 1:
        runner.store.unflag(flag)


@lru_cache(maxsize=1)
def runner_of(site: Site) -> Runner:
    """The worker's own runner, set up for a driver once. Raises BadInput if the node is set up otherwise."""
    from lthbench.execution.runner import Runner

    where = f"node {host()}"
    if __version__ != site.version:
        raise BadInput(f"{where}: has lthbench {__version__}, the driver has {site.version}.")
    store = open_store(site.store)
    store.join()
    try:
        registry.use_files(site.files)
    except BadInput as error:
        raise BadInput(f"{where}: {error}") from error
    os.environ.update(dict(site.settings))
    if site.device == "cpu":
        keep_to_one_thread()
    return Runner(store, site.places, site.device)


class Flagged:
    """Whether a flag is raised, asked at most every ``LOOK_EVERY`` seconds; where that fails, as it was."""

    def __init__(self, store: Store, name: str):
        self._store, self._name = store, name
        self._asked, self._raised = -math.inf, False

    def __call__(self) -> bool:
        """Whether it is."""
        now = time.monotonic()
        if not self._raised and now - self._asked >= LOOK_EVERY:
            self._asked = now
            with suppress(Unwritable):  # an object store that does not answer for once ends no training
                self._raised = self._store.flagged(self._name)
        return self._raised


def await_needs(
    store: Store, steps: Sequence[Step], failed: dict[str, str], stopped: Callable[[], bool]
) -> bool:
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
