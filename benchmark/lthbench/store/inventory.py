"""What a store holds, whether it is whole, and what of it nobody needs any more.

The folders are the truth. ``index.tsv`` only spares opening each: what it lacks, or has in a line that was
cut short, is looked at and added to it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lthbench.errors import Unreadable
from lthbench.store import reading
from lthbench.store.base import Store
from lthbench.store.layout import KINDS, history_of, kind_of, places


@dataclass(frozen=True)
class Stock:
    """What a store holds: ``artefacts`` are kind and bytes by key; the others are bytes, some by path."""

    artefacts: dict[str, tuple[str, int]]
    half: dict[Path, int] = field(default_factory=dict)
    damaged: dict[Path, int] = field(default_factory=dict)
    sets: int = 0
    set_files: int = 0
    saved: int = 0

    def by_kind(self) -> dict[str, tuple[int, int]]:
        """How many artefacts of each kind there are, and their bytes, in the order of ``spec.STEPS``."""
        found = {kind: [0, 0] for kind in KINDS}
        for kind, size in self.artefacts.values():
            count = found.setdefault(kind, [0, 0])
            count[0] += 1
            count[1] += size
        return {kind: (n, size) for kind, (n, size) in found.items() if n}

    def size(self) -> int:
        """All bytes."""
        parts = (self.half.values(), self.damaged.values(), (size for _, size in self.artefacts.values()))
        return self.sets + self.saved + sum(sum(part) for part in parts)


def stock(store: Store) -> Stock:
    """Count what a store holds. Adds what its index lacks to it, where the store can be written."""
    known = index(store)
    artefacts: dict[str, tuple[str, int]] = {}
    half = {path: _size(path) for path in _entries(store.root / "tmp")}
    lacking = []
    for key, path in places(store.root):
        if key in known:
            artefacts[key] = known[key]
            continue
        if reading.size(path / "manifest.json") is not None:
            artefacts[key] = (kind_of(path, key), _size(path))
            lacking.append((key, *artefacts[key]))
        else:
            half[path] = _size(path)
    if lacking:
        with contextlib.suppress(OSError):
            store.note(lacking)
    damaged = {path: _size(path) for path in _entries(store.root / "damaged")}
    sets = list(_entries(store.sets))
    saved = sum(map(_size, _entries(store.root / "savepoints")))
    return Stock(artefacts, half, damaged, sum(map(_size, sets)), sum(s.suffix == ".u8" for s in sets), saved)


def set_faults(store: Store) -> Iterator[tuple[Path, str]]:
    """The kept sets of corrupted images that are not what was written."""
    for path in _entries(store.sets):
        if path.suffix == ".u8":
            try:
                if reading.digest(path) != reading.content(path.with_suffix(".sha256")).decode("ascii"):
                    yield path, "does not match its hash"
            except (OSError, ValueError):
                yield path, "has no hash"
            except Unreadable as error:
                yield path, str(error)


def needed(store: Store, wanted: Collection[str]) -> set[str]:
    """The keys wanted, with those of all that is behind them as far as the store knows it."""
    found = set(wanted)
    for key in wanted:
        found |= history_of(store.place(key)).keys()
    return found


def reindex(store: Store, artefacts: dict[str, tuple[str, int]]) -> None:
    """Write the index anew, without what is gone. What another process adds meanwhile is found again."""
    scratch = store.scratch()
    with store.writing():
        lines = (f"{key}\t{kind}\t{size}\n" for key, (kind, size) in artefacts.items())
        scratch.write_text("".join(lines), encoding="ascii")
        scratch.replace(store.root / "index.tsv")


_LINE = re.compile(rf"^([0-9a-f]{{64}})\t({'|'.join(KINDS)})\t([0-9]{{1,18}})$", re.MULTILINE | re.ASCII)


def index(store: Store) -> dict[str, tuple[str, int]]:
    """Kind and bytes of artefacts by key, as the index has them: those that came last stand last."""
    try:
        text = (store.root / "index.tsv").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    whole = text[: text.rfind("\n") + 1]
    return {key: (kind, int(size)) for key, kind, size in _LINE.findall(whole)}


def _entries(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in reading.names(folder))


def _size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; what vanishes meanwhile counts nothing."""
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(_size(Path(entry.path)) for entry in reading.names(path))
    except OSError:
        return 0
