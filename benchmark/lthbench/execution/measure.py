"""Doing ``Measure``: a metric's scores of a network."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import numpy as np

from lthbench import registry
from lthbench.errors import Damaged, StepFailed
from lthbench.execution.context import StoredContext
from lthbench.execution.verbs import Course, do, runs_plugins
from lthbench.execution.workspace import Workspace
from lthbench.global_state import kept
from lthbench.kinds import Metric, Value
from lthbench.kinds.scores import left_out
from lthbench.results import unit_rows
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
    check(values, metric)
    if metric.units is not None and metric.units.name in context.attached:
        _check_units(metric, context.attached[metric.units.name])
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


def _check_units(metric: Metric, content: bytes) -> None:
    """Raise StepFailed for a file of units that reports could not read."""
    try:
        unit_rows.parsed(content, metric.name, f"metric {metric.name}")
    except Damaged as error:
        raise StepFailed(str(error).removesuffix(".")) from error


def _listed(value: Value) -> dict[str, object]:
    return {
        "score": value.score,
        "value": _number(value.value),
        "se": _number(value.se),
        "n": int(value.n),
        "variant": value.variant,
        "reason": value.reason,
    }


def check(values: Sequence[Value], metric: Metric) -> None:
    """Raise StepFailed for what a metric must not yield: it would not fit into a table, or mislead there."""
    stray = {v.score for v in values} - {s.name for s in metric.scores}
    if stray:
        raise StepFailed(f"metric {metric.name} yields {', '.join(sorted(stray))}, which it does not declare")
    places: set[tuple[str, str]] = set()
    for value in values:
        what = f"metric {metric.name}: {value.score}"
        if not isinstance(value.n, int | np.integer) or not 0 <= value.n < 2**63:
            raise StepFailed(f"{what} is of {str(value.n)[:40]} images; n must be a whole number, 0 or more")
        if value.n == 0 and math.isfinite(value.value):
            raise StepFailed(f"{what} is {value.value:g} and of no images; n must be 1 or more")
        if not isinstance(value.variant, str) or not isinstance(value.reason, str):
            raise StepFailed(f"{what}: variant and reason must be texts")
        if value.draws is not None and np.ndim(value.draws) != 1:
            shape = list(np.shape(value.draws))
            raise StepFailed(f"{what}: draws must be one list of numbers, not of shape {shape}")
        if (value.score, value.variant) in places:
            raise StepFailed(f"{what} {value.variant}".rstrip() + " is yielded twice")
        places.add((value.score, value.variant))
    lacking = left_out(metric, places)
    if lacking:
        raise StepFailed(
            f"metric {metric.name} yields no {', '.join(lacking)}; one that is undefined has the value NaN"
        )


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _degenerate(step: Measure, context: StoredContext, space: Workspace) -> list[str]:
    """Why the network can pass nothing: an empty layer, or the same output for all images."""
    reasons = [f"layer {name.removesuffix('.weight')} is empty" for name in space.collapsed(step.subject)]
    if context.constant():
        reasons.append("the output is the same for all images")
    return reasons
