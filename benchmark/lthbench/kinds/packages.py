"""The plug-ins that other packages offer by entry points, and the hashes of their files."""

from __future__ import annotations

import hashlib
import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from lthbench.errors import BadInput
from lthbench.formatting import folded
from lthbench.global_state import kept
from lthbench.kinds.scores import Metric

digests: dict[str, str] = {}  # of modules, as they were imported


@cache
def entry_points(folder: str) -> dict[str, metadata.EntryPoint]:
    """What is offered of a kind of plug-in, named as its folder is here, by name."""
    return {p.name: p for p in metadata.entry_points(group=f"lthbench.{folder}")}


def offering(folder: str, name: str) -> str:
    """The package that offers a plug-in of a name, with its version. Raises BadInput for several."""
    alike = [p for p in metadata.entry_points(group=f"lthbench.{folder}") if folded(p.name) == folded(name)]
    found = sorted({named(p) if p.name == name else f"{named(p)} ({p.name})" for p in alike})
    if len(found) > 1:
        noun = folder.removesuffix("s")
        raise BadInput(f"{' and '.join(found)} both offer a {noun} {name}; uninstall one of them.")
    return found[0]


def named(point: metadata.EntryPoint) -> str:
    """The package that an entry point is of, with its version."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def scores() -> set[str]:
    """The names of the scores of packages' metrics, each of which may take its spread of another's.

    The metrics are imported; what cannot be imported is passed over.
    """
    found = set()
    for point in entry_points("metrics").values():
        try:
            with kept(named(point)):
                loaded = point.load()
            digest(point)
        except Exception:  # whoever asks for it by name is told
            continue
        metric = getattr(loaded, "METRIC", loaded)
        found |= {score.name for score in metric.scores} if isinstance(metric, Metric) else set()
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
