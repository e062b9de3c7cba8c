"""Leases in a folder that machines share: files that their holders touch.

A lease is stale when it is old by the clock that stamps the folder's own files, or when who waits has seen it
unchanged for as long by a clock that cannot be set.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from lthbench.errors import Unwritable
from lthbench.store import leases, reading
from lthbench.store.folder import Folder
from lthbench.store.leases import BEAT, LIMIT, STALE, Leases, ended, mine


@final
class FileLeases(Leases):
    """The files in ``leases/`` of a folder."""

    def __init__(self, store: Folder, beat: float = BEAT, stale: float = STALE):
        self.folder = store.root / "leases"
        self.beat, self.stale = beat, stale
        self._store = store
        self._seen: dict[Path, tuple[Any, float]] = {}

    def path(self, name: str) -> Path:
        """Where the lease of this name is, or would be."""
        return self.folder / leases.file_name(name)

    def others(self) -> list[dict[str, Any]]:
        """What is in the leases of those who may live; ``beats`` is when they were touched."""
        found = []
        for entry in reading.names(self.folder):
            path = Path(entry.path)
            facts = _read(path)
            with contextlib.suppress(OSError, Unwritable):  # a store that is only read
                if facts is None or self._clear(path):
                    continue
            if facts is not None:
                found.append({**facts, "beats": _touched(path)})
        return sorted(found, key=lambda facts: str(facts.get("what")))

    def taken(self, name: str) -> bool:
        """Whether somebody else holds it. Costs one look at a file where nobody does."""
        path = self.path(name)
        facts = _read(path)
        return facts is not None and not mine(facts) and not self._stale(path, facts)

    def _take(self, name: str, written: dict[str, Any]) -> bool:
        path = self.path(name)
        with self._store.writing():
            self.folder.mkdir(exist_ok=True)
            for _ in range(2):
                try:
                    with path.open("x", encoding="ascii") as file, _whole(path):
                        file.write(json.dumps(written))
                        file.flush()
                    return True
                except FileExistsError:
                    if not self._clear(path):
                        return False
        return False

    def _release(self, name: str, mark: str) -> bool:
        path = self.path(name)
        facts = _read(path)
        if facts is not None and facts.get("mark") == mark:
            try:
                path.unlink(missing_ok=True)
            except OSError:
                return False
        return facts != {}

    def touch(self, name: str, mark: str) -> bool:
        """Show that the holder lives. False where another has taken over, who believes that it does not.

        A look that fails says nothing of that: the next beat looks again.
        """
        path = self.path(name)
        facts = _read(path)
        if facts == {}:
            return True
        if facts is None or facts.get("mark") != mark:
            return False
        with contextlib.suppress(OSError):
            os.utime(path)
        return True

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
        if ended(facts):
            return True
        touched = _touched(path)
        if touched is None:
            return not path.exists()
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


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Remove a lease that could not be written: one that says nothing would seem somebody's."""
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise


def _touched(path: Path) -> int | None:
    """When a lease was touched, in nanoseconds; None where that cannot be told."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _read(path: Path) -> dict[str, Any] | None:
    """What a lease says; {} for one that cannot be read as such, None where there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(LIMIT)
    except FileNotFoundError:
        return None
    except OSError:
        return {}
    return leases.parsed(content)
