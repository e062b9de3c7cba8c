"""Who is doing what: files that drivers and workers hold while they work, so that two do not do the same.

Nothing depends on them but time: an artefact appears once, whoever makes it, and two who hold the same lease
both make the same. A lease is a file in ``leases/`` that its holder touches every few seconds. It is stale,
and may be taken over, when its holder was a process of this machine that is no more; when it is old by the
clock that stamps the store's own files; or when who waits has seen it unchanged for as long by a clock that
cannot be set. So a clock that jumps costs a step done twice, or a wait, and never a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lthbench.compute.process import alive, host
from lthbench.store.local import Store

#: How often a holder touches its leases, and after how long an untouched one is stale, in seconds.
BEAT, STALE = 10.0, 60.0
#: No lease has more bytes.
_LIMIT = 4096


class Leases:
    """The leases of a store, as one process sees them. ``beat`` and ``stale`` are in seconds."""

    def __init__(self, store: Store, beat: float = BEAT, stale: float = STALE):
        self.folder = store.root / "leases"
        self.beat, self.stale = beat, stale
        self._store = store
        self._seen: dict[Path, tuple[Any, float]] = {}

    def path(self, name: str) -> Path:
        """Where the lease of this name is, or would be."""
        return self.folder / hashlib.sha256(name.encode()).hexdigest()

    def others(self) -> list[dict[str, Any]]:
        """What the holders of living leases wrote into them: host, pid, what."""
        found = []
        for path in sorted(self.folder.glob("*")) if self.folder.is_dir() else []:
            facts = _read(path)
            if facts is not None and not self._stale(path, facts):
                found.append(facts)
        return found

    def taken(self, name: str) -> bool:
        """Whether somebody else holds it. Costs one look at a file where nobody does."""
        path = self.path(name)
        facts = _read(path)
        return facts is not None and not self._mine(facts) and not self._stale(path, facts)

    def take(self, name: str) -> str | None:
        """Take a lease: what tells it from others, or None where somebody holds it. Raises Unwritable."""
        path, facts = self.path(name), self._facts(name)
        with self._store.writing():
            self.folder.mkdir(exist_ok=True)
            for _ in range(2):
                try:
                    with path.open("x", encoding="ascii") as file:
                        file.write(json.dumps(facts))
                    return str(facts["mark"])
                except FileExistsError:
                    if not self._clear(path):
                        return None
        return None

    def release(self, name: str, mark: str) -> None:
        """Give a lease back, if it is still this one."""
        path = self.path(name)
        facts = _read(path)
        if facts is not None and facts.get("mark") == mark:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

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
        while not ended.wait(self.beat) and self._touch(name, mark):
            pass

    def _touch(self, name: str, mark: str) -> bool:
        """Show that the holder lives. False where another has taken over, who believes that it does not."""
        path = self.path(name)
        facts = _read(path)
        if facts is None or facts.get("mark") != mark:
            return False
        with contextlib.suppress(OSError):
            os.utime(path)
        return True

    @staticmethod
    def _facts(name: str) -> dict[str, Any]:
        """What a holder writes into a lease."""
        pid, mark = os.getpid(), uuid.uuid4().hex
        return {"host": host(), "pid": pid, "born": _born(pid), "mark": mark, "what": name}

    @staticmethod
    def _mine(facts: dict[str, Any]) -> bool:
        return facts.get("host") == host() and facts.get("pid") == os.getpid()

    @staticmethod
    def _ended(facts: dict[str, Any]) -> bool:
        """Whether the holder was a process of this machine that is no more."""
        if facts.get("host") != host():
            return False
        pid, born = facts.get("pid"), facts.get("born")
        return not isinstance(pid, int) or not alive(pid) or bool(born and _born(pid) not in ("", born))

    def _clear(self, path: Path) -> bool:
        """Remove a lease if it is stale: whether the way is free."""
        facts = _read(path)
        if facts is None:
            return not path.exists()
        if not self._stale(path, facts):
            return False
        aside = self._store.scratch()
        try:
            path.rename(aside)
        except FileNotFoundError:
            return True
        moved = _read(aside)
        if moved is not None and moved.get("mark") != facts.get("mark"):
            with contextlib.suppress(OSError):  # somebody was faster, and holds it now
                aside.rename(path)
            return False
        aside.unlink(missing_ok=True)
        self._seen.pop(path, None)
        return True

    def _stale(self, path: Path, facts: dict[str, Any]) -> bool:
        if self._ended(facts):
            return True
        try:
            touched = path.stat().st_mtime_ns
        except OSError:
            return True
        now = time.monotonic()
        seen, since = self._seen.setdefault(path, ((facts.get("mark"), touched), now))
        if seen != (facts.get("mark"), touched):
            self._seen[path] = ((facts.get("mark"), touched), now)
        elif now - since > self.stale:
            return True
        try:
            return self._store.clock() - touched / 1e9 > self.stale
        except OSError:
            return False


def _read(path: Path) -> dict[str, Any] | None:
    """What a lease says; {} for one that cannot be read as such, None where there is none."""
    try:
        with path.open("rb") as file:
            facts = json.loads(file.read(_LIMIT))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _born(pid: int) -> str:
    """When a process started, as its kernel counts: numbers of processes are used again. "" if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
