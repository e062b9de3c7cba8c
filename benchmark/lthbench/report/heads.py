"""What scores are called above columns, and in sentences."""

from __future__ import annotations

from lthbench import registry
from lthbench.kinds import Metric, Score

#: What a title says of the unit alone.
_DENSE_IS_1 = " (dense = 1)"


def plain(title: str) -> str:
    """A score's title without what it says of the unit."""
    return title.replace(_DENSE_IS_1, "")


def column(score: str, title: str) -> str:
    """What heads a score's column of a page."""
    known = _known(score)
    return (known and known.short) or plain(title)


def terminal(score: str, title: str) -> str:
    """What heads a score's column in a terminal: five letters at most."""
    known = _known(score)
    return (known and known.shortest) or column(score, title)[:5]


def _known(score: str) -> Score | None:
    """The record of a score, of whichever metric has it here."""
    return next((s for metric in registry.every(Metric) for s in metric.scores if s.name == score), None)
