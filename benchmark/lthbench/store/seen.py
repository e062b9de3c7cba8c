"""What was found whole before, so that a run with nothing to do need not read every byte again.

An artefact is known by a stamp: a hash of what the disk tells of its files (names, bytes, times of the last
changes of content and of facts, inodes). Whatever writes to a file changes its stamp; a disk that lets bits
rot does not. So a stamp spares a look at what was looked at before, and never the hash of what is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from functools import cached_property
from pathlib import Path
from typing import final

from lthbench._version import __version__

#: A file that changed so many seconds ago, or later, might change once more and bear the same time.
YOUNG = 2.0
#: A list that is longer, in bytes, holds mostly what is gone, and is begun anew.
LIMIT = 64_000_000


@final
class Seen:
    """The stamps that are listed in ``seen.txt`` of a store's folder, which may be deleted."""

    def __init__(self, root: Path):
        self._path = root / "seen.txt"
        self._new: list[str] = []

    @cached_property
    def _listed(self) -> set[str]:
        try:
            return set(self._path.read_text(encoding="ascii", errors="replace").split())
        except OSError:
            return set()

    def stamp(self, folder: str, as_what: str) -> str:
        """The stamp of the files in a folder, looked at as something; "" where the disk cannot be trusted.

        Take it before the files are read: what changes meanwhile has another then.
        """
        found: list[tuple[str, int, int, int, int]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    f = entry.stat()
                    found.append((entry.name, f.st_size, f.st_mtime_ns, f.st_ctime_ns, f.st_ino))
        except OSError:
            return ""
        old_enough = (time.time() - YOUNG) * 1e9
        if any(changed > old_enough or stated > old_enough for _, _, changed, stated, _ in found):
            return ""
        text = repr((__version__, as_what, folder[-64:], *sorted(found)))
        return hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=16).hexdigest()

    def __contains__(self, stamp: str) -> bool:
        return stamp in self._listed

    def add(self, stamp: str) -> None:
        """List a stamp; see ``save``."""
        if stamp and stamp not in self._listed:
            self._listed.add(stamp)
            self._new.append(stamp)

    def save(self) -> None:
        """Write what was added. A store that cannot be written is looked at once more next time."""
        if not self._new:
            return
        with contextlib.suppress(OSError):
            large = self._path.exists() and self._path.stat().st_size > LIMIT
            with self._path.open("w" if large else "a", encoding="ascii") as file:
                file.write("".join(f"{stamp}\n" for stamp in self._new))
        self._new.clear()

    def forget(self) -> None:
        """Look at everything once more."""
        with contextlib.suppress(OSError):
            self._path.unlink()
