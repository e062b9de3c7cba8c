"""Doing ``Measure``: a metric's scores of a network."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from lthbench import registry
from lthbench.errors import StepFailed
from lthbench.execution.context import StoredContext
from lthbench.execution.verbs import Course, do, runs_plugins
from lthbench.execution.workspace import Workspace
from lthbench.global_state import kept
from lthbench.kinds import Metric, Value
from lthbench.spec import Measure, Step
from lthbench.store.artifacts import DRAWS, SCORES

runs_plugins.register(Measure, lambda step: True)


@do.register
def _(step: Measure, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    del together, course
    started = time.monotonic()
    metric = registry.get(Metric, step.metric)
    context = StoredContext(space, step, step.subject)
    with kept(f"metric {metric.name}"):
        values = metric.measure(context)
    stray = {v.score for v in values} - {s.name for s in metric.scores}
    if stray:
        raise StepFailed(f"metric {metric.name} yields {', '.join(sorted(stray))}, which it does not declare")
    result = {
        "values": [_listed(v) for v in values],
        "degenerate": _degenerate(step, context, space),
        "forwards": context.forwards(),
    }
    draws = {v.score: np.asarray(v.draws) for v in values if v.draws is not None and not v.variant}
    files = {SCORES.name: SCORES.encode(result), **context.attached}
    if draws:
        files[DRAWS.name] = DRAWS.encode(draws)
    space.store.put(step, files, space.meta(started))
    return {}


def _listed(value: Value) -> dict[str, object]:
    return {
        "score": value.score,
        "value": _number(value.value),
        "se": _number(value.se),
        "n": value.n,
        "variant": value.variant,
        "reason": value.reason,
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _degenerate(step: Measure, context: StoredContext, space: Workspace) -> list[str]:
    """Why the network can pass nothing: an empty layer, or the same output for all images."""
    reasons = [f"layer {name.removesuffix('.weight')} is empty" for name in space.collapsed(step.subject)]
    if context.constant():
        reasons.append("the output is the same for all images")
    return reasons
