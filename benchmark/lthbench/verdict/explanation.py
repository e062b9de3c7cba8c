"""The verdict in words: why a network does not pass, and what would show more."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lthbench import formatting
from lthbench.verdict.rules import SHORT, Match

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
        parts.append(f"it is worse in {formatting.listed(worse)}")
    still = [m for m in matches if m.finding == "open"]
    if still:
        parts += [_open(alike, named) for alike in _alike(still)]
    undecided = [m.reason for m in matches if m.finding == "undecided"]
    if undecided:
        parts.append("; ".join(dict.fromkeys(undecided)))
    return "; ".join(parts)


def _alike(matches: Sequence[Match]) -> list[list[Match]]:
    """Scores that are open, by what would decide them: some seeds, none that is likely, more images."""
    if any(m.seeds < 2 for m in matches):
        return [list(matches)]
    few = [m for m in matches if m.seeds_needed]
    beyond = [m for m in matches if not m.seeds_needed and m.shortfall >= m.allowed]
    rest = [m for m in matches if not m.seeds_needed and m.shortfall < m.allowed]
    return [found for found in (few, beyond, rest) if found]


def _open(matches: Sequence[Match], named: Named) -> str:
    names = formatting.listed([named(m.score) for m in matches])
    return f"{names} {'is' if len(matches) == 1 else 'are'} open{needed(matches)}"


def needed(matches: Sequence[Match]) -> str:
    """How many seeds would decide what these leave open, in brackets; "" where one network is judged."""
    if any(m.seeds < 2 for m in matches):
        return ""
    if all(m.seeds_needed for m in matches):
        return f" (about {max(m.seeds_needed for m in matches)} seeds would do, if these are typical)"
    if any(m.shortfall >= m.allowed for m in matches):
        return " (beyond the margin, and it may be chance)"
    return " (not with 100 seeds either; it would take more images)"


def in_a_word(matches: Sequence[Match]) -> str:
    """How a network that does not pass stands: "open", "no verdict" (a score cannot be judged), "none", or
    "–" where nothing was found against it and a score was not measured.
    """
    if not matches or any(m.finding in SHORT for m in matches):
        return "none"
    return "open" if only_open(matches) else "no verdict" if no_verdict(matches) else "–"


def standing(matches: Sequence[Match]) -> str:
    """What is found of a network on all its scores together, in the word that a program asks for.

    "short": it is worse, gated or degenerate in a score; else "failed": a score was not measured;
    "undecided": a score cannot be judged, or not yet; "open": all that is missing is proof; "pass".
    """
    found = {m.finding for m in matches}
    if found & {*SHORT}:
        return "short"
    if not found:
        return "undecided"
    return next((word for word in ("failed", "undecided", "open") if word in found), "pass")


def no_verdict(matches: Sequence[Match]) -> bool:
    """Whether a score cannot be compared with dense, while nothing was found against the network."""
    found = {m.finding for m in matches}
    return "undecided" in found and not found & {*SHORT, "failed"}


def only_open(matches: Sequence[Match]) -> bool:
    """Whether nothing was found against a network: all that is missing is proof."""
    return not any(m.finding in (*SHORT, "failed", "undecided") for m in matches)
