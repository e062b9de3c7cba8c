"""Doing ``Measure``: a metric's scores of a network."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence

import numpy as np

from lthbench import registry
from lthbench.errors import Damaged, StepFailed
from lthbench.execution.context import StoredContext
from lthbench.execution.verbs import Course, do, runs_plugins
from lthbench.execution.workspace import Workspace
from lthbench.formatting import is_formula, one_line, reason_line
from lthbench.global_state import kept
from lthbench.kinds import Metric, Score, Value
from lthbench.kinds.scores import ROUNDING, left_out
from lthbench.results import unit_rows
from lthbench.scoring import RESAMPLES
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
        values = as_list(metric.measure(context), metric)
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
        "reason": reason_line(value.reason),
    }


def as_list(made: object, metric: Metric) -> list[Value]:
    """What a metric's ``measure`` gave, which may be a generator. Raises StepFailed for another type."""
    who = f"metric {metric.name}: measure must return a list of Value"
    if not isinstance(made, Iterable):
        raise StepFailed(f"{who}, not {type(made).__name__}")
    values = list(made)
    stray = [type(v).__name__ for v in values if not isinstance(v, Value)]
    if stray:
        raise StepFailed(f"{who}, not of {stray[0]}")
    return values


def check(values: Sequence[Value], metric: Metric) -> None:
    """Raise StepFailed for what a metric must not yield: it would not fit into a table, or mislead there."""
    declared = {s.name: s for s in metric.scores}
    stray = {v.score for v in values} - declared.keys()
    if stray:
        raise StepFailed(f"metric {metric.name} yields {', '.join(sorted(stray))}, which it does not declare")
    places: set[tuple[str, str]] = set()
    for value in values:
        what = f"metric {metric.name}: {value.score}"
        if not isinstance(value.n, int | np.integer) or not 0 <= value.n < 2**63:
            raise StepFailed(f"{what} is of {str(value.n)[:40]} images; n must be a whole number, 0 or more")
        _check_numbers(value, declared[value.score], what)
        if not isinstance(value.variant, str) or not isinstance(value.reason, str):
            raise StepFailed(f"{what}: variant and reason must be texts")
        if not one_line(value.variant):
            raise StepFailed(f"{what}: variant {value.variant[:100]!a} must be one line of plain characters")
        computed = next(filter(is_formula, (value.variant, value.reason)), None)
        if computed is not None:
            raise StepFailed(f"{what}: {computed[:100]!a} is a formula to spreadsheets; begin it otherwise")
        if (value.score, value.variant) in places:
            raise StepFailed(f"{what} {value.variant}".rstrip() + " is yielded twice")
        places.add((value.score, value.variant))
    lacking = left_out(metric, places)
    if lacking:
        raise StepFailed(
            f"metric {metric.name} yields no {', '.join(lacking)}; one that is undefined has the value NaN"
        )


def _check_numbers(value: Value, score: Score, what: str) -> None:
    """Raise StepFailed for a value outside of its range, or an error or draws that cannot be.

    The rule of ranges is that of tables (``results.validation``), which would refuse the whole report.
    """
    try:
        known, found, error = math.isfinite(value.value), float(value.value), float(value.se)
        _number(value.se)
    except TypeError as failure:
        raise StepFailed(f"{what}: value and se must be numbers; NaN where there is none") from failure
    if known and value.n == 0:
        raise StepFailed(f"{what} is {found:g} and of no images; n must be 1 or more")
    if known and not score.low - ROUNDING <= found <= score.high + ROUNDING:
        raise StepFailed(f"{what} is {found:g}; it is declared to lie from {score.low:g} to {score.high:g}")
    if error < 0.0:
        raise StepFailed(f"{what} has the standard error {error:g}; it must be 0 or more, or NaN")
    if value.draws is None:
        return
    shape = list(np.shape(value.draws))
    if shape != [RESAMPLES]:
        wanted = f"draws must be one list of {RESAMPLES} numbers, one of each resample"
        raise StepFailed(f"{what}: {wanted}; they are of shape {shape}")
    draws = np.asarray(value.draws)
    if draws.dtype.kind not in "fiub" or (known and not np.isfinite(draws).all()):
        raise StepFailed(f"{what}: draws must be finite numbers; None where a resample has no value")


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _degenerate(step: Measure, context: StoredContext, space: Workspace) -> list[str]:
    """Why the network can pass nothing: an empty layer, or the same output for all images."""
    reasons = [f"layer {name.removesuffix('.weight')} is empty" for name in space.collapsed(step.subject)]
    if context.constant():
        reasons.append("the output is the same for all images")
    return reasons
