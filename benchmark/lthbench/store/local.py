"""Content-addressed artefacts: one folder per step, named by its key; there whole or not at all.

store.json                 schema of the store
steps/ab/abcdef.../        step.json (the step and all before it), meta.json, the step's files,
                           manifest.json (sha256 of each file; written last)
sets/                      corrupted images, the same for every network; may be deleted (see ``corrupted``)
tmp/                       folders being written; one is renamed into place when it is complete
savepoints/                trainings on their way, by key (see ``savepoints``); each goes when it is done
damaged/                   what did not match its manifest, kept for a look
leases/                    who is doing what at the moment (see ``leases``)
index.tsv                  key, kind and bytes of each artefact: listing opens no folder; may be deleted
events.jsonl               one line per step done: what, when, how long, by which process; and where long
                           trainings are
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lthbench import spec
from lthbench.compute.process import alive, host
from lthbench.errors import BadInput, Damaged, Unwritable
from lthbench.spec import Step

SCHEMA = 1
#: What a store's folder may hold before its marker is written.
_OWN = ("steps", "tmp", "leases")
#: Why a file system takes nothing more, whoever asks.
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class Store:
    """A folder of artefacts. Any number of processes may read and write it at once."""

    def __init__(self, root: Path | str):
        self.root = Path(root)

    @property
    def address(self) -> str:
        """What another process opens the same store by: see ``remote.at``."""
        return str(self.root)

    @property
    def sets(self) -> Path:
        """Where corrupted images are kept."""
        return self.root / "sets"

    def open(self) -> None:
        """Make the store if it is not there; refuse one that this version cannot read or write."""
        self.check()
        try:
            for folder in ("steps", "tmp"):
                (self.root / folder).mkdir(parents=True, exist_ok=True)
            now = self.clock()  # writes, too: a read-only store is refused at once
            if not (self.root / "store.json").exists():
                scratch = self.scratch()
                scratch.write_text(json.dumps({"schema": SCHEMA, "what": "lthbench store"}) + "\n")
                scratch.replace(self.root / "store.json")
        except OSError as error:
            raise BadInput(f"store {self.root}: cannot be written: {error.strerror}.") from error
        self._sweep(now)

    def check(self) -> None:
        """Raise BadInput if the folder holds something else, or a store of another schema. Writes nothing."""
        if not self.root.exists():
            return
        if not self.root.is_dir():
            raise BadInput(f"store {self.root}: is a file; give a folder.")
        marker = self.root / "store.json"
        if not marker.exists():
            strangers = sorted(p.name for p in self.root.iterdir() if p.name not in _OWN)
            if strangers and not marker.exists():  # another process may just have made the store
                raise BadInput(
                    f"store {self.root}: holds other things ({strangers[0]}); give an empty folder."
                )
            if not strangers:
                return
        facts = marker_of(self.root)
        check_schema(str(self.root), facts["schema"])

    def folder(self, step: Step) -> Path:
        """Where the step's artefact is, or would be."""
        return self.place(step.key)

    def place(self, key: str) -> Path:
        """Where the artefact of a key is, or would be."""
        return self.root / "steps" / key[:2] / key

    def scratch(self) -> Path:
        """A new path in ``tmp`` that names its writer; nothing is there yet."""
        return self.root / "tmp" / f"{host()}-{os.getpid()}-{uuid.uuid4().hex}"

    def clock(self) -> float:
        """The time on the clock that stamps the store's files: a server's where the disk is shared."""
        probe = self.scratch()
        try:
            probe.write_bytes(b".")
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def has(self, step: Step) -> bool:
        """Whether the artefact is there (its content is checked when it is read)."""
        return self.hold(step.key)

    def hold(self, key: str) -> bool:
        """Whether the artefact of a key is there."""
        return (self.place(key) / "manifest.json").is_file()

    def lists(self, step: Step) -> bool:
        """Whether the artefact is there as far as can be told at no cost."""
        return self.has(step)

    def intact(self, step: Step) -> bool:
        """Whether the artefact is there and all its files match their hashes; a damaged one is put aside."""
        if not self.has(step):
            return False
        try:
            self._verified(step)
        except Damaged:
            self.put_aside(step)
            return False
        return True

    def read(self, step: Step, name: str) -> bytes:
        """The bytes of one file of the step's artefact. Raises Damaged if they are not what was written."""
        folder = self.folder(step)
        manifest = self._manifest(step)
        if name not in manifest["files"]:
            raise Damaged(f"{folder}: has no {name}")
        return self._checked(folder / name, manifest["files"][name])

    def files(self, step: Step) -> list[str]:
        """The names of the artefact's files. Raises Damaged where its manifest cannot be read."""
        return sorted(self._manifest(step)["files"])

    def meta(self, step: Step) -> dict[str, Any]:
        """The facts recorded with the artefact: seconds, device, versions, and what the step counted."""
        found: dict[str, Any] = json.loads(self.read(step, "meta.json"))
        return found

    def put(self, step: Step, files: Mapping[str, bytes], meta: Mapping[str, Any]) -> bool:
        """Publish an artefact whole. False if another process published the same step first.

        Raises Unwritable where the disk is full or read-only; then nothing is left behind.
        """
        content = {
            **files,
            "step.json": _json({s.key: spec.describe(s) for s in spec.history(step)}),
            "meta.json": _json(meta),
        }
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in content.items()}
        content["manifest.json"] = manifest_text(step.key, hashes)
        scratch = self.scratch()
        with self.writing():
            try:
                scratch.mkdir(parents=True)
                for name, data in content.items():
                    (scratch / name).write_bytes(data)
                if not self.publish(step.key, scratch):
                    return False
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
            self.note([(step.key, type(step).__name__, sum(map(len, content.values())))])
        return True

    def publish(self, key: str, scratch: Path) -> bool:
        """Rename a complete folder into its place. False if the artefact is there already."""
        target = self.place(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.rename(target)
        except OSError as error:
            if error.errno in _FULL:
                raise
            if (target / "manifest.json").is_file():
                return False
            self.put_key_aside(key)  # what is in the way has no manifest
            scratch.rename(target)
        return True

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Tell a disk that takes nothing more from other faults: raises Unwritable for it."""
        try:
            yield
        except OSError as error:
            if error.errno not in _FULL and not isinstance(error, PermissionError):
                raise
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            said = "the disk is full" if full else "cannot be written"
            raise Unwritable(
                f"store {self.root}: {said} ({error.strerror}). "
                "What was finished is stored; "
                + ("make room (lthbench store prune)" if full else "make it writable")
                + " and give the same command again."
            ) from error

    def put_aside(self, step: Step) -> None:
        """Move a damaged artefact out of the way, so that the step is done again."""
        self.put_key_aside(step.key)

    def put_key_aside(self, key: str) -> None:
        """Move the damaged artefact of a key out of the way. Raises Unwritable."""
        aside = self.root / "damaged" / f"{key}-{uuid.uuid4().hex[:8]}"
        with self.writing():
            aside.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                self.place(key).rename(aside)

    def save(self, key: str, content: bytes) -> None:
        """Keep where a training is, in place of where it was. Raises Unwritable."""
        scratch, place = self.scratch(), self._savepoint(key)
        with self.writing():
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                scratch.write_bytes(content)
                scratch.replace(place)
            finally:
                scratch.unlink(missing_ok=True)

    def savepoint(self, key: str) -> bytes | None:
        """Where a training is, as ``save`` was given it; None where nothing was kept. Raises Damaged."""
        try:
            return self._savepoint(key).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:  # it may be good: nothing must be written in its place
            raise Damaged(f"{self._savepoint(key)}: cannot be read ({error.strerror})") from error

    def unsave(self, key: str) -> None:
        """Forget where a training was: it is done."""
        with contextlib.suppress(OSError):
            self._savepoint(key).unlink()

    def saved(self) -> dict[str, int]:
        """The bytes of each savepoint, by key."""
        found = {}
        with contextlib.suppress(FileNotFoundError):
            for path in (self.root / "savepoints").iterdir():
                with contextlib.suppress(OSError):
                    if re.fullmatch(r"[0-9a-f]{64}", path.name):
                        found[path.name] = path.stat().st_size
        return found

    def _savepoint(self, key: str) -> Path:
        return self.root / "savepoints" / key

    def flag(self, name: str) -> None:
        """Raise a flag that all who share the store see: see ``flagged``."""
        (self.root / "tmp" / name).write_bytes(b"")

    def flagged(self, name: str) -> bool:
        """Whether a flag is raised."""
        return (self.root / "tmp" / name).exists()

    def unflag(self, name: str) -> None:
        """Lower a flag."""
        (self.root / "tmp" / name).unlink(missing_ok=True)

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
        """The lines of the event log; one cut short by a kill is passed over."""
        try:
            lines = (self.root / "events.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return []
        return [e for e in (_parsed(line) for line in lines) if e is not None]

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
        return [e for e in map(_parsed, lines) if e is not None], place + len(whole)

    def _manifest(self, step: Step) -> dict[str, Any]:
        path = self.folder(step) / "manifest.json"
        try:
            manifest = json.loads(path.read_bytes())
            good = manifest["schema"] == SCHEMA and manifest["key"] == step.key
            good = good and isinstance(manifest["files"], dict)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise Damaged(f"{path}: cannot be read") from error
        if not good:
            raise Damaged(f"{path}: is of another step or schema")
        return manifest  # type: ignore[no-any-return]

    def _verified(self, step: Step) -> None:
        folder = self.folder(step)
        for name, digest in self._manifest(step)["files"].items():
            self._checked(folder / name, digest)
        described = _parsed(self.read(step, "step.json").decode())
        if described is None or described.get(step.key) != spec.describe(step):
            raise Damaged(f"{folder}: step.json is of another step")

    @staticmethod
    def _checked(path: Path, digest: str) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise Damaged(f"{path}: cannot be read") from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged(f"{path}: does not match its hash")
        return data

    def _sweep(self, now: float, older_than: float = 86400.0) -> None:
        """Remove what killed processes left half-written: of dead processes here, or a day old."""
        for path in (self.root / "tmp").iterdir():
            writer, pid, *_ = (*path.name.rsplit("-", 2), "")  # as ``scratch`` names it
            try:
                age = now - path.stat().st_mtime
                own = writer == host() and pid.isdigit()
                lives = own and alive(int(pid))  # whatever a clock that was set says
                if (age > older_than and not lives) or (age > 60.0 and own and not lives):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            except OSError:
                continue


def marker_of(root: Path) -> dict[str, Any]:
    """What a store's marker says; ``schema`` is among it. Raises BadInput for what is no store."""
    marker = root / "store.json"
    try:
        facts = _parsed(marker.read_text())
    except (OSError, ValueError):
        facts = None
    if facts is None or "schema" not in facts:
        raise BadInput(f"{marker}: cannot be read; this is not a store of lthbench.")
    return facts


def check_schema(where: str, schema: Any) -> None:
    """Raise BadInput for a store whose schema this version does not read: how to go on depends on which."""
    if schema == SCHEMA:
        return
    said = f"store {where}: has schema {str(schema)[:40]}, this version reads schema {SCHEMA}. "
    if isinstance(schema, int) and schema > SCHEMA:
        said += "Upgrade lthbench (pip install -U lthbench), or give another place."
    else:
        said += "Give another place."
    raise BadInput(said)


def manifest_text(key: str, hashes: Mapping[str, str], schema: int | None = None) -> bytes:
    """The content of a manifest: the same files give the same bytes. ``schema`` is this version's."""
    return _json({"schema": schema or SCHEMA, "key": key, "files": dict(hashes)})


def _json(value: Any) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()


def _parsed(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
