"""What a worker process of the local engine does: does steps that it is given, and ends with its parent."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench.engines.queue import ending_with_its_device, held, steps_of
from lthbench.engines.threads import keep_to_one_thread
from lthbench.errors import LthbenchError
from lthbench.kinds.origins import OwnFile
from lthbench.planning.jobs import Job
from lthbench.store import open_store

if TYPE_CHECKING:
    from lthbench.execution.runner import Runner

_runner: Runner | None = None  # the worker's own, and what tells it to stop; set by begin
_flag: Any = None
_unfit: LthbenchError | None = None  # why it can do no work


def begin(
    address: str,
    places: tuple[Path, ...],
    device: str,
    together: int,
    files: tuple[OwnFile, ...],
    flag: Any,
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
        from lthbench.execution.runner import Runner

        if device == "cpu":
            keep_to_one_thread()
        registry.use_files(files)
        _runner = Runner(open_store(address), places, device, together)
    except LthbenchError as error:  # raised here, it would be a worker that died of nothing known
        _unfit = error
    except Exception as error:  # as where memory or address space is short of what torch takes
        said = " ".join(str(error).split())[:300]
        _unfit = LthbenchError(f"a worker process cannot begin: {type(error).__name__}: {said}")


@ending_with_its_device()
def work(together: Sequence[Job], failed: dict[str, str]) -> dict[str, str]:
    """Do the steps of jobs. Returns why some failed, by key; ``failed`` are those among what they need."""
    if _unfit is not None:
        raise _unfit
    assert _runner is not None
    with held(_runner.store.leases(), [job.name for job in together], _stopped):
        return _runner.do(steps_of(together), failed, stopped=_stopped)


def _stopped() -> bool:
    return _flag is not None and bool(_flag.value)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
