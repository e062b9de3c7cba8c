"""How artefacts stand on disk, and what is wrong with one: names, manifests, descriptions, the marker.

store.json                 schema of the store
steps/ab/abcdef.../        step.json (the step and all before it), meta.json, the step's files,
                           manifest.json (sha256 of each file; written last)
sets/                      corrupted images, the same for every network; may be deleted (see ``sets``)
tmp/                       folders being written; one is renamed into place when it is complete
savepoints/                trainings on their way, by key (see ``savepoints``); each goes when it is done
damaged/                   what did not match its manifest, kept for a look
leases/                    who is doing what at the moment (see ``leases``)
index.tsv                  key, kind and bytes of each artefact: listing opens no folder; may be deleted
seen.txt                   what was found whole before (see ``seen``); may be deleted
events.jsonl               one line per step done: what, when, how long, by which process; and where long
                           trainings are
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lthbench import spec, textfiles
from lthbench.errors import BadInput, Unreadable
from lthbench.store import reading

SCHEMA = 1
#: What stands in a store's folder.
OWN = {
    *("store.json", "steps", "sets", "tmp", "savepoints", "damaged", "leases", "index.tsv", "events.jsonl"),
    "seen.txt",
    "rerun.json",  # of a store in which a bundle is run again
}
#: The beginning of every marker.
_BEGINNING = f'{{"schema": {SCHEMA}, "what": "lthbench store"'
#: What is called by a key is an artefact's folder.
KEY = re.compile(r"[0-9a-f]{64}")
#: The name of a file of an artefact.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
#: The files that every artefact has.
EVERY = ("step.json", "meta.json", "manifest.json")
KINDS = tuple(step.__name__ for step in spec.STEPS)
#: No manifest, and no description of a step with its history, has more bytes.
MANIFEST_LIMIT, DESCRIPTION_LIMIT = 1_000_000, 50_000_000


#: Says what of the artefact of a key, in a folder, is not what its step makes; "" if nothing is.
Misfit = Callable[[Path, str], str]


def no_misfit(folder: Path, key: str) -> str:
    """Takes an artefact for what its step makes if its hashes match."""
    return ""


def place(root: Path, key: str) -> Path:
    """Where the artefact of a key is below a store's folder, or would be."""
    return root.joinpath("steps", key[:2], key)


def holds(root: Path, key: str) -> bool:
    """Whether the artefact of a key is there: its manifest is written last."""
    return reading.size(f"{root}/steps/{key[:2]}/{key}/manifest.json") is not None


def places(root: Path) -> Iterator[tuple[str, Path]]:
    """What stands in the places of artefacts, whole or not: keys and folders."""
    for part in reading.names(root / "steps"):
        if len(part.name) == 2:
            for entry in reading.names(part.path):
                if entry.name[:2] == part.name and KEY.fullmatch(entry.name):
                    yield entry.name, Path(entry.path)


def new_marker(**facts: str) -> bytes:
    """The content of a new store's marker."""
    return (json.dumps({"schema": SCHEMA, "what": "lthbench store", **facts}) + "\n").encode()


def marker_of(where: str, content: bytes) -> dict[str, Any]:
    """What a marker says; ``schema`` is among it. Raises BadInput for what is none."""
    facts = parsed(content.decode(errors="replace"))
    if facts is None or "schema" not in facts:
        raise BadInput(f"{where}: cannot be read; this is not a store of lthbench.")
    return facts


def torn(content: bytes) -> bool:
    """Whether a power cut has left of a marker what this is: nothing, zeros, or its beginning."""
    text = content.rstrip(b"\0").decode(errors="replace")
    if _BEGINNING.startswith(text):
        return True
    return text.startswith(_BEGINNING) and parsed(text) is None


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


def manifest_text(key: str, hashes: Mapping[str, str]) -> bytes:
    """The content of a manifest: the same files give the same bytes."""
    return as_json({"schema": SCHEMA, "key": key, "files": dict(hashes)})


def as_json(value: Any) -> bytes:
    """A value as the store's JSON files hold it."""
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode()


def parsed(text: str) -> dict[str, Any] | None:
    """A JSON object; None for what is none."""
    try:
        value = textfiles.values(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


#: What stands in a line of the event log, by name: a text, or a number that is not below 0.
_TEXTS = ("key", "step", "status", "device", "architecture", "precision", "network", "training", "failure")
_NUMBERS = ("seconds", "flops", "share", "memory", "device_memory", "stack", "pid", "epoch")


def event(line: str) -> dict[str, Any] | None:
    """What a line of the event log says; None for one that is cut short, or says what no run logs."""
    found = parsed(line)
    if found is None or not all(isinstance(found[n], str) for n in _TEXTS if n in found):
        return None
    numbers = [found[n] for n in _NUMBERS if n in found]
    plain = all(type(v) in (int, float) and 0 <= v < 2**63 for v in numbers)
    return found if plain and ("flops" not in found or {"step", "seconds"} <= found.keys()) else None


def kind_of(folder: Path, key: str) -> str:
    """The kind of step that an artefact is of; "unknown" where it is damaged. Raises Unreadable."""
    described = history_of(folder).get(key)
    kind = described.get("step") if isinstance(described, dict) else None
    return kind if kind in KINDS else "unknown"


def history_of(folder: Path) -> dict[str, Any]:
    """The steps behind an artefact, described, by key; nothing where it is damaged. Raises Unreadable."""
    path = folder / "step.json"
    length = reading.size(path)
    if length is None or length > DESCRIPTION_LIMIT:
        return {}
    try:
        found = json.loads(reading.content(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def fault(folder: Path, key: str) -> str:
    """What is wrong with an artefact, or "". Every file is read and every byte of it counts.

    Raises Unreadable where that cannot be told.
    """
    try:
        if (reading.size(folder / "manifest.json") or 0) > MANIFEST_LIMIT:
            return "manifest.json is too large"
        text = reading.content(folder / "manifest.json")
        manifest = json.loads(text)
        files = manifest["files"]
        if manifest["key"] != key or text != manifest_text(key, files):
            return "manifest.json is of another step, or was changed"
        for name, digest in files.items():
            path = folder / name
            if not NAME.fullmatch(name) or path.is_symlink():
                return f"{name!r} is no file of an artefact"
            if reading.digest(path) != digest:
                return f"{name} does not match its hash"
        stray = {entry.name for entry in reading.names(folder)} - {*files, "manifest.json"}
        if stray:
            return f"{min(stray)} is not listed"
        described = history_of(folder).get(key)
        if hashlib.sha256(spec.canonical(described).encode()).hexdigest() != key:
            return "step.json is of another step"
    except OSError as error:
        if error.errno not in reading.GONE:
            raise Unreadable(f"{folder}: cannot be read ({error.strerror}).") from error
        return f"{Path(error.filename or folder).name} cannot be read ({error.strerror})"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return "manifest.json cannot be read"
    return ""
