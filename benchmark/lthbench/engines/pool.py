"""A pool of worker processes that can be told to stop, and begun anew where one of them has died."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import resource_tracker
from typing import Any, ParamSpec, TypeVar

from lthbench.engines.workers import Workers
from lthbench.errors import BadInput

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Pool:
    """``count`` worker processes, each set up by ``begin(*given, flag)``.

    The value of ``flag`` is 1 once workers are told to stop. Raises BadInput where none can be started.
    """

    def __init__(self, count: int, begin: Callable[..., None], *given: Any) -> None:
        self._count, self._begin, self._given = count, begin, given
        self._workers = Workers()
        try:
            # Shared memory without a lock: a worker killed while it looks must not lock out the others.
            self._flag = self._workers.RawValue("b", 0)
            self._executor = self._made()
        except (OSError, ImportError) as error:  # containers without shared memory
            raise BadInput(
                f"worker processes cannot be started here: {error}. They need shared memory: mount /dev/shm "
                "(with docker run --shm-size=1g) and a folder for temporary files (TMPDIR), or work in one "
                "process: --workers 0."
            ) from error

    def _made(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._count,
            mp_context=self._workers,
            initializer=self._begin,
            initargs=(*self._given, self._flag),
        )

    def submit(
        self, work: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> Future[_Result]:
        """Give work to a worker; it may start one: see ``deaf_to_interrupts``.

        Raises BrokenProcessPool where one has died: see ``begin_anew``.
        """
        return self._executor.submit(work, *given, **named)

    def tell_to_stop(self) -> None:
        """Tell the workers to stop where they can; they look between epochs and steps."""
        self._flag.value = 1

    def begin_anew(self) -> None:
        """Other processes in place of all of these."""
        self._workers.kill()
        self._executor.shutdown(wait=True)
        self._executor = self._made()

    def kill(self) -> None:
        """End all processes where they are."""
        self._workers.kill()

    def close(self) -> None:
        """Wait until the processes have ended what they are at; they begin nothing more."""
        self._executor.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def deaf_to_interrupts() -> Iterator[None]:
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
