"""Where plug-ins come from that do not ship, and what is said of one that cannot be imported."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

from lthbench.errors import BadInput, StepFailed


class Origin(NamedTuple):
    """Where a plug-in comes from: its file, or its package with the version; and a hash of its code."""

    source: str
    digest: str


class OwnFile(NamedTuple):
    """A user's own file: the kind of plug-in taken from it, its path, and a hash of it as it was imported."""

    kind: str
    path: str
    digest: str


def module_name(path: Path) -> str:
    """What the module of a user's own file is called."""
    raw = str(path).encode(errors="surrogateescape")  # paths need not be UTF-8
    return f"lthbench_user_{hashlib.sha256(raw).hexdigest()[:12]}"


def said(error: Exception) -> str:
    """Why a file cannot be imported: what is meant for the user as it is, else with its kind."""
    ours = isinstance(error, StepFailed | BadInput)
    return str(error) if ours else f"{type(error).__name__}: {error}"
