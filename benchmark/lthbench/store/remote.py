"""A store on an object store: whatever fsspec reaches (s3://bucket/prefix, gs://, az://, ...).

store.json             schema and identity of the store
steps/ab/abcdef....zip one artefact, packed as ``store.archive`` exports it
leases/                who is doing what at the moment
savepoints/            trainings on their way
stops/                 what tells workers to end after the step, or epoch, in progress

An object appears whole or not at all, so an artefact is one object. Work is done in a folder of this
machine, a store like any other: what a step needs is fetched into it and held to its hashes, what was made is
sent. What this store says it has, the object store has. The folder holds copies alone, and may be deleted
when nobody works.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
import uuid
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, final

from lthbench.compute.process import machine
from lthbench.errors import BadInput, Unreadable, Unwritable
from lthbench.files import cache_folder
from lthbench.spec import Step
from lthbench.store import layout, reading
from lthbench.store.archive import Unfit, export, take_in
from lthbench.store.base import Audited, Store, savepoints_among
from lthbench.store.layout import KEY, Misfit, no_misfit
from lthbench.store.leases import BEAT, STALE
from lthbench.store.local import LocalStore
from lthbench.store.object_leases import ObjectLeases
from lthbench.store.objects import Objects

#: What is said of an object that is not there.
_LACKING = "is not there"


def is_url(where: Path | str) -> bool:
    """Whether a place is one that fsspec reaches, and no folder."""
    return isinstance(where, str) and re.match(r"[a-z][a-z0-9+.-]*://", where) is not None


def default_folder() -> Path:
    """Where the copies are: ``lthbench/stores`` in the user's cache folder. Raises BadInput for no home."""
    try:
        return cache_folder() / "stores"
    except RuntimeError as error:
        raise BadInput(f"a store at a URL has a copy here, and {error}.") from error


