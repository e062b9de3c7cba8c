"""Sets of corrupted images on disk: written as they are made and used, with their hashes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np

from lthbench.store.disk import free_bytes, sets_limit
from lthbench.store.folder import Folder

#: A set is kept if the disk has so many times its size to spare.
SPARE = 4


def fits(kept: Path, size: int) -> bool:
    """Whether the limit, and the disk, have room for a set of so many bytes."""
    taken = sum(f.stat().st_size for f in kept.glob("*.u8")) if kept.is_dir() else 0
    return taken + size <= sets_limit() and free_bytes(kept) >= SPARE * size


def whole(path: Path, size: int) -> bool:
    """Whether the set is there as it was written."""
    try:
        known = path.with_suffix(".sha256").read_text(encoding="ascii")
        facts = path.stat()
        return facts.st_size == size and _digest(path, facts.st_mtime_ns, facts.st_ino) == known
    except (OSError, ValueError):
        return False


@lru_cache(maxsize=1024)
def _digest(path: Path, changed: int, inode: int) -> str:
    """The hash of a file as it was when it was last changed; read once in a process."""
    del changed, inode
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def written(path: Path, made: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The images of a set as they are made. They are written on the way, and after the last one their hash:
    what was cut short has none. A disk that is full or read-only stops nothing; two processes may write at
    once: of those the first one's stays, which others may be reading.
    """
    scratch = Folder(path.parent.parent).scratch()
    digest, kept = hashlib.sha256(), True
    try:
        for batch in made:
            kept = kept and _appended(scratch, batch.tobytes(), digest)
            yield batch
        with contextlib.suppress(OSError):
            if kept and not whole(path, scratch.stat().st_size):
                path.parent.mkdir(parents=True, exist_ok=True)
                scratch.replace(path)
                scratch.write_text(digest.hexdigest(), encoding="ascii")
                scratch.replace(path.with_suffix(".sha256"))
    finally:
        with contextlib.suppress(OSError):
            scratch.unlink(missing_ok=True)


def _appended(path: Path, content: bytes, digest: hashlib._Hash) -> bool:
    """Whether the disk took it."""
    digest.update(content)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(content)
    except OSError:
        return False
    return True


def read(path: Path, shape: tuple[int, ...], batch: int) -> Iterator[np.ndarray]:
    """The images of a whole set, ``batch`` at a time."""
    pixels = np.memmap(path, np.uint8, "r", shape=shape)
    return (np.array(pixels[start : start + batch]) for start in range(0, shape[0], batch))
