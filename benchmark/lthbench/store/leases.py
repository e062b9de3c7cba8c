"""Who is doing what: leases that drivers and workers hold while they work, so that two do not do the same.

Nothing depends on them but time: an artefact appears once, whoever makes it, and two who hold the same lease
both make the same. A holder shows every few seconds that it lives. A lease is stale, and may be taken over,
when its holder was a process of this machine that is no more, or has not shown itself for long: a clock that
jumps costs a step done twice, or a wait, and never a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lthbench.compute.process import alive, host

#: How often a holder touches its leases, and after how long an untouched one is stale, in seconds.
BEAT, STALE = 10.0, 60.0
#: No lease has more bytes.
LIMIT = 4096


class Leases(ABC):
    """The leases of a store, as one process sees them. ``beat`` and ``stale`` are in seconds."""

    beat: float
    stale: float

    @abstractmethod
    def others(self) -> list[dict[str, Any]]:
        """What the holders of living leases wrote into them: host, pid, what."""

    @abstractmethod
    def taken(self, name: str) -> bool:
        """Whether somebody else holds it. Costs one look where nobody does."""

    @abstractmethod
    def take(self, name: str) -> str | None:
        """Take a lease: what tells it from others, or None where somebody holds it. Raises Unwritable."""

    @abstractmethod
    def release(self, name: str, mark: str) -> None:
        """Give a lease back, if it is still this one."""

    @abstractmethod
    def touch(self, name: str, mark: str) -> bool:
        """Show that the holder lives. False where another has taken over, who believes that it does not."""

    @contextlib.contextmanager
    def held(
        self, name: str, waited: Callable[[], bool] = lambda: False, look: float = 0.5
    ) -> Iterator[bool]:
        """Hold a lease for a while, once nobody else does. ``waited`` is asked meanwhile whether to give up.

        Yields whether it is held. A thread touches it as long as it is.
        """
        mark = self.take(name)
        while mark is None and not waited():
            time.sleep(look)
            mark = self.take(name)
        if mark is None:
            yield False
            return
        ended = threading.Event()
        beating = threading.Thread(target=self._beat, args=(name, mark, ended), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            ended.set()
            beating.join()
            self.release(name, mark)

    def _beat(self, name: str, mark: str, ended: threading.Event) -> None:
        while not ended.wait(self.beat) and self.touch(name, mark):
            pass


def file_name(lease: str) -> str:
    """What the file, or the object, of a lease is called."""
    return hashlib.sha256(lease.encode()).hexdigest()


def facts(lease: str) -> dict[str, Any]:
    """What a holder writes into a lease: this process, and a mark that no other has."""
    pid = os.getpid()
    return {"host": host(), "pid": pid, "born": _born(pid), "mark": uuid.uuid4().hex, "what": lease}


def parsed(content: bytes) -> dict[str, Any]:
    """What a lease says; {} for one that cannot be read as such."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def mine(written: dict[str, Any]) -> bool:
    """Whether this process holds a lease."""
    return written.get("host") == host() and written.get("pid") == os.getpid()


def ended(written: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is no more."""
    if written.get("host") != host():
        return False
    pid, born = written.get("pid"), written.get("born")
    return not isinstance(pid, int) or not alive(pid) or bool(born and _born(pid) not in ("", born))


def _born(pid: int) -> str:
    """When a process started, as its kernel counts: numbers of processes are used again. "" if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
