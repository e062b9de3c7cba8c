"""Files and folders that appear whole or not at all, after a power cut, too.

A rename that reached the disk before the content did leaves an empty file. So content is synced before the
rename that publishes it, and the folder, which holds the name, after it.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

#: How the names of files end that are being written.
PART = ".part"
#: How many files are synced at a time: a disk writes what is asked for together in one go.
_AT_ONCE = 8
#: What a file system says that syncs no folders.
_CANNOT = (errno.EINVAL, errno.ENOTSUP)


def publish(path: Path, content: bytes) -> None:
    """Write a file whole or not at all, in place of what is there. Where that fails, nothing is left."""
    publish_all({path: content})


def publish_all(contents: Mapping[Path, bytes | Callable[[IO[bytes]], None]]) -> None:
    """Write files, each whole or not at all: see ``publish``. Many cost little more time than one.

    A content that is large may be a function that writes it into a file.
    """
    written = {path: beside(path) for path in contents}
    try:
        for path, scratch in written.items():
            with _named(path):
                content = contents[path]
                if callable(content):
                    with scratch.open("wb") as file:
                        content(file)
                else:
                    scratch.write_bytes(content)
        with _named(next(iter(written), Path())):
            sync(written.values())
        for path, scratch in written.items():
            with _named(path):
                scratch.replace(path)
        sync({path.parent for path in written})
    finally:
        for scratch in written.values():
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)


def install(scratch: Path, path: Path) -> None:
    """Move a file, or a folder of files, that was written on the same disk into its place.

    A file replaces what is there. Raises OSError where a folder with something in it is in the way.
    """
    sync([scratch, *scratch.iterdir()] if scratch.is_dir() else [scratch])
    scratch.replace(path)
    sync([path.parent])


def create(path: Path, content: bytes) -> bool:
    """Write a file whole unless there is one: whether it was written."""
    scratch = beside(path)
    try:
        scratch.write_bytes(content)
        sync([scratch])
        try:
            os.link(scratch, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links: no more exact than it is
            if path.exists():
                return False
            scratch.replace(path)
        sync([path.parent])
        return True
    finally:
        scratch.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, that are there after a power cut. One that is there stays."""
    new = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    sync({folder.parent for folder in new})


def cache_folder() -> Path:
    """Where what can be fetched or made again is kept: ``lthbench`` in the user's cache folder.

    On Linux that is ``$XDG_CACHE_HOME`` or ``~/.cache``. Raises RuntimeError for a user without a home.
    """
    try:
        from platformdirs import user_cache_path
    except ModuleNotFoundError:  # a checkout on a machine where nothing can be installed: as on Linux
        place = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser(os.path.join("~", ".cache"))
        found = Path(place, "lthbench")
    else:
        found = user_cache_path("lthbench")
    if found.parts[0].startswith("~"):  # as it is left where there is no home
        raise RuntimeError("the home folder cannot be found; say where to keep things with XDG_CACHE_HOME")
    return found


def sync(paths: Iterable[Path]) -> None:
    """Wait until what was written into files, and the names in folders, are on the disk."""
    wanted = list(paths)
    if len(wanted) == 1:
        _sync(wanted[0])
    elif wanted:
        with ThreadPoolExecutor(min(len(wanted), _AT_ONCE)) as pool:
            list(pool.map(_sync, wanted))


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _CANNOT:
            raise
    finally:
        os.close(handle)


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Let an OSError tell the file that was to be written: a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.filename2 is None or error.filename is None:
            error.filename = str(path)
        raise


def beside(path: Path) -> Path:
    """Where a file is written before it gets its name: another place for each process and each time."""
    return path.with_name(f".{path.name[:100]}.{_host()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{PART}")


def clear_left(path: Path) -> None:
    """Delete what killed processes of this machine left of a file while they wrote it, an hour ago or more.

    Containers may share a machine's name and not its processes: what is younger may be being written.
    """
    if os.name == "nt":  # no process can be asked for there without harm
        return
    left = re.compile(
        rf"\.{re.escape(path.name[:100])}\.{_host()}-([0-9]{{1,9}})-[0-9a-f]{{8}}{re.escape(PART)}"
    )
    with contextlib.suppress(OSError), os.scandir(path.parent) as entries:
        for entry in entries:
            match = left.fullmatch(entry.name)
            if match and not _runs(int(match[1])) and entry.stat().st_mtime < time.time() - 3600:
                os.unlink(entry.path)


def _host() -> str:
    """This machine, in a few letters."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def _runs(pid: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
