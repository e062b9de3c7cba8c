"""What a store holds, whether it is whole, and what of it nobody needs any more.

The folders are the truth. ``index.tsv`` only spares opening each: what it lacks, or has in a line that was
cut short, is looked at and added to it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lthbench import spec
from lthbench.store.local import Store, manifest_text

KINDS = tuple(step.__name__ for step in spec.STEPS)
#: What is called by a key is an artefact's folder.
KEY = re.compile(r"[0-9a-f]{64}")
#: The name of a file of an artefact.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
#: No manifest, and no description of a step with its history, has more bytes.
MANIFEST_LIMIT, DESCRIPTION_LIMIT = 1_000_000, 50_000_000


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
    known = _index(store)
    artefacts: dict[str, tuple[str, int]] = {}
    half = {path: _size(path) for path in _entries(store.root / "tmp")}
    lacking = []
    for entry in _places(store):
        key = entry.name
        if key in known:
            artefacts[key] = known[key]
            continue
        path = Path(entry.path)
        if (path / "manifest.json").is_file():
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


def keys(store: Store) -> Iterator[tuple[str, Path]]:
    """What stands in the places of artefacts, whole or not."""
    return ((entry.name, Path(entry.path)) for entry in _places(store))


def _places(store: Store) -> Iterator[os.DirEntry[str]]:
    for part in _scan(store.root / "steps"):
        if len(part.name) == 2:
            for entry in _scan(part.path):
                if entry.name[:2] == part.name and KEY.fullmatch(entry.name):
                    yield entry


def kind_of(folder: Path, key: str) -> str:
    """The kind of step that an artefact is of; "unknown" where its description cannot be read."""
    described = history_of(folder).get(key)
    kind = described.get("step") if isinstance(described, dict) else None
    return kind if kind in KINDS else "unknown"


def history_of(folder: Path) -> dict[str, Any]:
    """The steps behind an artefact, described, by key; nothing where that cannot be read."""
    try:
        path = folder / "step.json"
        if path.stat().st_size > DESCRIPTION_LIMIT:
            return {}
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def fault(folder: Path, key: str) -> str:
    """What is wrong with an artefact, or "". Every file is read and every byte of it counts."""
    try:
        if (folder / "manifest.json").stat().st_size > MANIFEST_LIMIT:
            return "manifest.json is too large"
        text = (folder / "manifest.json").read_bytes()
        manifest = json.loads(text)
        files = manifest["files"]
        if manifest["key"] != key or text != manifest_text(key, files):
            return "manifest.json is of another step, or was changed"
        for name, digest in files.items():
            path = folder / name
            if not NAME.fullmatch(name) or path.is_symlink():
                return f"{name!r} is no file of an artefact"
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return f"{name} does not match its hash"
        stray = {p.name for p in folder.iterdir()} - {*files, "manifest.json"}
        if stray:
            return f"{min(stray)} is not listed"
        described = history_of(folder).get(key)
        text = json.dumps(described, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
        if hashlib.sha256(text).hexdigest() != key:
            return "step.json is of another step"
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "manifest.json cannot be read"
    return ""


def set_faults(store: Store) -> Iterator[tuple[Path, str]]:
    """The kept sets of corrupted images that are not what was written."""
    for path in _entries(store.sets):
        if path.suffix == ".u8":
            try:
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                if digest != path.with_suffix(".sha256").read_text(encoding="ascii"):
                    yield path, "does not match its hash"
            except (OSError, ValueError):
                yield path, "cannot be read, or has no hash"


def needed(store: Store, wanted: Collection[str]) -> set[str]:
    """The keys wanted, with those of all that is behind them as far as the store knows it."""
    found = set(wanted)
    for key in wanted:
        found |= history_of(store.place(key)).keys()
    return found


def remove(store: Store, key: str) -> None:
    """Delete an artefact: out of its place first, so that it is there whole or not at all."""
    scratch = store.scratch()
    with store.writing():
        with contextlib.suppress(FileNotFoundError):
            store.place(key).rename(scratch)
        shutil.rmtree(scratch, ignore_errors=True)


def reindex(store: Store, artefacts: dict[str, tuple[str, int]]) -> None:
    """Write the index anew, without what is gone. What another process adds meanwhile is found again."""
    scratch = store.scratch()
    with store.writing():
        lines = (f"{key}\t{kind}\t{size}\n" for key, (kind, size) in artefacts.items())
        scratch.write_text("".join(lines), encoding="ascii")
        scratch.replace(store.root / "index.tsv")


_LINE = re.compile(rf"^([0-9a-f]{{64}})\t({'|'.join(KINDS)})\t([0-9]{{1,18}})$", re.MULTILINE | re.ASCII)


def _index(store: Store) -> dict[str, tuple[str, int]]:
    try:
        text = (store.root / "index.tsv").read_text(encoding="ascii", errors="replace")
    except OSError:
        return {}
    whole = text[: text.rfind("\n") + 1]
    return {key: (kind, int(size)) for key, kind, size in _LINE.findall(whole)}


def _scan(folder: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _entries(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in _scan(folder))


def _size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; what vanishes meanwhile counts nothing."""
    try:
        if path.is_symlink() or not path.is_dir():
            return path.lstat().st_size
        return sum(_size(Path(entry.path)) for entry in _scan(path))
    except OSError:
        return 0
