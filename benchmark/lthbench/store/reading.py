"""Looking at files, where a look that fails is no damage.

A disk that hiccups, a server that was started anew, a colleague's file that may not be read, too many open
files: the content may be whole. Such a look is taken again for a moment, and then the work stops with the
path and the reason. Only what is surely not there, or is no file, counts as missing.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from lthbench.errors import Unreadable

#: What says that there is no such file: it is missing, something in its way is no folder, or it is a folder.
GONE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
#: How long to wait before each further look, in seconds.
WAITS = (0.05, 0.3)
#: What is read at once of a file, in bytes.
_BLOCK = 1 << 16

_Found = TypeVar("_Found")


def patiently(path: Path | str, look: Callable[[], _Found]) -> _Found:
    """What a look at a path finds. Raises OSError where it is gone, Unreadable where it cannot be told."""
    for wait in (*WAITS, None):
        try:
            return look()
        except MemoryError as error:
            reason: str | None = "there is not enough memory"
            cause: Exception = error
        except OSError as error:
            if error.errno in GONE:
                raise
            reason, cause = error.strerror, error
        if wait is None:
            raise Unreadable(
                f"{path}: cannot be read ({reason or cause}). Nothing was changed; "
                "give the same command again when it can."
            ) from cause
        time.sleep(wait)
    raise AssertionError


def clear_away(folder: Path | str) -> None:
    """Delete a folder of half-written files, or as much of it as can be: a look that fails is taken again."""
    for wait in (*WAITS, *WAITS, None):
        shutil.rmtree(folder, ignore_errors=True)
        if wait is None or not os.path.lexists(folder):
            return
        time.sleep(wait)


def content(path: Path | str) -> bytes:
    """The bytes of a file."""
    return patiently(path, partial(_all_of, path))


def _all_of(path: Path | str) -> bytes:
    """A file's bytes. Most files are small, and of those there are many: no object is made for each."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        found = os.read(file, _BLOCK)
        if len(found) < _BLOCK and not os.read(file, 1):
            return found
        os.lseek(file, 0, os.SEEK_SET)
        with io.FileIO(file, closefd=False) as opened:
            return opened.readall()
    finally:
        os.close(file)


def digest(path: Path) -> str:
    """The SHA-256 of a file, which is not held in memory."""

    def look() -> str:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    return patiently(path, look)


def size(path: Path | str) -> int | None:
    """The bytes of a file; None where there is none, or something else."""
    try:
        facts = patiently(path, partial(os.stat, path))
    except OSError:
        return None
    return facts.st_size if stat.S_ISREG(facts.st_mode) else None


def is_folder(path: Path) -> bool:
    """Whether there is a folder."""
    try:
        return stat.S_ISDIR(patiently(path, path.stat).st_mode)
    except OSError:
        return False


def names(folder: Path | str) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where there is none."""

    def look() -> list[os.DirEntry[str]]:
        with os.scandir(folder) as entries:
            return list(entries)

    try:
        return patiently(folder, look)
    except OSError:
        return []
