"""Files that are in the way of those that are to be written: what others wrote is not replaced in silence."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from lthbench import textfiles
from lthbench.errors import BadInput

if TYPE_CHECKING:
    import pandas as pd

#: What a run writes into the folder of its report.
REPORT = (
    "report.html",
    "report.md",
    "scores.csv",
    "run.json",
    "pictures.json",
    "units.csv",
    "latency.csv",
    "scores.parquet",
)
#: What a command writes one file of, and what it is called.
KINDS = {
    "bundle": "a bundle",
    "store": "an exported store",
    "baseline": "a baseline",
    "calibration": "a calibration",
    "data": "arrays of a data set",
}
_MEMBERS = {"bundle": "bundle.json", "store": "store.json", "data": "images.npy"}
#: Files that say of a folder, and of those in it, who wrote it.
_SIGNED = ("run.json", "index.html", "report.html", "export.json", "bundle.json")
#: What our pages end with, and what our tables begin with.
_PAGE, _TABLE = b"Made with lthbench ", b"task,method,sparsity,seed,"


def check(paths: Iterable[Path], force: bool = False) -> None:
    """Raise BadInput, naming it, for a file that is there and that lthbench did not write.

    A page, a table, a run.json, an export.json, a bundle and an exported store are known by their content;
    any other file by one of those that lies beside it, or in the folder above.
    """
    if force:
        return
    for path in paths:
        if path.is_file() and not _ours(path):
            raise BadInput(
                f"{path}: is there, and lthbench did not write it. Name another place, or replace it with "
                "--force."
            )


def check_further(folder: Path, command: str, table: pd.DataFrame, force: bool = False) -> None:
    """Raise BadInput where a table that is not finished would replace one of the same command that has more.

    The run may have ended while what it had stored was collected. Or the report is of other versions of what
    measures and trains, so that its results have other keys: they are told from one another.
    """
    from lthbench.results import reading, so_far

    found = None if force else so_far.of_table(table)
    if found is None:
        return
    try:
        there, facts = reading.read(folder)
    except BadInput:  # it is another's to say what that is
        return
    other = so_far.of_table(there)
    if facts.command != command or (other is not None and other.scores <= found.scores):
        return
    said = f"{folder}: has the report of this command {'with more scores' if other else 'finished'}, which "
    said += "one that lacks scores does not replace: "
    ours, theirs = set(table["step"]), set(there["step"])
    if ours <= theirs or theirs <= ours:  # the same, or of other looks at the same
        said += "its run may have gone on meanwhile. Look at that, or write this one elsewhere "
        said += "(--report DIR)."
    else:
        said += (
            f"{len(theirs - ours):,} of its {len(theirs):,} measures are of other versions than those here "
            "(lthbench plan says which are made again, and why). Write this one elsewhere (--report DIR), or "
            "replace that with --force."
        )
    raise BadInput(said)


def check_one(path: Path, kind: str, force: bool = False) -> None:
    """Raise BadInput for a file that is there and is none of its kind: one of ``KINDS``.

    Not one of another kind either: a report would lose its run.json to a bundle.
    """
    if not force and path.is_file() and not _is(kind, path):
        raise BadInput(
            f"{path}: is there, and lthbench did not write it as {KINDS[kind]}. Name another place, or "
            "replace it with --force."
        )


def _is(kind: str, path: Path) -> bool:
    """Whether a file says that it is of a kind."""
    try:
        if kind in _MEMBERS:
            with zipfile.ZipFile(path) as archive:
                return _MEMBERS[kind] in archive.namelist()
        found = textfiles.values(path.read_bytes())
        return isinstance(found, dict) and found.get("what") == f"lthbench {kind}"
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile):
        return False


def _ours(path: Path) -> bool:
    """Whether a file says that lthbench wrote it, or one that speaks for its folder does."""
    own = _signed(path)
    if own is not None:
        return own
    beside = (folder / name for folder in (path.parent, path.parent.parent) for name in _SIGNED)
    return any(_signed(other) for other in beside)


def _signed(path: Path) -> bool | None:
    """Whether lthbench wrote a file that is known by its content; None for one that is not."""
    try:
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                return not {"bundle.json", "store.json"}.isdisjoint(archive.namelist())
        if path.suffix == ".html":
            return _PAGE in path.read_bytes()[-2000:]
        if path.name == "scores.csv":
            with path.open("rb") as opened:
                return opened.read(len(_TABLE)) == _TABLE
        if path.name in ("run.json", "export.json"):
            found = textfiles.values(path.read_bytes())
            parts = {"schema", "command"} if path.name == "run.json" else {"rows", "environment"}
            return isinstance(found, dict) and parts <= found.keys()
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile):
        return False
    return None
