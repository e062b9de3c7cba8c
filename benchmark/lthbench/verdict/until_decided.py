"""Which networks get more seeds, where seeds are added until all is decided, and why a run ended."""

from __future__ import annotations

from collections.abc import Sequence

from lthbench import formatting
from lthbench.verdict.rules import SHORT, Match, Verdict

#: A score is given up where the most seeds would decide it with less than this chance.
FUTILE = 0.1


def unsettled(match: Match) -> bool:
    """Whether more seeds are worth while for one score: it may yet be shown to match, or be found worse.

    What is found worse goes on being looked at while it may yet be shown to be worse by less than the margin.
    """
    if match.finding not in ("open", "worse"):
        return False
    return match.chance >= FUTILE or (match.finding == "open" and match.chance_worse >= FUTILE)


def short(match: Match) -> bool:
    """Whether a score is found worse, or not measured for a reason, and more seeds would not change that."""
    return match.finding in (*SHORT, "failed") and not unsettled(match)


def undecided(matches: Sequence[Match]) -> bool:
    """Whether more seeds are worth while for a network, of which all scores are given.

    It is decided once it matches on every score, or falls short on one: then no other score can make it pass.
    """
    return any(map(unsettled, matches)) and not any(map(short, matches))


def open_networks(verdicts: Sequence[Verdict]) -> dict[str, tuple[float, ...]]:
    """The sparsities, by method, at which a network is undecided."""
    return {
        verdict.method: tuple(s for s in verdict.sparsities if undecided(verdict.at(s)))
        for verdict in verdicts
    }


def why_ended(verdicts: Sequence[Verdict], seeds: int, most: int) -> str:
    """Why a run has added no more seeds, in a sentence."""
    networks = [verdict.at(s) for verdict in verdicts for s in verdict.sparsities]
    left = [n for n in networks if not any(map(short, n)) and not all(m.matches for m in n)]
    looked = f"{formatting.counted(seeds, 'seed', 'seeds')}, of {most} at most"
    if not left:
        return (
            f"All is decided, with {looked}: each network matches on every score, or falls short on one, "
            "whatever the others would show."
        )
    many = formatting.counted(len(left), "network is", "networks are")
    if seeds >= most:
        return f"The most seeds, {most}, are there: {many} still open."
    return (
        f"No more seeds, after {looked}: {many} still open, and with {most} the chance to decide any of "
        f"their scores is below {100 * FUTILE:.0f} %."
    )
