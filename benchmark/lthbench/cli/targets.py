"""Where commands write: what cannot be written, or must not be replaced, is refused before the work."""

from __future__ import annotations

import os
from pathlib import Path

from lthbench.errors import BadInput


def check_folder(option: str, folder: Path) -> None:
    """Raise BadInput for a folder that cannot be made or written, before there is something to write."""
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{option} {folder}: is a file; give a folder.")
    lost = next((p for p in (folder, *folder.absolute().parents) if p.is_symlink() and not p.exists()), None)
    if lost is not None:
        raise BadInput(f"{option} {folder}: cannot be made; {lost} is a link to what is not there.")
    near = next(p for p in (folder, *folder.absolute().parents) if p.exists())
    if not near.is_dir():
        raise BadInput(f"{option} {folder}: cannot be made; {near} is a file.")
    if not os.access(near, os.W_OK | os.X_OK):
        raise BadInput(f"{option} {folder}: cannot be written; {near} is read-only.")


def check_file(option: str, path: Path, *, appended: bool = False) -> None:
    """Raise BadInput for a file that cannot be made or written, before there is something to write.

    What is written takes the place of what is there, unless it is ``appended``: a device, a pipe or a link to
    what is not there would be gone.
    """
    if path.is_dir():
        raise BadInput(f"{option} {path}: is a folder; give a file.")
    if path.is_symlink() and not path.exists():
        raise BadInput(f"{option} {path}: is a link to what is not there; give a file.")
    if path.exists() and not path.is_file() and not appended:
        raise BadInput(f"{option} {path}: is no file but a device or a pipe; give a file.")
    if not path.exists():
        check_folder(option, path.parent)
    elif not os.access(path, os.W_OK):
        raise BadInput(f"{option} {path}: is read-only.")


def check_report(folder: Path, force: bool) -> None:
    """Raise BadInput for a folder of a report that cannot be written, or in which files of others are."""
    from lthbench.results import overwriting

    check_folder("--report", folder)
    overwriting.check([folder / name for name in overwriting.REPORT], force)
