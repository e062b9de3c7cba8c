"""Progress on stderr: a live bar on a terminal, a plain line for each finished job in a pipe."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import MappingProxyType
from typing import Any

from lthbench.engines.failures import told
from lthbench.formatting import duration
from lthbench.planning.estimate import seconds
from lthbench.planning.expression import label
from lthbench.planning.jobs import Job
from lthbench.spec import Measure, Step

#: Seconds of work that the plan counts for, against what was measured.
_TRUST = 60.0


class Listener:
    """What is told of a run's course. This one says nothing."""

    def done(self, job: Job, failed: dict[str, str]) -> None:
        """A job is finished; some of its steps may have failed."""

    def stepped(self, step: Step, share: float) -> None:
        """A step is done, or a share of it; its job may go on."""

    def stopping(self) -> None:
        """The user asked to stop."""


class Course:
    """Counts work done against work planned, and from both the time left.

    ``begun`` are the shares of steps that an earlier run has done, by key: they are no part of the work.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        labels: dict[str, str],
        rates: dict[str, float],
        device: str,
        workers: int,
        begun: Mapping[str, float] = MappingProxyType({}),
    ):
        self.labels, self._rates, self._device, self._workers = labels, rates, device, max(workers, 1)
        self.total = sum((1.0 - begun.get(s.key, 0.0)) * seconds(s, rates, device) for s in steps)
        self.spent = 0.0
        self._counted: dict[str, float] = dict(begun)
        self._last: tuple[Step, float] | None = None
        self._reasons: set[str] = set()  # why steps failed that are no measures
        self.started = self.moved = time.monotonic()

    def step(self, step: Step, share: float = 1.0) -> None:
        """A step is done, or a share of it. It counts once."""
        self.moved, self._last = time.monotonic(), (step, share)
        before = self._counted.get(step.key, 0.0)
        if share > before:
            self._counted[step.key] = share
            self.spent += (share - before) * seconds(step, self._rates, self._device)

    def advance(self, job: Job) -> None:
        """A job is done."""
        for step in job.steps:
            self.step(step)

    def share(self) -> float:
        """How much of the work is done, in per cent."""
        return 100 * self.spent / max(self.total, 1e-9)

    def doing(self, step: Step, share: float = 1.0) -> str:
        """What a step of a job did: "score imp 79.0 % seed 0 (fog)"."""
        return label(step, self.labels, share)

    def left(self) -> str:
        """The time left, by the pace up to the last step, or epoch, that ended.

        What was planned counts as a little work that has been done as planned, so that the first steps do not
        decide alone.
        """
        trust = min(0.05 * self.total, _TRUST)
        pace = (self.moved - self.started + trust / self._workers) / max(self.spent + trust, 1e-9)
        return f"{duration(max(self.total - self.spent, 0.0) * pace)} left"

    def busy(self) -> str:
        """What is said while no step ends: what ended last, and how long ago."""
        since = duration(time.monotonic() - self.moved)
        return f"at work for {since}" if self._last is None else f"{self.doing(*self._last)}, {since} ago"

    def failures(self, job: Job, failed: Mapping[str, str]) -> list[str]:
        """What is said of a job's steps that failed."""
        measured = {s.key: s.metric for s in job.steps if isinstance(s, Measure)}
        lines = told(failed, measured, self._reasons)
        self._reasons |= {reason for key, reason in failed.items() if key not in measured}
        return lines

    def name(self, job: Job) -> str:
        """What the job did: "train imp 79.0 % seed 0"."""
        if job.name.startswith("score "):
            return f"score {self.labels.get(job.name.removeprefix('score '), '')}"
        return self.doing(job.training or job.steps[-1])


class Lines(Listener):
    """One line with a timestamp for each job of some length, and at least every minute; no cursor codes."""

    def __init__(self, course: Course, patience: float = 60.0):
        self._course, self._patience, self._said = course, patience, time.monotonic()

    def done(self, job: Job, failed: dict[str, str]) -> None:
        """Print the line, and what failed."""
        self._course.advance(job)
        if failed or job.training or job.scored:
            self._line(self._course.name(job))
        for line in self._course.failures(job, failed):
            _say(f"         failed: {line}")

    def stepped(self, step: Step, share: float) -> None:
        """Say where a long job is."""
        self._course.step(step, share)
        if time.monotonic() - self._said >= self._patience:
            self._line(self._course.doing(step, share))

    def tick(self) -> None:
        """Say that something is going on, where no step has ended for long."""
        if time.monotonic() - self._said >= self._patience:
            self._line(self._course.busy())

    def _line(self, what: str) -> None:
        self._said = time.monotonic()
        stamp = time.strftime("%H:%M:%S")
        said = f"{stamp} {self._course.share():3.0f} %  {what} · {self._course.left()}"
        _say(said)

    def stopping(self) -> None:
        """Say that running steps are being finished."""
        _say(_STOPPING)


def _say(line: str) -> None:
    """Print a line on stderr; one that takes nothing ends no work."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)


class Bar(Listener):
    """A live bar with what was done last and the time left."""

    def __init__(self, course: Course, bar: Any):
        self._course, self._bar = course, bar
        self._task = bar.add_task("start", total=max(course.total, 1e-9), left="")

    def done(self, job: Job, failed: dict[str, str]) -> None:
        """Advance, and print what failed."""
        self._course.advance(job)
        self._show(self._course.name(job))
        for line in self._course.failures(job, failed):
            self._bar.console.print(f"failed: {self._course.name(job)}: {line}", markup=False)

    def stepped(self, step: Step, share: float) -> None:
        """Advance."""
        self._course.step(step, share)
        self._show(self._course.doing(step, share))

    def tick(self) -> None:
        """Show that something is going on, where no step has ended for long."""
        if time.monotonic() - self._course.moved >= 10.0:
            self._show(self._course.busy())

    def _show(self, what: str) -> None:
        self._bar.update(self._task, completed=self._course.spent, description=what, left=self._course.left())

    def stopping(self) -> None:
        """Say that running steps are being finished."""
        self._bar.console.print(_STOPPING, markup=False)


_STOPPING = (
    "finishing the steps in progress, trainings to the end of their epoch (Ctrl-C again drops them) ..."
)


@contextmanager
def listen(course: Course, style: str) -> Iterator[Listener]:
    """Show the course: ``style`` is auto, plain or none."""
    if style == "none":
        yield Listener()
    elif style == "plain" or not sys.stderr.isatty():
        lines = Lines(course)
        with _ticking(lines.tick):
            yield lines
    else:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        console = Console(stderr=True)
        columns = (
            BarColumn(30),
            TaskProgressColumn(),
            TextColumn("{task.fields[left]} ·"),
            TextColumn("{task.description}"),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            shown = Bar(course, bar)
            with _ticking(shown.tick):
                yield shown


@contextmanager
def _ticking(tick: Callable[[], None], every: float = 5.0) -> Iterator[None]:
    """Call something now and then, in a thread of its own: a step may take minutes."""
    end = threading.Event()

    def go_on() -> None:
        while not end.wait(every):
            tick()

    thread = threading.Thread(target=go_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
