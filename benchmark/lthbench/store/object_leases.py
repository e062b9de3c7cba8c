"""Leases on an object store."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

from lthbench.errors import Unwritable
from lthbench.store.leases import Leases
from lthbench.store.remote import Mirror


class _Leases(Leases):
    """Leases as objects, which their holders write anew with a higher count at each beat.

    No clock is asked: a lease is stale once who waits has seen the same count for long enough. Where the
    object store cannot create an object only if there is none, two may hold the same, and both do its work.
    """

    def __init__(self, store: Mirror, *how: float):
        super().__init__(store, *how)
        self._objects = store.objects
        self._counts: dict[str, tuple[Any, float]] = {}

    def others(self) -> list[dict[str, Any]]:
        """What the holders of leases wrote into them: host, pid, what."""
        names = sorted(path.rpartition("/")[2] for path in self._objects.below("leases"))
        found = [self._facts_in(f"leases/{name}") for name in names]
        return [facts for facts in found if facts is not None and not self._ended(facts)]

    def taken(self, name: str) -> bool:
        """Whether somebody else holds it."""
        facts = self._facts_in(self._object(name))
        return facts is not None and not self._mine(facts) and not self._old(name, facts)

    def take(self, name: str) -> str | None:
        """Take a lease: what tells it from others, or None where somebody holds it. Raises Unwritable."""
        facts, place = self._facts(name), self._object(name)
        for _ in range(2):
            if self._objects.create(place, json.dumps(facts).encode()):
                return str(facts["mark"])
            held = self._facts_in(place)
            if held is not None:
                if not self._old(name, held):
                    return None
                self._objects.delete(place)
        return None

    def release(self, name: str, mark: str) -> None:
        """Give a lease back, if it is still this one."""
        with contextlib.suppress(Unwritable):
            facts = self._facts_in(self._object(name))
            if facts is not None and facts.get("mark") == mark:
                self._objects.delete(self._object(name))

    def _touch(self, name: str, mark: str) -> bool:
        with contextlib.suppress(Unwritable):
            facts = self._facts_in(self._object(name))
            if facts is None or facts.get("mark") != mark:
                return False
            count = facts.get("beats", 0)
            changed = {**facts, "beats": count + 1 if isinstance(count, int) else 0}
            self._objects.put(self._object(name), json.dumps(changed).encode())
        return True

    def _old(self, name: str, facts: dict[str, Any]) -> bool:
        if self._ended(facts):
            return True
        state, now = (facts.get("mark"), facts.get("beats")), time.monotonic()
        seen, since = self._counts.setdefault(name, (state, now))
        if seen != state:
            self._counts[name] = (state, now)
            return False
        return now - since > self.stale

    def _object(self, name: str) -> str:
        return f"leases/{self.path(name).name}"

    def _facts_in(self, place: str) -> dict[str, Any] | None:
        content = self._objects.read(place)
        try:
            facts = {} if content is None else json.loads(content)
        except (ValueError, RecursionError):
            facts = {}
        return None if content is None else facts if isinstance(facts, dict) else {}
