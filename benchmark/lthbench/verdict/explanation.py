"""The verdict in words: why a network does not pass, and what would show more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lthbench import formatting
from lthbench.verdict.rules import Match

Named = Callable[[str], str]


def why(matches: Sequence[Match], named: Named) -> str:
    """Why not all of these scores of one network match; ``named`` gives a score's title. "" if all do."""
    parts = []
    for finding, said in (
        ("degenerate", "it is degenerate"),
        ("failed", "it failed"),
        ("gated", "it lost its accuracy"),
    ):
        reasons = [m.reason for m in matches if m.finding == finding]
        if reasons:
            parts.append(f"{said}: {'; '.join(dict.fromkeys(reasons))}")
    worse = [named(m.score) for m in matches if m.finding == "worse"]
    if worse:
        parts.append(f"it falls short on {formatting.listed(worse)}")
    unshown = [m for m in matches if m.finding == "not shown"]
    if unshown:
        names = formatting.listed([named(m.score) for m in unshown])
        are = "is" if len(unshown) == 1 else "are"
        parts.append(f"{names} {are} not shown to hold ({needed(unshown)})")
    undecided = [m.reason for m in matches if m.finding == "undecided"]
    if undecided:
        parts.append("; ".join(dict.fromkeys(undecided)))
    return "; ".join(parts)


def needed(matches: Sequence[Match]) -> str:
    """How many seeds would show what these do not."""
    if all(m.seeds_needed for m in matches):
        return f"about {max(m.seeds_needed for m in matches)} seeds would do, if these are typical"
    if any(m.shortfall >= m.allowed for m in matches):
        return "seeds and images vary too much to say"
    return "not with 100 seeds either; it would take more images"


def only_unshown(matches: Sequence[Match]) -> bool:
    """Whether nothing was found against a network: all that is missing is proof."""
    return all(m.finding in ("matches", "not shown") for m in matches)
