"""Artefacts carried from one store to another, as a folder (which is a store itself) or as one zip file.

What comes in was written by others: names are held to the one layout there is, nothing is unpacked outside
``tmp``, no more than the disk can take, and an artefact is published only when every file matches its hash
and its description its key. That shows damage; whether numbers are honest only running them again shows.
"""

from __future__ import annotations

import errno
import re
import shutil
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lthbench.errors import BadInput, Unreadable
from lthbench.files import beside, clear_left, install, make_folder
from lthbench.store import reading
from lthbench.store.base import Store
from lthbench.store.disk import room
from lthbench.store.layout import KEY, NAME, Misfit, fault, holds, kind_of, new_marker, no_misfit, places
from lthbench.store.local import LocalStore

#: An artefact's file in an archive: the layout of a store.
_MEMBER = re.compile(rf"steps/([0-9a-f]{{2}})/({KEY.pattern})/({NAME.pattern})")
#: The date of all members, so that the same artefacts are the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 20
#: What reading a zip file that is none, or is broken, encrypted or of another kind, may raise.
BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    NotImplementedError,
    EOFError,
    RuntimeError,
    ValueError,
    IndexError,
    OverflowError,
)


class Unfit(BadInput):
    """What was given holds no artefacts that can be taken in, however much room there is."""


@dataclass
class Carried:
    """What was carried: keys that are new, how many were there before, and why some were not taken."""

    new: list[str] = field(default_factory=list)
    there: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    size: int = 0


def export(store: Store, wanted: Iterable[str], target: Path) -> Carried:
    """Copy artefacts into a zip file (a path that ends in .zip), or a folder. Damaged ones are refused."""
    carried = Carried()
    whole = []
    for key in sorted(wanted):
        reason = fault(store.place(key), key)
        if reason:
            carried.refused[key] = reason
        else:
            whole.append(key)
    if target.suffix == ".zip":
        _zip(store, whole, target, carried)
    else:
        other = LocalStore(target)
        other.open()
        for key in whole:
            _copy(store.place(key), key, other, carried, no_misfit)
    return carried


def take_in(store: Store, source: Path, misfit: Misfit = no_misfit) -> Carried:
    """Copy artefacts from a folder or a zip file that ``export`` made into a store.

    Raises Unfit for what is none, BadInput where the store cannot be written or has no room.
    """
    if reading.is_folder(source):
        check(source)
        store.open()
        carried = Carried()
        for key, folder in places(source):
            if folder.is_symlink():
                carried.refused[key] = "is a link"
            else:
                _copy(folder, key, store, carried, misfit)
        return carried
    with _opened(source) as archive:
        return _unzip(store, source, archive, misfit)


def check(source: Path) -> None:
    """Raise BadInput for what holds no artefacts that ``take_in`` could take. They are not read."""
    if not reading.is_folder(source):
        with _opened(source) as archive:
            _members(source, archive)
        return
    LocalStore(source).check()
    if not (source / "store.json").is_file():
        raise Unfit(f"{source}: is no store; give a folder or zip file that lthbench store export made.")


def _opened(source: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(source)
    except FileNotFoundError as error:
        raise BadInput(f"{source}: no such file.") from error
    except (OSError, *BROKEN) as error:
        _check_read(error, source)
        raise Unfit(f"{source}: is no zip file that can be read: {error}") from error


def _zip(store: Store, whole: Iterable[str], target: Path, carried: Carried) -> None:
    scratch = beside(target)
    try:
        make_folder(target.parent)
        clear_left(target)
        with zipfile.ZipFile(scratch, "w", allowZip64=True) as archive:
            archive.writestr(zipfile.ZipInfo("store.json", _DATE), new_marker())
            for key in whole:
                for path in sorted(store.place(key).iterdir()):
                    info = zipfile.ZipInfo(f"steps/{key[:2]}/{key}/{path.name}", _DATE)
                    # Weights and logits do not get smaller.
                    info.compress_type = (
                        zipfile.ZIP_DEFLATED if path.suffix == ".json" else zipfile.ZIP_STORED
                    )
                    info.file_size = path.stat().st_size
                    with path.open("rb") as file, archive.open(info, "w") as member:
                        shutil.copyfileobj(file, member, _PIECE)
                carried.new.append(key)
        carried.size = scratch.stat().st_size
        install(scratch, target)
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error.strerror}.") from error
    finally:
        scratch.unlink(missing_ok=True)


