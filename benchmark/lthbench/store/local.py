"""A store that is a folder, which any number of machines may share: its layout is told in ``layout``."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import stat
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, final

from lthbench import spec
from lthbench.compute.process import host
from lthbench.errors import BadInput, Damaged, Unreadable
from lthbench.files import install, make_folder
from lthbench.spec import Step
from lthbench.store import layout, reading
from lthbench.store.base import Audited, Store, savepoints_among
from lthbench.store.file_leases import FileLeases
from lthbench.store.folder import FULL, Folder
from lthbench.store.layout import Misfit, as_json, no_misfit
from lthbench.store.leases import BEAT, STALE

#: What a folder with something in it, or a file, is in the way of.
_IN_THE_WAY = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EISDIR)


@final
class LocalStore(Store):
    """A folder of artefacts."""

    def __init__(self, root: Path | str):
        self._folder = Folder(Path(root))

    @property
    def root(self) -> Path:
        """The folder."""
        return self._folder.root

    @property
    def address(self) -> str:
        """The folder, from wherever it is looked at."""
        return str(self.root.resolve())

    @property
    def workplace(self) -> str:
        """The folder: it is one for all machines that share it."""
        return self.address

    def open(self) -> None:
        """Make the store if it is not there; refuse one that this version cannot read or write."""
        self.check()
        try:
            for name in ("steps", "tmp"):
                make_folder(self.root / name)
            now = self._folder.clock()  # writes, too: a read-only store is refused at once
            if not self._marked():
                scratch = self.scratch()
                try:
                    scratch.write_bytes(layout.new_marker())
                    install(scratch, self.root / "store.json")
                finally:
                    scratch.unlink(missing_ok=True)
        except OSError as error:
            raise BadInput(f"store {self.root}: cannot be written: {error.strerror}.") from error
        self._folder.sweep(now)

    def check(self) -> None:
        """Raise BadInput if the folder holds something else, or a store of another schema. Writes nothing."""
        if not self._there():
            return
        if not self._marked():
            foreign = sorted(e.name for e in reading.names(self.root) if e.name not in layout.OWN)
            if not foreign:
                return
            if not self._marked():  # another process may just have made the store
                raise BadInput(f"store {self.root}: holds other things ({foreign[0]}); give an empty folder.")
        marker = self.root / "store.json"
        layout.check_schema(str(self.root), layout.marker_of(str(marker), reading.content(marker))["schema"])

    def _there(self) -> bool:
        """Whether there is a folder. Raises BadInput for something else."""
        try:
            facts = reading.patiently(self.root, self.root.stat)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise BadInput(f"store {self.root}: cannot be written: {error.strerror}.") from error
        if not stat.S_ISDIR(facts.st_mode):
            raise BadInput(f"store {self.root}: is a file; give a folder.")
        return True

    def _marked(self) -> bool:
        """Whether there is a marker that no power cut has torn."""
        try:
            return not layout.torn(reading.content(self.root / "store.json"))
        except FileNotFoundError:
            return False
        except IsADirectoryError as error:
            raise BadInput(
                f"store {self.root}: store.json is a folder and no marker of a store; give another place."
            ) from error

    def made(self) -> bool:
        """Whether there is a store in the folder."""
        return reading.size(self.root / "store.json") is not None

    def join(self) -> None:
        """Raise BadInput where the folder is not shared with this machine."""
        if not self.made():
            raise BadInput(
                f"node {host()}: does not see the store {self.root}; all nodes must share its folder."
            )

    def leases(self, beat: float = BEAT, stale: float = STALE) -> FileLeases:
        """Leases as files in the folder."""
        return FileLeases(self._folder, beat, stale)

    def hold(self, key: str) -> bool:
        """Whether the artefact of a key is there."""
        return layout.holds(self.root, key)

    def lists(self, step: Step) -> bool:
        """Whether the artefact is there: looking costs next to nothing."""
        return self.has(step)

    def shared(self, step: Step) -> bool:
        """It is: all share the folder."""
        del step
        return True

    @property
    def sent(self) -> Collection[str]:
        """None: what is there is in the folder."""
        return ()

    def listed(self) -> set[str]:
        """The keys of all artefacts that are there."""
        return {key for key, _ in layout.places(self.root) if self.hold(key)}

    def whole(self, step: Step) -> dict[str, bytes] | None:
        """The files of the artefact; None where it is not there. A damaged one is put aside."""
        if not self.has(step):
            return None
        try:
            return self.verified(step)
        except Damaged:
            self.put_aside(step)
            return None

    def put(self, step: Step, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> bool:
        """Publish an artefact whole. False if another process published the same step first."""
        content = {
            **files,
            "step.json": as_json({s.key: spec.describe(s) for s in spec.history(step)}),
            "meta.json": as_json(meta),
        }
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
        content["manifest.json"] = layout.manifest_text(step.key, hashes)
        scratch = self.scratch()
        with self.writing():
            try:
                scratch.mkdir(parents=True)
                for name, data in content.items():
                    (scratch / name).write_bytes(data)
                if not self.publish(step.key, scratch):
                    return False
            finally:
                reading.clear_away(scratch)
            self.note([(step.key, type(step).__name__, sum(map(len, content.values())))])
        return True

    def publish(self, key: str, scratch: Path) -> bool:
        """Move a complete folder into its place. False if the artefact is there already."""
        target = self.place(key)
        make_folder(target.parent)
        try:
            install(scratch, target)
        except OSError as error:
            if error.errno in FULL:
                raise
            if self.hold(key):
                return False
            if error.errno not in _IN_THE_WAY:
                raise
            self.put_key_aside(key)  # what is in the way has no manifest
            install(scratch, target)
        return True

    def delete(self, key: str) -> None:
        """Delete an artefact: out of its place first, so that it is there whole or not at all."""
        scratch = self.scratch()
        with self.writing():
            with contextlib.suppress(FileNotFoundError):
                self.place(key).rename(scratch)
            reading.clear_away(scratch)

    def elsewhere(self) -> None:
        """Nothing is."""
        return

    def audit(self, misfit: Misfit = no_misfit) -> Iterator[Audited]:
        """Look at every byte of every artefact."""
        for key, folder in layout.places(self.root):
            try:
                reason = layout.fault(folder, key) or misfit(folder, key)
                if reason and not self.hold(key):
                    reason = "is unfinished"
                what = f"{layout.kind_of(folder, key).lower()} {key}"
            except Unreadable as error:
                yield Audited(key, str(error), False, None)
            else:
                yield Audited(what, reason, False, partial(self.put_key_aside, key))

    def save(self, key: str, content: bytes) -> None:
        """Keep where a training is, in place of where it was. Raises Unwritable."""
        scratch, place = self.scratch(), self._savepoint(key)
        with self.writing():
            try:
                make_folder(place.parent)
                scratch.write_bytes(content)
                install(scratch, place)
            finally:
                scratch.unlink(missing_ok=True)

    def savepoint(self, key: str) -> bytes | None:
        """Where a training is; None where nothing was kept. Raises Unreadable."""
        try:
            return reading.content(self._savepoint(key))
        except FileNotFoundError:
            return None
        except OSError as error:  # not a file of ours: nothing must be written in its place
            raise Damaged(f"{self._savepoint(key)}: cannot be read ({error.strerror})") from error

    def unsave(self, key: str) -> None:
        """Forget where a training was: it is done."""
        with contextlib.suppress(OSError):
            self._savepoint(key).unlink()

    def saved(self) -> dict[str, int]:
        """The bytes of each savepoint, by key."""
        found = []
        for entry in reading.names(self.root / "savepoints"):
            with contextlib.suppress(OSError):
                found.append((entry.name, entry.stat().st_size))
        return savepoints_among(found)

    def _savepoint(self, key: str) -> Path:
        return self.root / "savepoints" / key

    def flag(self, name: str) -> None:
        """Raise a flag that all who share the folder see."""
        (self.root / "tmp" / name).write_bytes(b"")

    def flagged(self, name: str) -> bool:
        """Whether a flag is raised."""
        return (self.root / "tmp" / name).exists()

    def unflag(self, name: str) -> None:
        """Lower a flag."""
        (self.root / "tmp" / name).unlink(missing_ok=True)