@final
class RemoteStore(Store):
    """The store at a URL, and ``copies`` of it in the folder in which this machine works on it.

    One that does not send takes what is only in the folder for stored, too, and leaves the URL as it is.
    """

    def __init__(self, url: str, sends: bool = True):
        self.url = url.rstrip("/")
        self._sends = sends
        self.objects = Objects(self.url)
        self._known: set[str] = set()  # keys that are surely there
        self._broken: set[str] = set()  # keys of objects that were found damaged
        self.copies = LocalStore(self._folder(self._identity()))

    @property
    def root(self) -> Path:
        """The folder of the copies."""
        return self.copies.root

    @property
    def address(self) -> str:
        """The URL."""
        return self.url

    @property
    def workplace(self) -> str:
        """The folder of the copies on this machine."""
        return f"{machine()}:{self.root}"

    def open(self) -> None:
        """Make the store if it is not there; refuse one that this version cannot read or write."""
        identity = self._identity()
        if not identity:
            self._check_empty()
            self._mark()
            identity = self._identity()  # of two who made it at once, the first one's
        self._learn(identity)

    def check(self) -> None:
        """Raise BadInput for what is no store, or one of another schema; learn what is there."""
        identity = self._identity()
        if identity:
            self._learn(identity)
        else:
            self._check_empty()

    def _learn(self, identity: str) -> None:
        self.copies = LocalStore(self._folder(identity))
        self.copies.open()
        self._known = set(self.elsewhere())

    def _check_empty(self) -> None:
        for name in self.objects.names():
            if name not in ("steps", "leases", "savepoints", "stops", "store.json"):
                raise BadInput(f"store {self.url}: holds other things ({name}); give an empty prefix.")

    def made(self) -> bool:
        """Whether there is a store at the URL."""
        return bool(self._identity())

    def join(self) -> None:
        """Open it: every machine that reaches the URL may make it."""
        self.open()

    def leases(self, beat: float = BEAT, stale: float = STALE) -> ObjectLeases:
        """Leases as objects."""
        return ObjectLeases(self.objects, beat, stale)

    def lists(self, step: Step) -> bool:
        """Whether the artefact was there when the store was checked."""
        return step.key in self._known or (not self._sends and self.copies.has(step))

    def shared(self, step: Step) -> bool:
        """Whether the artefact is on the object store: it is sent if it was not (and this store sends)."""
        return self.lists(step) or self.has(step)

    @property
    def sent(self) -> Collection[str]:
        """The keys of the artefacts on the object store, but for those that were found damaged."""
        return self._known - self._broken

    def listed(self) -> set[str]:
        """The keys of the artefacts that were there when the store was checked."""
        return set(self._known)

    def whole(self, step: Step) -> dict[str, bytes] | None:
        """The files of the artefact; None where it was not there when the store was checked, nor is here."""
        there = (self.lists(step) or self.copies.has(step)) and self.has(step)
        return self.copies.whole(step) if there else None

    def hold(self, key: str) -> bool:
        """Whether the artefact of a key is in one of the two places. It then is in both, if this sends."""
        if self.copies.hold(key):
            if self._sends and key not in self._known:
                self._send(key)
            return True
        return not self._fetch(key)

    def put(self, step: Step, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> bool:
        """Publish an artefact whole here, and send it. False if another process published it first.

        What is there then is the other's, and so is the copy here.
        """
        return self._send(step.key, self.copies.put(step, files, meta))

    def publish(self, key: str, scratch: Path) -> bool:
        """Put a complete folder into its place, and send it: see ``put``."""
        return self._send(key, self.copies.publish(key, scratch))

    def delete(self, key: str) -> None:
        """Delete an artefact, and the copy of it here."""
        self.copies.delete(key)
        self._forget(key)

    def elsewhere(self) -> dict[str, int]:
        """Bytes of each artefact on the object store, by key."""
        found = {Path(name).stem: size for name, size in self.objects.below("steps").items()}
        return {key: size for key, size in found.items() if KEY.fullmatch(key)}

    def audit(self, misfit: Misfit = no_misfit) -> Iterator[Audited]:
        """Fetch every artefact and look at it; then look at the copies that are here."""
        for key in self.elsewhere():
            scratch = LocalStore(self.scratch())
            try:
                reason = self._unpacked(key, scratch) or misfit(scratch.place(key), key)
                yield Audited(f"{self.url}: {key}", reason, False, partial(self._put_object_aside, key))
            except (Unreadable, Unwritable) as error:
                yield Audited(f"{self.url}: {key}", str(error), False, None)
            finally:
                reading.clear_away(scratch.root)
        for found in self.copies.audit(misfit):
            yield Audited(found.what, found.reason, True, found.put_aside)

    def _put_object_aside(self, key: str) -> None:
        """Move a damaged object out of the way: into the folder of this machine. Raises Unwritable."""
        aside = self.root / "damaged" / f"{key}-{uuid.uuid4().hex[:8]}.zip"
        with self.writing():
            aside.parent.mkdir(parents=True, exist_ok=True)
        self.objects.get(_name(key), aside)
        self._forget(key)

    def _forget(self, key: str) -> None:
        self.objects.delete(_name(key))
        self._known.discard(key)

    def _fetch(self, key: str) -> str:
        """Get an artefact into the folder. Returns why it cannot be had, or ""."""
        reason = self._unpacked(key, self.copies)
        self._learned(key, reason)
        return reason

    def _learned(self, key: str, reason: str) -> None:
        """Remember that an object is there, or damaged."""
        self._broken.discard(key)
        if not reason:
            self._known.add(key)
        elif reason != _LACKING:
            self._broken.add(key)

    def _unpacked(self, key: str, into: LocalStore) -> str:
        """Get an artefact into a folder. Returns what is wrong with the object, or "".

        Raises Unwritable where the folder has no room for it.
        """
        packed = self._scratch_zip()
        try:
            with self.writing():
                packed.parent.mkdir(parents=True, exist_ok=True)
            if not self.objects.get(_name(key), packed):
                return _LACKING
            reason = take_in(into, packed).refused.get(key, "")
        except Unfit as error:
            reason = str(error)
        except BadInput as error:  # there is no room here: of the object it says nothing
            raise Unwritable(str(error)) from error
        finally:
            packed.unlink(missing_ok=True)
        return reason if reason or into.hold(key) else "is another artefact"

    def _scratch_zip(self) -> Path:
        """A new path for a packed artefact: the name of a machine may have dots, so nothing is cut off."""
        path = self.scratch()
        return path.with_name(f"{path.name}.zip")

    def _send(self, key: str, new: bool = False) -> bool:
        """Put an artefact of the folder on the object store, if it is not there, or damaged there.

        Of two machines that make the same at once, the first one's stays. One that is ``new`` here gives way
        to it. Returns whether it is new in both places.
        """
        for wait in (*reading.WAITS, *reading.WAITS, None):
            there = self.objects.there(_name(key))
            if there and not new and key not in self._broken:
                self._known.add(key)
                return False
            if there and self._given_way(key):
                return False
            if self._put_object(key):
                return new
            if wait is not None:  # others write it, or delete it
                time.sleep(wait)
        raise Unwritable(f"store {self.url}: {_name(key)} cannot be written, as others write it. Try again.")

    def _put_object(self, key: str) -> bool:
        """Put an artefact of the folder on the object store. False where somebody else just put one."""
        packed = self._scratch_zip()
        try:
            try:
                reason = export(self.copies, [key], packed).refused.get(key)
            except BadInput as error:
                raise Unwritable(str(error)) from error
            if reason:
                return True  # damaged here: who reads it notices, and it is made again
            if key in self._broken:
                self.objects.put(_name(key), packed)
            elif not self.objects.create(_name(key), packed):
                return False
        finally:
            packed.unlink(missing_ok=True)
        self._known.add(key)
        self._broken.discard(key)
        return True

    def _given_way(self, key: str) -> bool:
        """Let the copy here be that of the object there. False where that is gone, or damaged."""
        scratch = LocalStore(self.scratch())
        try:
            reason = self._unpacked(key, scratch)
            self._learned(key, reason)
            if reason:
                return False
            theirs, ours = (store.place(key) / "manifest.json" for store in (scratch, self.copies))
            if reading.content(theirs) != reading.content(ours):
                self.copies.delete(key)
                with self.writing():
                    self.copies.publish(key, scratch.place(key))
        except Unwritable:
            if key not in self._broken:
                self.copies.delete(key)
            raise
        finally:
            reading.clear_away(scratch.root)
        return True

    def save(self, key: str, content: bytes) -> None:
        """Keep where a training is, where all who share the store find it. Raises Unwritable."""
        self.objects.put(f"savepoints/{key}", content)

    def savepoint(self, key: str) -> bytes | None:
        """Where a training is; None where nothing was kept."""
        return self.objects.read(f"savepoints/{key}")

    def unsave(self, key: str) -> None:
        """Forget where a training was: it is done."""
        with contextlib.suppress(Unwritable):
            self.objects.delete(f"savepoints/{key}")

    def saved(self) -> dict[str, int]:
        """The bytes of each savepoint, by key."""
        found = self.objects.below("savepoints").items()
        return savepoints_among((path.rpartition("/")[2], size) for path, size in found)

    def flag(self, name: str) -> None:
        """Raise a flag that all who share the store see."""
        self.objects.put(f"stops/{name}", b"stop\n")

    def flagged(self, name: str) -> bool:
        """Whether a flag is raised."""
        return self.objects.read(f"stops/{name}") is not None

    def unflag(self, name: str) -> None:
        """Lower a flag."""
        self.objects.delete(f"stops/{name}")

    def _identity(self) -> str:
        """What tells this store from one that was at the same place before; "" where there is none."""
        content = self.objects.read("store.json")
        if content is None or layout.torn(content):
            return ""
        marker = layout.marker_of(f"{self.url}/store.json", content)
        layout.check_schema(self.url, marker["schema"])
        identity = marker.get("id")
        if not re.fullmatch(r"[0-9a-f]{32}", str(identity)):
            raise BadInput(f"{self.url}/store.json: cannot be read; this is not a store of lthbench.")
        self.objects.ready = True
        return str(identity)

    def _mark(self) -> None:
        """Write the marker: of two who do so at once, the first wins."""
        content = layout.new_marker(id=uuid.uuid4().hex)
        for wait in (*reading.WAITS, *reading.WAITS, None):
            if self.objects.create("store.json", content):
                return
            there = self.objects.read("store.json")
            if there is not None:
                if layout.torn(there):  # by a power cut
                    self.objects.put("store.json", content)
                return
            if wait is not None:  # another writes it at this moment
                time.sleep(wait)
        raise Unwritable(f"store {self.url}: store.json cannot be written, as others write it. Try again.")

    def _folder(self, identity: str) -> Path:
        return default_folder() / (identity or f"none-{hashlib.sha256(self.url.encode()).hexdigest()[:16]}")


def _name(key: str) -> str:
    return f"steps/{key[:2]}/{key}.zip"
