"""What is said of steps that failed: each reason once, with the metrics that failed for it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from lthbench.errors import cut_short

#: More metrics than these are counted and not named.
_NAMED = 3


def told(failed: Mapping[str, str], metrics: Mapping[str, str], known: Collection[str] = ()) -> list[str]:
    """A line for each reason why steps failed, by key; ``metrics`` are those of measures.

    A reason for which another step failed, or that is ``known`` from one, is that step's: what needs it has
    it, too. Of a long reason the beginning is told.
    """
    others = {reason for key, reason in failed.items() if key not in metrics}.union(known)
    by_reason: dict[str, list[str]] = {}
    for key, reason in failed.items():
        own = metrics[key] if key in metrics and reason not in others else ""
        by_reason.setdefault(reason, []).append(own)
    return [_line(cut_short(reason), sorted({*found} - {""})) for reason, found in by_reason.items()]


def _line(reason: str, metrics: list[str]) -> str:
    """A reason after the metrics that failed for it, unless it names the metric itself."""
    if not metrics or (len(metrics) == 1 and reason.startswith(f"metric {metrics[0]}")):
        return reason
    named = ", ".join(metrics) if len(metrics) <= _NAMED else str(len(metrics))
    if len(metrics) > _NAMED:
        return f"{named} metrics: {reason}"
    return f"metric{'s' if len(metrics) > 1 else ''} {named}: {reason}"