def _members(source: Path, archive: zipfile.ZipFile) -> dict[str, list[zipfile.ZipInfo]]:
    """The files of each artefact in a zip file, by key. Raises Unfit for other files."""
    found: dict[str, list[zipfile.ZipInfo]] = {}
    seen = set()
    for info in archive.infolist():
        if info.filename == "store.json" or info.filename.endswith("/"):
            continue
        match = _MEMBER.fullmatch(info.filename)
        if match is None or match[1] != match[2][:2] or info.filename in seen:
            raise Unfit(f"{source}: {info.filename[:200]!r} is no file of a store; nothing was taken in.")
        seen.add(info.filename)
        found.setdefault(match[2], []).append(info)
    if not found:
        raise Unfit(f"{source}: holds no artefacts; give a file that lthbench store export made.")
    return found


def _unzip(store: Store, source: Path, archive: zipfile.ZipFile, misfit: Misfit) -> Carried:
    found = _members(source, archive)
    store.open()
    carried = Carried()
    new = {key: members for key, members in found.items() if not _there(store, key)}
    carried.there = len(found) - len(new)
    room(store, sum(info.file_size for members in new.values() for info in members), str(source))
    for key, members in new.items():
        scratch = store.scratch()
        with store.writing():
            try:
                scratch.mkdir()
                try:
                    for info in members:
                        with (scratch / info.filename.rpartition("/")[2]).open("wb") as file:
                            for piece in pieces(archive, info):
                                file.write(piece)
                except zipfile.BadZipFile as error:
                    carried.refused[key] = f"cannot be unpacked ({error})"
                    continue
                _take(scratch, key, store, carried, misfit)
            finally:
                reading.clear_away(scratch)
    return carried


def pieces(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    """The content of a member in pieces of at most a megabyte, and no more than it says it has.

    Raises BadZipFile for whatever is wrong with it, Unreadable where the disk fails. Only what is deflated is
    unpacked: other ways to pack may ask for gigabytes of memory to unpack a byte.
    """
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile("is packed in another way than by deflate")
    try:
        with archive.open(info) as member:
            while piece := member.read(_PIECE):
                yield piece
    except (OSError, *BROKEN) as error:
        _check_read(error, archive.filename)
        raise zipfile.BadZipFile(str(error)) from error


def _check_read(error: Exception, source: Path | str | None) -> None:
    """Raise Unreadable for what a disk says that fails. What a broken zip file leads to is of other kinds."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL, *reading.GONE):
        raise Unreadable(f"{source}: cannot be read ({error.strerror}).") from error


def _there(store: Store, key: str) -> bool:
    """Whether an artefact is there; of what an object store has, nothing is fetched to see it."""
    return key in store.sent or holds(store.root, key)


def _copy(folder: Path, key: str, store: Store, carried: Carried, misfit: Misfit) -> None:
    """Copy the files of a folder, and no links, into a store."""
    if _there(store, key):
        carried.there += 1
        return
    scratch = store.scratch()
    with store.writing():
        try:
            scratch.mkdir()
            for path in _files(folder):
                (scratch / path.name).write_bytes(reading.content(path))
            _take(scratch, key, store, carried, misfit)
        finally:
            reading.clear_away(scratch)


def _files(folder: Path) -> Iterator[Path]:
    for entry in sorted(reading.names(folder), key=lambda entry: entry.name):
        if entry.is_file(follow_symlinks=False) and NAME.fullmatch(entry.name):
            yield Path(entry.path)


def _take(scratch: Path, key: str, store: Store, carried: Carried, misfit: Misfit) -> None:
    """Publish a folder if it is whole."""
    reason = fault(scratch, key) or misfit(scratch, key)
    if reason:
        carried.refused[key] = reason
        return
    kind, size = kind_of(scratch, key), sum(p.stat().st_size for p in scratch.iterdir())
    if store.publish(key, scratch):
        store.note([(key, kind, size)])
        carried.new.append(key)
        carried.size += size
    else:
        carried.there += 1
