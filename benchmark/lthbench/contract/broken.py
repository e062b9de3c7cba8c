"""How a check says that a promise is not kept."""

from __future__ import annotations


class Broken(AssertionError):
    """A promise is not kept; the message says what was found instead."""


class Skipped(Exception):
    """A promise cannot be checked here; the message says why."""


def demand(kept: bool, said: str) -> None:
    """Raise Broken unless a promise is kept."""
    if not kept:
        raise Broken(said)
