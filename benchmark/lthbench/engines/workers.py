"""Worker processes that know whose they are: a program that calls lthbench may have processes of its own."""

from __future__ import annotations

import contextlib
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any


class Workers(SpawnContext):
    """Starts processes as ``multiprocessing`` does by ``spawn``, and remembers them."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        """A process that is remembered; a class in the base, which is only ever called."""
        made = SpawnProcess(*arguments, **options)
        self.started.append(made)
        return made

    def kill(self) -> None:
        """End those that live, which nothing else ends but the end of this process."""
        for process in self.started:
            with contextlib.suppress(ValueError, AttributeError):  # closed, or not started
                process.kill()
