"""What share of a GPU a job takes, from what such steps took before. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lthbench.planning.jobs import Job
from lthbench.spec import Init, Step, network_of

#: What a process takes on a GPU beside its tensors, in bytes, and how much more than measured is set aside.
_CONTEXT, _MARGIN = 700e6, 1.2
#: Shares are whole twentieths.
_PARTS = 20


def shares(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The share of a GPU's memory by kind of step and architecture: the greatest of what the log has.

    A share is that of the smallest GPU in the log: which one a job will get is not known. What networks took
    together says nothing of one.
    """
    most: dict[str, int] = {}
    smallest = math.inf
    for event in events:
        taken, total = event.get("memory"), event.get("device_memory")
        alone = event.get("status") == "ok" and event.get("stack", 1) == 1
        if alone and isinstance(taken, int) and isinstance(total, int) and total > 0:
            kind = f"{event.get('step')} {event.get('network')}"
            most[kind] = max(taken, most.get(kind, 0))
            smallest = min(smallest, total)
    parts = {
        kind: math.ceil(_PARTS * _MARGIN * (taken + _CONTEXT) / smallest) for kind, taken in most.items()
    }
    return {kind: min(1.0, part / _PARTS) for kind, part in parts.items()}


def share(job: Job, measured: Mapping[str, float]) -> float:
    """The share for a job: the greatest of its steps'; a whole GPU for what was never measured."""
    counted = [step for step in job.steps if not isinstance(step, Init)]
    return max((measured.get(_kind(step), 1.0) for step in counted), default=1.0 / _PARTS)


def _kind(step: Step) -> str:
    return f"{type(step).__name__} {network_of(step).architecture}"
