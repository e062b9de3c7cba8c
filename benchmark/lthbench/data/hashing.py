"""Hashes of files, remembered by inode, size and times: what did not change is not read again.

Machines that share a home may see the same files on other devices, or copies of their own, so each remembers
what it has read in a file of its own, and looks into those of others.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lthbench import files
from lthbench.formatting import printable

#: Files that together have fewer bytes are read each time.
SMALL = 20_000_000
#: A file that was written less than so many nanoseconds ago may be written again without a new time.
FRESH = 2_000_000_000
#: So many files or bytes take a while to read.
MANY_FILES, MANY_BYTES = 20_000, 2_000_000_000
#: Of how many machines hashes of the same files are kept: containers have another name each time.
MACHINES = 16
#: How a file of remembered hashes begins.
_HEAD = "lthbench hashes 1"

Facts = tuple[int, int, int, int, int]


def hashes(paths: Sequence[Path], memory: Path | None) -> list[bytes]:
    """The SHA-256 of each file. ``memory`` is a folder in which they are remembered; None: nowhere.

    A file that has the inode, size and times that it had is not read. Where nothing can be remembered all are
    read. What takes a while is said on stderr. Raises OSError for a file that cannot be read.
    """
    began = time.time_ns()
    facts = [_facts(path) for path in paths]
    if sum(f[2] for f in facts) < SMALL:
        memory = None
    listed = hashlib.sha256(chr(10).join(map(str, paths)).encode()).hexdigest()[:24] if memory else ""
    known = _known(memory, listed, facts) if memory else {}
    unknown = [i for i, fact in enumerate(facts) if fact not in known]
    size = sum(facts[i][2] for i in unknown)
    if len(unknown) >= MANY_FILES or size >= MANY_BYTES:
        first = paths[unknown[0]].parent
        _say(f"reading {len(unknown):,} files ({size / 1e9:.1f} GB) for their hashes, the first in {first}")
    fresh = dict(zip(unknown, _read([paths[i] for i in unknown]), strict=True))
    found = [fresh[i] if i in fresh else known[facts[i]] for i in range(len(paths))]
    if fresh and memory:
        settled = ((f, h) for f, h in zip(facts, found, strict=True) if max(f[3:]) < began - FRESH)
        _remember(_own(memory, listed, facts), dict(settled))
        _forget_oldest(memory, listed)
    return found


def _known(memory: Path, listed: str, facts: Sequence[Facts]) -> dict[Facts, bytes]:
    """What this machine remembers of files, and what others do of those that it does not know."""
    own = _own(memory, listed, facts)
    known = _remembered(own)
    for other in _kept(memory, listed):
        wanted = set(facts) - known.keys()
        if wanted and other != own:
            known |= {fact: digest for fact, digest in _remembered(other).items() if fact in wanted}
    return known


def _own(memory: Path, listed: str, facts: Sequence[Facts]) -> Path:
    """Where this machine remembers the hashes of a list of files, as long as they lie on the same devices."""
    machine = f"{socket.gethostname()} {sorted({fact[0] for fact in facts})}"
    return memory / f"{listed}-{hashlib.sha256(machine.encode()).hexdigest()[:8]}.txt"


def _kept(memory: Path, listed: str) -> list[Path]:
    """Where machines remember the hashes of a list of files, the latest first."""
    try:
        return sorted(memory.glob(f"{listed}*.txt"), key=lambda path: -path.stat().st_mtime_ns)
    except OSError:
        return []


def _forget_oldest(memory: Path, listed: str) -> None:
    for path in _kept(memory, listed)[MACHINES:]:
        with contextlib.suppress(OSError):
            path.unlink()


def _say(what: str) -> None:
    with contextlib.suppress(OSError):
        print(f"{printable(what)} ...", file=sys.stderr, flush=True)


def _facts(path: Path) -> Facts:
    """What changes when a file does: device, inode, size, and the times of its content and of its inode."""
    found = path.stat()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def _read(paths: Sequence[Path]) -> list[bytes]:
    parts = [paths[start : start + 256] for start in range(0, len(paths), 256)]
    if sum(map(len, parts)) < 2:
        return [_hash(path) for path in paths]
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return [digest for part in pool.map(lambda part: list(map(_hash, part)), parts) for digest in part]


def _hash(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _remembered(kept: Path) -> dict[Facts, bytes]:
    """What a file of hashes says; nothing where it is not there, or was cut."""
    known: dict[Facts, bytes] = {}
    try:
        head, *lines = kept.read_text(encoding="ascii").splitlines()
        if head != _HEAD:
            return {}
        for line in lines:
            device, inode, size, written, changed, digest = line.split(" ")
            raw = bytes.fromhex(digest)
            if len(raw) != 32:
                return {}
            known[int(device), int(inode), int(size), int(written), int(changed)] = raw
    except (OSError, ValueError):
        return {}
    return known


def _remember(kept: Path, known: dict[Facts, bytes]) -> None:
    """Keep hashes for the next time, if there is a place for them."""
    lines = [_HEAD, *(f"{' '.join(map(str, fact))} {digest.hex()}" for fact, digest in known.items())]
    with contextlib.suppress(OSError):
        kept.parent.mkdir(parents=True, exist_ok=True)
        files.publish(kept, ("\n".join(lines) + "\n").encode())
