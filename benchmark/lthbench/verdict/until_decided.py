"""Which networks get more seeds, where seeds are added until all is decided, and why a run ended."""

from __future__ import annotations

from collections.abc import Sequence

from lthbench import formatting
from lthbench.verdict.rules import Match, Verdict

#: A score is given up where the most seeds would decide it with less than this chance.
FUTILE = 0.1


def unsettled(match: Match) -> bool:
    """Whether more seeds are worth while for one score: it may yet be shown to match, or be found worse.

    What is found worse goes on being looked at while it may yet be shown to be worse by less than the margin.
    """
    if match.finding not in ("open", "worse"):
        return False
    return match.chance >= FUTILE or (match.finding == "open" and match.chance_worse >= FUTILE)


def open_networks(verdicts: Sequence[Verdict]) -> dict[str, tuple[float, ...]]:
    """The sparsities, by method, at which a score is unsettled."""
    return {
        verdict.method: tuple(s for s in verdict.sparsities if any(map(unsettled, verdict.at(s))))
        for verdict in verdicts
    }


def why_ended(verdicts: Sequence[Verdict], seeds: int, most: int) -> str:
    """Why a run has added no more seeds, in a sentence."""
    scores = [match for verdict in verdicts for match in verdict.matches]
    left = [match for match in scores if match.finding == "open"]
    looked = f"{formatting.counted(seeds, 'seed', 'seeds')}, of {most} at most"
    if not left:
        return f"All is decided, with {looked}."
    many = formatting.counted(len(left), "score is", "scores are")
    if any(map(unsettled, scores)):
        return f"The most seeds, {most}, are there: {many} still open."
    return (
        f"No more seeds, after {looked}: {many} still open, and with {most} the chance to decide any of them "
        f"is below {100 * FUTILE:.0f} %."
    )
