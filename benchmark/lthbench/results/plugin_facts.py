"""The plug-ins behind a table that do not ship: where they came from, and which code it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from lthbench import formatting, registry
from lthbench.planning.request import Request
from lthbench.planning.request_record import KINDS, from_here


@dataclass(frozen=True)
class PluginFacts:
    """A plug-in of a user's own file, or of an installed package.

    ``kind`` is a key of ``planning.request_record.KINDS``, ``source`` the file, or the package with its
    version, and ``digest`` the SHA-256 of the file that was imported.
    """

    kind: str
    name: str
    source: str
    digest: str

    @property
    def code(self) -> str:
        """Which code it is: the name of its file, wherever that lay, or its package, and the hash."""
        return f"{PurePath(self.source).name}, hash {self.digest[:12]}"


def plugins(request: Request) -> tuple[PluginFacts, ...]:
    """The plug-ins of a request that do not ship."""
    found = []
    for kind, names in request.named().items():
        for name in names:
            origin = registry.origin(KINDS[kind], name)
            if origin is not None:
                source = formatting.in_line(from_here(origin.source))  # run.json has names of one line alone
                found.append(PluginFacts(kind, name, source, origin.digest))
    return tuple(found)


def other_code(several: Sequence[Iterable[PluginFacts]]) -> str:
    """What is said of plug-ins whose code differs between tables; "" where there is none."""
    codes: dict[str, set[str]] = {}
    for plugin in (p for one in several for p in one):
        codes.setdefault(f"{plugin.kind} {plugin.name}", set()).add(plugin.code)
    said = [f"{what} ({'; '.join(sorted(code))})" for what, code in codes.items() if len(code) > 1]
    if not said:
        return ""
    return f" They were made with other code of {formatting.listed(said)}."
