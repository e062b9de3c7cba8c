"""What is said of steps that failed: each reason once, with the metrics that failed for it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lthbench.errors import cut_short
from lthbench.formatting import reason_line
from lthbench.planning.jobs import group
from lthbench.spec import Step

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


def logged(
    todo: Sequence[Step], events: Iterable[Mapping[str, Any]], at_work: Collection[str] = ()
) -> dict[str, str]:
    """Why steps that are not stored failed when they were tried last, by key; needs stand before needers.

    ``events`` are those of a store's log. What needs a step that failed fails with it, as in a run. The
    jobs that runs are ``at_work`` on, by name, try their steps again: these have not failed, nor what needs
    them.
    """
    last = {event["key"]: event for event in events if "key" in event}
    if not any(last.get(step.key, {}).get("status") == "failed" for step in todo):
        return {}
    again = {step.key for job in group(todo).values() if job.name in at_work for step in job.steps}
    found: dict[str, str] = {}
    for step in todo:
        if step.key in again or any(need.key in again for need in step.needs()):
            again.add(step.key)
            continue
        event = last.get(step.key, {})
        lost = next((found[need.key] for need in step.needs() if need.key in found), "")
        if lost or event.get("status") == "failed":
            found[step.key] = lost or reason_line(str(event.get("reason", ""))) or "no reason was given"
    return found


def _line(reason: str, metrics: list[str]) -> str:
    """A reason after the metrics that failed for it, unless it names the metric itself."""
    if not metrics or (len(metrics) == 1 and reason.startswith(f"metric {metrics[0]}")):
        return reason
    named = ", ".join(metrics) if len(metrics) <= _NAMED else str(len(metrics))
    if len(metrics) > _NAMED:
        return f"{named} metrics: {reason}"
    return f"metric{'s' if len(metrics) > 1 else ''} {named}: {reason}"
