"""Doing steps in order: what is stored is passed over, what is alike is done together, failures are told."""

from __future__ import annotations

import errno
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from lthbench.compute.room import lacking, no_room
from lthbench.errors import Damaged, DeviceLost, LthbenchError, Unreadable, Unwritable, because

# Each verb's file registers itself.
from lthbench.execution import explain, given, init, measure, predict, provenance, prune, rewind, train  # noqa: F401
from lthbench.execution.verbs import Course, alike, do, in_full, runs_plugins
from lthbench.execution.workspace import Workspace
from lthbench.formatting import reason_line
from lthbench.global_state import full_precision, kept, standard
from lthbench.planning.disk_use import footprint
from lthbench.planning.estimate import rated_by
from lthbench.planning.flops import flops
from lthbench.spec import Step, network_of
from lthbench.store import Store
from lthbench.store.disk import free_bytes
from lthbench.training.optimization import Paused
from lthbench.training.savepoints import SAVE_EVERY


class Runner:
    """Does steps on one device, reading and publishing through a store.

    Up to ``stack`` trainings that are alike and ready, among steps given at once, are done together; so are
    networks' passes over the same images. Trainings are kept after an epoch, each ``save_every`` seconds.
    """

    def __init__(
        self,
        store: Store,
        places: tuple[Path, ...],
        device: str = "cpu",
        stack: int = 1,
        save_every: float = SAVE_EVERY,
    ):
        self.space = Workspace(store, places, device)
        self.store, self.device = store, self.space.device
        self.stack = stack
        self.save_every = save_every

    def do(
        self,
        steps: Sequence[Step],
        known: Mapping[str, str] | None = None,
        stopped: Callable[[], bool] = lambda: False,
        stepped: Callable[[Step, float], None] = lambda step, share: None,
    ) -> dict[str, str]:
        """Do steps in order, needs before needers. Returns why some failed, by key; the others are stored.

        ``known`` are failures of steps done before, by key. A ``Rewind`` whose training is among the steps is
        taken from it on the way. ``stopped`` is asked before each step, and after each epoch of a training,
        whether to go on; a training is then kept as it is. ``stepped`` is told of each step that is done.
        Raises, before it starts, Unwritable where the disk has no room for them, and BadInput where code or
        data is not what stands in their keys; and DeviceLost where the device fails.
        """
        with standard():
            try:
                return self._do(steps, dict(known or {}), stopped, stepped)
            finally:
                self.space.forget()

    def _do(
        self,
        steps: Sequence[Step],
        failed: dict[str, str],
        stopped: Callable[[], bool],
        stepped: Callable[[Step, float], None],
    ) -> dict[str, str]:
        provenance.check((s for s in steps if not self.store.has(s)), self.space.places)
        self._check_room(steps)
        course = Course(steps, stopped, self.save_every)
        for step in steps:
            if stopped():
                break
            if any(n.key in failed for n in step.needs()):
                failed[step.key] = next(failed[n.key] for n in step.needs() if n.key in failed)
            elif step.key not in failed and not self.store.has(step):
                try:
                    failed |= self._attempt(step, course, failed)
                except Paused:
                    break
            stepped(step, 1.0)
        return {step.key: failed[step.key] for step in steps if step.key in failed}

    def _attempt(self, step: Step, course: Course, failed: Mapping[str, str]) -> dict[str, str]:
        """Do a step, and those like it that are done with it. Returns why some failed, by key."""
        together = self._together(step, course.among, failed)
        found: dict[str, str] = {}
        reason: str | None = None
        started, began = time.time(), time.monotonic()
        if self.device.type == "cuda":
            # A process that has done nothing there knows of no device by number.
            torch.cuda.init()  # type: ignore[no-untyped-call]
            torch.cuda.reset_peak_memory_stats(self.device)
        try:
            with full_precision() if in_full(step) else nullcontext(), kept(_code_of(step), foreign=False):
                found = do(step, together, self.space, course)
        except Paused:
            self._log_all([s for s in together if self.store.has(s)], started, began, found, course)
            raise
        except (Damaged, Unreadable, Unwritable):
            raise
        except torch.AcceleratorError as error:
            if not no_room(error):  # each call that follows would fail, too
                what = f"{type(step).__name__.lower()} {step.key[:12]}"
                raise DeviceLost(f"{self.device} failed at {what}{because(error)}") from error
            reason = lacking(error)
        except LthbenchError as error:
            reason = str(error)
        except Exception as error:
            if no_room(error):
                reason = lacking(error)
            elif runs_plugins(step):
                reason = f"{type(error).__name__}: {error}"
            else:
                raise
        if reason is not None:
            found |= {s.key: reason for s in together if not self.store.has(s)}
        # Whatever a library or a plug-in says of it: tables of scores are read again.
        found = {key: reason_line(why) or "no reason was given" for key, why in found.items()}
        self._log_all(together, started, began, found, course)
        return found

    def _log_all(
        self,
        together: Sequence[Step],
        started: float,
        began: float,
        failed: Mapping[str, str],
        course: Course,
    ) -> None:
        """A line in the event log for each of the steps done together."""
        seconds = (time.monotonic() - began) / max(len(together), 1)
        for one in together:
            took = course.took.pop(one.key, seconds)
            self._log(one, started, took, failed.get(one.key, ""), len(together))

    def _check_room(self, steps: Sequence[Step]) -> None:
        """Raise Unwritable where the disk has no room for what of the steps is not stored."""
        free = free_bytes(self.store.root)
        if free < footprint(steps) and free < footprint(s for s in steps if not self.store.has(s)):
            with self.store.writing():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _together(self, step: Step, among: Sequence[Step], failed: Mapping[str, str]) -> list[Step]:
        """The step, and those among the steps that are like it and could be done now, up to the stack."""
        ready = (
            other
            for other in (among if self.stack > 1 else ())
            if other.key != step.key
            and alike(step, other)
            and other.key not in failed
            and not self.store.has(other)
            and all(self.store.has(n) for n in other.needs())
        )
        return [step, *itertools.islice(ready, self.stack - 1)]

    def _log(self, step: Step, started: float, seconds: float, failure: str, together: int = 1) -> None:
        """A line in the event log; of steps done ``together``, each has its share of time and memory."""
        event: dict[str, Any] = {
            "key": step.key,
            "step": type(step).__name__,
            "start": started,
            "seconds": seconds,
            "flops": flops(step),
            "device": self.device.type,
            "pid": os.getpid(),
            "status": "failed" if failure else "ok",
            "reason": failure,
            **rated_by(step),
        }
        if together > 1:
            event["stack"] = together
        if self.device.type == "cuda":
            event["memory"] = torch.cuda.max_memory_reserved(self.device) // together
            event["device_memory"] = torch.cuda.get_device_properties(self.device).total_memory
            event["network"] = network_of(step).architecture
        self.store.log(event)


def _code_of(step: Step) -> str:
    """Whose code a step runs, beside what is called by name: an architecture's in each forward pass."""
    return f"architecture {network_of(step).architecture} in {type(step).__name__.lower()}"
