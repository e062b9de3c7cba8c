"""Who is doing what: leases that drivers and workers hold while they work, so that two do not do the same.

Nothing depends on them but time: an artefact appears once, whoever makes it, and two who hold the same lease
both make the same. A holder shows every few seconds that it lives. A lease is stale, and may be taken over,
when its holder was a process of this machine that is no more, or has not shown itself for long: a clock that
jumps costs a step done twice, or a wait, and never a result. A process knows which leases it holds: one of
its own that it gave back in vain, as the disk failed, is stale at once.
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
from typing import Any

from lthbench.compute.process import alive, born, host, machine
from lthbench.errors import BadInput, Unwritable
from lthbench.store import reading

#: How often a holder touches its leases, and after how long an untouched one is stale, in seconds.
BEAT, STALE = 10.0, 60.0
#: The lease of who deletes: nobody else may work meanwhile, not even look at what there is to do.
UPKEEP = "upkeep"
#: How often in a row who waits for a lease looks again where the store fails.
PATIENT = 5
#: No lease has more bytes.
LIMIT = 4096
#: What this process holds, or is about to: its number, as a fork has another, and the mark of each lease.
_HELD: set[tuple[int, str]] = set()


class Leases(ABC):
    """The leases of a store, as one process sees them. ``beat`` and ``stale`` are in seconds."""

    beat: float
    stale: float

    @abstractmethod
    def others(self) -> list[dict[str, Any]]:
        """What is in the leases of those who may live: host, pid, what, and ``beats``, which changes.

        What is stale is cleared away.
        """

    @abstractmethod
    def taken(self, name: str) -> bool:
        """Whether somebody else holds it. Costs one look where nobody does."""

    def take(self, name: str) -> str | None:
        """Take a lease: what tells it from others, or None where somebody holds it. Raises Unwritable."""
        written = facts(name)
        mark = str(written["mark"])
        _HELD.add((os.getpid(), mark))  # before it can be seen
        taken = False
        try:
            taken = self._take(name, written)
        finally:
            if not taken:
                _HELD.discard((os.getpid(), mark))
        return mark if taken else None

    def release(self, name: str, mark: str) -> None:
        """Give a lease back, if it is still this one, and was taken by this process."""
        if (os.getpid(), mark) not in _HELD:
            return
        try:
            for wait in (*reading.WAITS, None):
                if self._release(name, mark) or wait is None:
                    return
                time.sleep(wait)
        finally:
            _HELD.discard((os.getpid(), mark))

    @abstractmethod
    def _take(self, name: str, written: dict[str, Any]) -> bool:
        """Write a lease unless somebody holds it: whether it was written. Raises Unwritable."""

    @abstractmethod
    def _release(self, name: str, mark: str) -> bool:
        """Remove a lease if it is still this one. False where it may still be there, as the disk failed."""

    @abstractmethod
    def touch(self, name: str, mark: str) -> bool:
        """Show that the holder lives. False where another has taken over, who believes that it does not."""

    @contextlib.contextmanager
    def held(
        self, name: str, waited: Callable[[], bool] = lambda: False, look: float = 0.5
    ) -> Iterator[bool]:
        """Hold a lease for a while, once nobody else does. ``waited`` is asked meanwhile whether to give up.

        Yields whether it is held. A thread touches it as long as it is. Raises Unwritable; who waits looks
        ``PATIENT`` times more before.
        """
        mark, patience = self.take(name), PATIENT
        while mark is None and not waited():
            time.sleep(look)
            try:
                mark, patience = self.take(name), PATIENT
            except Unwritable:
                patience -= 1
                if patience < 0:
                    raise
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

    @contextlib.contextmanager
    def working(self, what: str, told: Callable[[str], None] = lambda said: None) -> Iterator[None]:
        """Show for a while that somebody works with what is stored, once nobody deletes of it: see ``alone``.

        ``told`` is given what a person should know while that takes. A store that takes no leases, which is
        read-only or full, is only read.
        """
        name = f"{what} {uuid.uuid4().hex}"
        while True:
            with contextlib.ExitStack() as stack:
                with contextlib.suppress(Unwritable):
                    stack.enter_context(self.held(name))
                if not self._deleting():
                    yield
                    return
            told("waiting until lthbench store prune is done")
            while self._deleting():
                time.sleep(0.5)

    @contextlib.contextmanager
    def alone(self, where: str, told: Callable[[str], None] = lambda said: None) -> Iterator[None]:
        """Keep all others from working on a store for a while. Raises BadInput where somebody does.

        Each side shows itself first and then looks for the other, so that one of the two sees the other.
        ``where`` is the store as it is called; ``told`` is given what a person should know meanwhile.
        """
        with self.held(UPKEEP, waited=lambda: True) as held:
            working = self._working(told) if held else {"who": "another lthbench store prune"}
            if working is not None:
                who = working.get("who") or holder(working)
                raise BadInput(f"store {where}: is in use by {who}; wait until it ends.")
            yield

    def _deleting(self) -> bool:
        return any(written.get("what") == UPKEEP for written in self.others())

    def _working(self, told: Callable[[str], None], look: float = 0.5) -> dict[str, Any] | None:
        """What the lease of somebody says who surely works on the store.

        Who is on another machine is watched until they show that they live, or have not for long.
        """
        seen: dict[Any, Any] = {}
        while there := [written for written in self.others() if written.get("what") != UPKEEP]:
            for written in there:
                beats = written.get("beats")
                if here(written) or seen.setdefault(written.get("mark"), beats) != beats:
                    return written
            if len(seen) <= len(there):
                told(f"looking for up to {self.stale:.0f} s whether {holder(there[0])} still works")
            time.sleep(look)
        return None

    def _beat(self, name: str, mark: str, ended: threading.Event) -> None:
        while not ended.wait(self.beat) and self.touch(name, mark):
            pass


def file_name(lease: str) -> str:
    """What the file, or the object, of a lease is called."""
    return hashlib.sha256(lease.encode()).hexdigest()


def facts(lease: str) -> dict[str, Any]:
    """What a holder writes into a lease: this process, and a mark that no other has."""
    pid, mark = os.getpid(), uuid.uuid4().hex
    return {"host": host(), "machine": machine(), "pid": pid, "born": born(pid), "mark": mark, "what": lease}


def parsed(content: bytes) -> dict[str, Any]:
    """What a lease says; {} for one that cannot be read as such."""
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def here(written: dict[str, Any]) -> bool:
    """Whether the holder is, or was, a process whose number means the same here."""
    return written.get("machine") == machine()


def mine(written: dict[str, Any]) -> bool:
    """Whether this process holds a lease."""
    return here(written) and written.get("pid") == os.getpid()


def ended(written: dict[str, Any]) -> bool:
    """Whether nobody holds a lease any more: a process of this machine that is gone, or that knows better."""
    if not here(written):
        return False
    pid, since = written.get("pid"), written.get("born")
    if not isinstance(pid, int) or not alive(pid) or (since and born(pid) not in ("", since)):
        return True
    return pid == os.getpid() and (pid, str(written.get("mark"))) not in _HELD


def holder(written: dict[str, Any]) -> str:
    """The holder as a person reads it: "process 12 on node"."""
    return f"process {str(written.get('pid'))[:20]} on {str(written.get('host'))[:64]}"
