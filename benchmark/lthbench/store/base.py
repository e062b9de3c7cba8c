"""What a store is: artefacts by the key of the step they are of, whole or not at all, wherever they are.

A store is read in a folder of this machine, whose layout ``layout`` tells. That folder is the store
(``local.LocalStore``), or holds copies of what is at a URL (``remote.RemoteStore``).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from lthbench import spec
from lthbench.errors import Damaged
from lthbench.spec import Step
from lthbench.store import layout, reading
from lthbench.store.folder import Folder
from lthbench.store.layout import SCHEMA, Misfit, no_misfit
from lthbench.store.leases import BEAT, STALE, Leases

#: Of how many artefacts the hashes are remembered, a kilobyte each.
MANIFESTS = 100_000


class ResultReader(Protocol):
    """Where the results of steps are read: a store, or a bundle of results."""

    def has(self, step: Step) -> bool:
        """Whether the result is there."""

    def files(self, step: Step) -> list[str]:
        """The names of its files."""

    def read(self, step: Step, name: str) -> bytes:
        """The bytes of one of them."""


@dataclass(frozen=True)
class Audited:
    """An artefact that was looked at: what it is, and what is wrong with it ("" if nothing is).

    ``copy`` says that it is here a copy of what is elsewhere; ``put_aside`` moves it out of the way (None:
    it could not be read, so that nobody knows whether it is damaged).
    """

    what: str
    reason: str
    copy: bool
    put_aside: Callable[[], None] | None


class Store(ABC):
    """Artefacts by key. Any number of processes, on any number of machines, may read and write at once."""

    # ---------------------------------------------------------------------------------------- where it is

    @property
    @abstractmethod
    def root(self) -> Path:
        """The folder of this machine in which artefacts are read, and written first."""

    @property
    @abstractmethod
    def address(self) -> str:
        """What a process anywhere opens the same store by: see ``open_store``."""

    @property
    @abstractmethod
    def workplace(self) -> str:
        """Tells the folder that this process works in, and logs to, from those of other machines."""

    @abstractmethod
    def open(self) -> None:
        """Make the store if it is not there. Raises BadInput for one that cannot be read or written."""

    @abstractmethod
    def check(self) -> None:
        """Raise BadInput for what is something else, or a store of another schema. Makes no store."""

    @abstractmethod
    def made(self) -> bool:
        """Whether the store is there."""

    @abstractmethod
    def join(self) -> None:
        """Open a store that another machine has made. Raises BadInput where it is not to be seen here."""

    @abstractmethod
    def leases(self, beat: float = BEAT, stale: float = STALE) -> Leases:
        """Who is doing what, where all who share the store see it; see ``leases`` for the seconds."""

    @contextlib.contextmanager
    def in_use(self, what: str, told: Callable[[str], None] = lambda said: None) -> Iterator[None]:
        """Keep others from deleting what is stored for a while; see ``Leases.working``.

        A store that is not there yet has nothing to delete.
        """
        with self.leases().working(what, told) if self.made() else contextlib.nullcontext():
            yield

    # ------------------------------------------------------------------------------------------ artefacts

    @abstractmethod
    def hold(self, key: str) -> bool:
        """Whether the artefact of a key is there; it then can be read in ``root``."""

    @abstractmethod
    def lists(self, step: Step) -> bool:
        """Whether the artefact is there as far as can be told at no cost."""

    @abstractmethod
    def shared(self, step: Step) -> bool:
        """Whether all who share the store find the artefact, which is in ``root``."""

    @abstractmethod
    def listed(self) -> set[str]:
        """The keys of all artefacts for which ``lists`` says yes, from one look."""

    @property
    @abstractmethod
    def sent(self) -> Collection[str]:
        """The keys of artefacts that are elsewhere, whether or not they are in ``root``."""

    @abstractmethod
    def whole(self, step: Step) -> dict[str, bytes] | None:
        """The files of the artefact, all of which match their hashes; None where it is not there.

        A damaged one is put aside. Raises Unreadable where that cannot be told: then nothing is moved.
        """

    def intact(self, step: Step) -> bool:
        """Whether the artefact is there and all its files match their hashes: see ``whole``."""
        return self.whole(step) is not None

    @abstractmethod
    def put(self, step: Step, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> bool:
        """Publish an artefact whole. False if another process published the same step first.

        Raises Unwritable where the disk is full or read-only; then nothing is left behind.
        """

    @abstractmethod
    def publish(self, key: str, scratch: Path) -> bool:
        """Move a complete folder into the place of a key. False if the artefact is there already."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Delete an artefact wherever it is. Raises Unwritable."""

    @abstractmethod
    def elsewhere(self) -> dict[str, int] | None:
        """The bytes of each artefact outside ``root``, by key; None where ``root`` is the store."""

    @abstractmethod
    def audit(self, misfit: Misfit = no_misfit) -> Iterator[Audited]:
        """Look at every byte of every artefact, and of every copy; ``misfit`` says what else is wrong."""

    # ----------------------------------------------------------------------------- savepoints and flags

    @abstractmethod
    def save(self, key: str, content: bytes) -> None:
        """Keep where a training is, in place of where it was. Raises Unwritable."""

    @abstractmethod
    def savepoint(self, key: str) -> bytes | None:
        """Where a training is, as ``save`` was given it; None where nothing was kept. Raises Damaged."""

    @abstractmethod
    def unsave(self, key: str) -> None:
        """Forget where a training was: it is done."""

    @abstractmethod
    def saved(self) -> dict[str, int]:
        """The bytes of each savepoint, by key."""

    @abstractmethod
    def flag(self, name: str) -> None:
        """Raise a flag that all who share the store see."""

    @abstractmethod
    def flagged(self, name: str) -> bool:
        """Whether a flag is raised."""

    @abstractmethod
    def unflag(self, name: str) -> None:
        """Lower a flag."""

    # --------------------------------------------------------------- what is the same for all: the folder

    @property
    def sets(self) -> Path:
        """Where corrupted images are kept."""
        return self.root / "sets"

    def place(self, key: str) -> Path:
        """Where the artefact of a key is in ``root``, or would be."""
        return layout.place(self.root, key)

    def path_of(self, key: str) -> str:
        """The same as a text, which is made in a fraction of the time."""
        return f"{self.root}/steps/{key[:2]}/{key}"

    def scratch(self) -> Path:
        """A new path in ``tmp`` that names its writer; nothing is there yet."""
        return Folder(self.root).scratch()

    def writing(self) -> contextlib.AbstractContextManager[None]:
        """Tell a disk that takes nothing more from other faults: raises Unwritable for it."""
        return Folder(self.root).writing()

    def has(self, step: Step) -> bool:
        """Whether the artefact is there (its content is checked when it is read)."""
        return self.hold(step.key)

    def read(self, step: Step, name: str) -> bytes:
        """The bytes of one file of the step's artefact.

        Raises Damaged if they are not what was written, Unreadable where that cannot be told.
        """
        folder = self.path_of(step.key)
        known = self._manifests.get(step.key, {})
        if name in known:
            with contextlib.suppress(Damaged):  # or else it may have been made anew since it was seen
                return _checked(f"{folder}/{name}", known[name])
        files = self._manifest(step)["files"]
        if name not in files:
            raise Damaged(f"{folder}: has no {name}")
        return _checked(f"{folder}/{name}", files[name])

    @cached_property
    def _manifests(self) -> dict[str, dict[str, str]]:
        """The hashes of files by key, as they were seen last: what matches them is what was written."""
        return {}

    def look_again(self) -> None:
        """Forget which files artefacts were seen to have: they may have been made anew, here or by others."""
        self._manifests.clear()

    def files(self, step: Step) -> list[str]:
        """The names of the artefact's files. Raises Damaged where its manifest cannot be read."""
        known = self._manifests.get(step.key)
        return sorted(self._manifest(step)["files"] if known is None else known)

    def meta(self, step: Step) -> dict[str, Any]:
        """The facts recorded with the artefact: seconds, device, versions, and what the step counted."""
        found: dict[str, Any] = json.loads(self.read(step, "meta.json"))
        return found

    def put_aside(self, step: Step) -> None:
        """Move a damaged artefact out of the way, so that the step is done again."""
        self.put_key_aside(step.key)

    def put_key_aside(self, key: str) -> None:
        """Move the damaged artefact of a key out of the way. Raises Unwritable."""
        self._manifests.pop(key, None)
        aside = self.root / "damaged" / f"{key}-{uuid.uuid4().hex[:8]}"
        with self.writing():
            aside.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.place(key).rename(aside)

    def note(self, entries: Iterable[tuple[str, str, int]]) -> None:
        """Append lines to the index: key, kind and bytes of artefacts."""
        text = "".join(f"{key}\t{kind}\t{size}\n" for key, kind, size in entries)
        with (self.root / "index.tsv").open("a", encoding="ascii") as file:
            file.write(text)

    def log(self, event: Mapping[str, Any]) -> None:
        """Append a line to the event log. Raises Unwritable."""
        with self.writing(), (self.root / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(event, sort_keys=True) + "\n")

    def events(self) -> list[dict[str, Any]]:
        """The lines of the event log; one cut short by a kill, or edited, is passed over."""
        try:
            lines = (self.root / "events.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return [e for e in map(layout.event, lines) if e is not None]

    def events_after(self, place: int) -> tuple[list[dict[str, Any]], int]:
        """The whole lines of the event log from a place on, and the place after them."""
        try:
            with (self.root / "events.jsonl").open("rb") as file:
                file.seek(place)
                content = file.read()
        except OSError:
            return [], place
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.decode("utf-8", errors="replace").splitlines()
        return [e for e in map(layout.event, lines) if e is not None], place + len(whole)

    def verified(self, step: Step) -> dict[str, bytes]:
        """The files of the artefact in ``root``. Raises Damaged if one is not what was written."""
        folder = self.path_of(step.key)
        files = self._manifest(step)["files"]
        held = {name: _checked(f"{folder}/{name}", digest) for name, digest in files.items()}
        if "step.json" not in held:
            raise Damaged(f"{folder}: has no step.json")
        described = layout.parsed(held["step.json"].decode())
        if described is None or described.get(step.key) != spec.describe(step):
            raise Damaged(f"{folder}: step.json is of another step")
        return held

    def _manifest(self, step: Step) -> dict[str, Any]:
        path = f"{self.path_of(step.key)}/manifest.json"
        try:
            manifest = json.loads(reading.content(path).decode())
            good = manifest["schema"] == SCHEMA and manifest["key"] == step.key
            good = good and isinstance(manifest["files"], dict)
        except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
            raise Damaged(f"{path}: cannot be read") from error
        if not good:
            raise Damaged(f"{path}: is of another step or schema")
        if len(self._manifests) >= MANIFESTS:
            self._manifests.clear()
        self._manifests[step.key] = manifest["files"]
        return manifest  # type: ignore[no-any-return]


def _checked(path: str, digest: str) -> bytes:
    try:
        data = reading.content(path)
    except OSError as error:
        raise Damaged(f"{path}: is not there") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise Damaged(f"{path}: does not match its hash")
    return data


def savepoints_among(sizes: Iterable[tuple[str, int]]) -> dict[str, int]:
    """What is called by a key, and its bytes."""
    return {name: size for name, size in sizes if re.fullmatch(layout.KEY, name)}
