"""Leases on an object store: objects that their holders write anew with a higher count at each beat."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any, final

from lthbench.errors import Unwritable
from lthbench.store import leases
from lthbench.store.leases import BEAT, STALE, Leases, ended, mine
from lthbench.store.objects import Objects


@final
class ObjectLeases(Leases):
    """The objects below ``leases``.

    No clock is asked: a lease is stale once who waits has seen the same count for long enough. Where the
    object store cannot create an object only if there is none, two may hold the same, and both do its work.
    """

    def __init__(self, objects: Objects, beat: float = BEAT, stale: float = STALE):
        self.beat, self.stale = beat, stale
        self._objects = objects
        self._counts: dict[str, tuple[Any, float]] = {}

    def place(self, name: str) -> str:
        """The object of the lease of this name."""
        return f"leases/{leases.file_name(name)}"

    def others(self) -> list[dict[str, Any]]:
        """What is in the leases of those who may live."""
        found = []
        for name in sorted(path.rpartition("/")[2] for path in self._objects.below("leases")):
            place = f"leases/{name}"
            facts = self._facts_in(place)
            if facts is not None and self._old(place, facts):
                self._objects.delete(place)
            elif facts is not None:
                found.append(facts)
        return found

    def taken(self, name: str) -> bool:
        """Whether somebody else holds it."""
        facts = self._facts_in(self.place(name))
        return facts is not None and not mine(facts) and not self._old(self.place(name), facts)

    def _take(self, name: str, written: dict[str, Any]) -> bool:
        place = self.place(name)
        for _ in range(2):
            if self._objects.create(place, json.dumps(written).encode()):
                return True
            held = self._facts_in(place)
            if held is not None:
                if not self._old(place, held):
                    return False
                self._objects.delete(place)
        return False

    def _release(self, name: str, mark: str) -> bool:
        try:
            facts = self._facts_in(self.place(name))
            if facts is not None and facts.get("mark") == mark:
                self._objects.delete(self.place(name))
        except Unwritable:
            return False
        return True

    def touch(self, name: str, mark: str) -> bool:
        """Count one beat more. False where another has taken over, who believes that the holder is gone."""
        with contextlib.suppress(Unwritable):
            facts = self._facts_in(self.place(name))
            if facts is None or facts.get("mark") != mark:
                return False
            count = facts.get("beats", 0)
            changed = {**facts, "beats": count + 1 if isinstance(count, int) else 0}
            self._objects.put(self.place(name), json.dumps(changed).encode())
        return True

    def _old(self, place: str, facts: dict[str, Any]) -> bool:
        if ended(facts):
            return True
        state, now = (facts.get("mark"), facts.get("beats")), time.monotonic()
        seen, since = self._counts.setdefault(place, (state, now))
        if seen != state:
            self._counts[place] = (state, now)
            return False
        return now - since > self.stale

    def _facts_in(self, place: str) -> dict[str, Any] | None:
        content = self._objects.read(place)
        return None if content is None else leases.parsed(content)
