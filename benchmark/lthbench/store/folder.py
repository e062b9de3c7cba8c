"""A folder that processes of several machines write in at once: scratch names, its clock, and its faults."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lthbench.compute.process import alive, machine
from lthbench.errors import Unwritable

#: Why a file system takes nothing more, whoever asks.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@dataclass(frozen=True)
class Folder:
    """The folder at ``root``; what is being written in it is in ``tmp``."""

    root: Path

    def scratch(self) -> Path:
        """A new path in ``tmp`` that names its writer; nothing is there yet."""
        return self.root / "tmp" / f"{machine()}-{os.getpid()}-{uuid.uuid4().hex}"

    def clock(self) -> float:
        """The time on the clock that stamps the folder's files: a server's where the disk is shared."""
        probe = self.scratch()
        try:
            probe.write_bytes(b".")
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Tell a disk that takes nothing more, or a folder that is gone, from other faults: Unwritable."""
        try:
            yield
        except OSError as error:
            if isinstance(error, FileNotFoundError) and not self.root.is_dir():
                raise Unwritable(
                    f"store {self.root}: the folder was deleted, or moved, while it was worked in. "
                    "Give the same command again to begin anew."
                ) from error
            if error.errno not in FULL and not isinstance(error, PermissionError):
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            said = "the disk is full" if full else "cannot be written"
            raise Unwritable(
                f"store {self.root}: {said} ({error.strerror}). "
                "What was finished is stored; "
                + ("make room (lthbench store prune)" if full else "make it writable")
                + " and give the same command again."
            ) from error

    def sweep(self, now: float, older_than: float = 86400.0) -> None:
        """Remove what killed processes left half-written: of dead processes here, or a day old."""
        for path in (self.root / "tmp").iterdir():
            writer, pid, *_ = (*path.name.rsplit("-", 2), "")  # as ``scratch`` names it
            try:
                age = now - path.stat().st_mtime
                own = writer == machine() and pid.isdigit()
                lives = own and alive(int(pid))  # whatever a clock that was set says
                if (age > older_than and not lives) or (age > 60.0 and own and not lives):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError:
                continue
