"""A store as it was at one look, for a report beside a run that goes on writing into it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

from lthbench.errors import Damaged
from lthbench.spec import Step
from lthbench.store.base import Store


@final
class Snapshot:
    """The results in a store but for steps that were ``absent``: these may have been stored since.

    So all parts of a report are of the same moment.
    """

    def __init__(self, store: Store, absent: Iterable[Step]):
        self._store, self._absent = store, {step.key for step in absent}

    def has(self, step: Step) -> bool:
        """Whether the result was there, and still is."""
        return step.key not in self._absent and self._store.has(step)

    def files(self, step: Step) -> list[str]:
        """The names of its files. Raises Damaged where it was absent."""
        return self._present(step).files(step)

    def read(self, step: Step, name: str) -> bytes:
        """The bytes of one of them. Raises Damaged."""
        return self._present(step).read(step, name)

    def meta(self, step: Step) -> dict[str, Any]:
        """The facts recorded with it. Raises Damaged."""
        return self._present(step).meta(step)

    def _present(self, step: Step) -> Store:
        if step.key in self._absent:
            raise Damaged(f"{self._store.path_of(step.key)}: is not there")
        return self._store
