"""The table in a result bundle: its files, held to the hashes that it lists. See ``submission.bundle``."""

from __future__ import annotations

import hashlib
import re
import shlex
import tempfile
import zipfile
from collections.abc import Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lthbench import textfiles
from lthbench.errors import BadInput, LthbenchError, because
from lthbench.results import table
from lthbench.results.run_facts import RunFacts
from lthbench.store import layout
from lthbench.store.archive import BROKEN, pieces
from lthbench.textfiles import RATIO, SMALL

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
#: The file of a bundle that lists the others with their hashes.
HEAD = "bundle.json"
#: No bundle unpacks to more bytes than this.
LIMIT = 1_000_000_000
#: And to no more files.
ENTRIES = 500_000
#: What its files are called: each name once on every file system, and nothing above its folder.
_BESIDE = "|".join(map(re.escape, table.BESIDE))
_NAME = re.compile(
    rf"scores\.csv|run\.json|steps\.json|{_BESIDE}|results/[0-9a-f]{{64}}/{layout.NAME.pattern}"
)


class Refused(LthbenchError):
    """A bundle does not hold what it says: exit code 1."""


def read(path: Path, names: Container[str] | None = None) -> dict[str, bytes]:
    """The files of a bundle, or those of some names. Raises BadInput for what is none, Refused for one that
    was changed.
    """
    if path.is_dir():
        raise BadInput(f"{path}: is {_of_folder(path)}")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if sum(entry.file_size for entry in entries) > LIMIT or len(entries) > ENTRIES:
                raise BadInput(
                    f"{path}: unpacks to more than {LIMIT / 1e9:g} GB or {ENTRIES:,} files; bundles do not."
                )
            packed = next((e for e in entries if e.file_size > SMALL + RATIO * e.compress_size), None)
            if packed is not None:
                raise BadInput(
                    f"{path}: {packed.filename[:200]!r} unpacks to more than {RATIO} times what it is; "
                    "those of a bundle do not."
                )
            if len({entry.filename for entry in entries}) < len(entries):
                raise Refused(f"{path}: holds two files of one name.")
            held = {entry.filename for entry in entries} - {HEAD}
            files = {
                entry.filename: b"".join(pieces(archive, entry))
                for entry in entries
                if names is None or entry.filename == HEAD or entry.filename in names
            }
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file.") from error
    except (OSError, *BROKEN) as error:
        raise BadInput(f"{path}: is no bundle: it is no zip file, or damaged{because(error)}.") from error
    try:
        head = textfiles.values(files.pop(HEAD))
        good = head["what"] == "lthbench bundle" and isinstance(head["files"], dict)
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise BadInput(f"{path}: is no bundle: it has no bundle.json that can be read.") from error
    if not good or head.get("schema") != SCHEMA:
        raise BadInput(f"{path}: has schema {head.get('schema')}, this version reads schema {SCHEMA}.")
    if held != set(head["files"]):
        stray = sorted(held ^ set(head["files"]))
        raise Refused(f"{path}: {stray[0]} is {'not listed' if stray[0] in held else 'missing'}.")
    for name, content in files.items():
        if not _NAME.fullmatch(name):
            raise Refused(f"{path}: {name[:200]!a} is no file of a bundle.")
        if hashlib.sha256(content).hexdigest() != head["files"][name]:
            raise Refused(f"{path}: {name} was changed: its hash is another one.")
    for name in ("scores.csv", "run.json", "steps.json"):
        if name not in held:
            raise Refused(f"{path}: {name} is missing.")
    return files


def _of_folder(path: Path) -> str:
    """What a folder is that was given in place of a bundle, and which command is for it."""
    named = shlex.quote(str(path))
    if (path / "store.json").is_file():
        return f"a store, no bundle. Check it with: lthbench store verify --store {named}"
    if table.scores_file(path).is_file():
        return f"the folder of a report, no bundle. Make one of it with: lthbench submit {named}"
    return "a folder; a bundle is the zip file that lthbench submit writes."


def opened(path: Path, files: Mapping[str, bytes] | None = None) -> tuple[pd.DataFrame, RunFacts]:
    """The table of a bundle and its facts, as they stand in it. Raises BadInput or Refused."""
    parts = {"scores.csv", "run.json", *table.BESIDE}
    files = read(path, parts) if files is None else files
    with tempfile.TemporaryDirectory() as scratch:
        for name in parts & set(files):
            (Path(scratch) / name).write_bytes(files[name])
        try:
            return table.read(Path(scratch))
        except BadInput as error:
            raise Refused(f"{path}: {str(error).replace(scratch, '').lstrip('/')}") from error
