"""A score that the verdict asks for."""

from __future__ import annotations

from dataclasses import dataclass

from lthbench.verdict.scale import Scale


@dataclass(frozen=True)
class Aspect:
    """A score that LTH-PASS asks for: which way is better, and how much worse it may be.

    ``slack`` is for the rule ``paper``; ``margin``, in the score's unit or where ``relative_margin`` as a
    share of the dense mean, for ``noninferior``, with the reason for it. ``spread_of`` names the score whose
    relative spread stands for this one's, where this one is relative to the dense parent and so does not vary
    over dense seeds: a ratio to it, whose margin is a share, too, as the parent's own is 1.
    """

    score: str
    title: str
    higher_is_better: bool
    slack: float = 0.0
    spread_of: str = ""
    margin: float = 0.0
    relative_margin: bool = False
    margin_reason: str = ""

    @property
    def relative(self) -> bool:
        """Whether logarithms are compared: its margin is a share, or it is itself a ratio."""
        return self.relative_margin or bool(self.spread_of)

    @property
    def scale(self) -> Scale:
        """The scale it is compared on, where all values can be placed on it."""
        return Scale(self.higher_is_better, self.relative)
