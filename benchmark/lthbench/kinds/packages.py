"""The plug-ins that other packages offer by entry points, and the hashes of their files."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from lthbench.errors import BadInput
from lthbench.global_state import kept

digests: dict[str, str] = {}  # of modules, as they were imported


@cache
def entry_points(folder: str) -> dict[str, metadata.EntryPoint]:
    """What is offered of a kind of plug-in, named as its folder is here, by name."""
    return {p.name: p for p in metadata.entry_points(group=f"lthbench.{folder}")}


def offering(folder: str, name: str) -> list[str]:
    """The packages that offer a plug-in of a name, with their versions."""
    return sorted({named(p) for p in metadata.entry_points(group=f"lthbench.{folder}", name=name)})


def named(point: metadata.EntryPoint) -> str:
    """The package that an entry point is of, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def offers(folder: str, attribute: str) -> list[Any]:
    """What the packages offer of a kind, imported; what cannot be imported is passed over."""
    found = []
    for point in entry_points(folder).values():
        try:
            with kept(named(point)):
                loaded = point.load()
            digest(point)
        except Exception:  # whoever asks for it by name is told
            continue
        found.append(getattr(loaded, attribute, loaded))
    return found


def digest(point: metadata.EntryPoint) -> str:
    """A hash of the file that an entry point names, as it was when it was imported here. Raises BadInput."""
    if point.module not in digests:
        if point.module not in sys.modules:
            raise BadInput(f"{named(point)}: {point.module} was not imported, so its file has no hash.")
        origin = getattr(sys.modules[point.module], "__file__", None)
        content = Path(origin).read_bytes() if origin else point.value.encode()
        digests[point.module] = hashlib.sha256(content).hexdigest()
    return digests[point.module]
