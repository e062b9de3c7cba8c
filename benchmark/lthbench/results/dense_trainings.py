"""A calibration out of what a store holds of many dense trainings of a task, or out of a report of them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lthbench.errors import BadInput
from lthbench.results import dense_parents
from lthbench.results.rows import draws_of
from lthbench.results.run_facts import RunFacts
from lthbench.results.score_order import aspects
from lthbench.verdict.calibrating import calibrate
from lthbench.verdict.calibration import Calibration

if TYPE_CHECKING:
    import pandas as pd

    from lthbench.planning.plan import Plan
    from lthbench.planning.request import Request
    from lthbench.store import ResultReader


def judged_alone(request: Request) -> Request:
    """The same request with no methods, and of its metrics those that the verdict asks for."""
    chosen = [n for n in request.metrics if aspects((n,), request.classes)]
    return replace(request, methods=(), densities=(), metrics=tuple(chosen))


def calibration(table: pd.DataFrame, facts: RunFacts, pairs: dict[str, float] | None = None) -> Calibration:
    """The calibration out of a table's dense networks.

    ``pairs`` are errors that ``pair_errors`` found; without them they are those of ``bounded_pair_errors``.
    Raises BadInput where they are no trainings of one's own each, and as ``calibrate`` does.
    """
    _check_trained(facts)
    return calibrate(
        table,
        facts.aspects,
        facts.dense_keys or {},
        bounded_pair_errors(table) if pairs is None else pairs,
        facts.task_name,
        facts.budget_name,
        facts.command,
    )


def _check_trained(facts: RunFacts) -> None:
    """Raise BadInput where the dense networks of a table are not each trained by the task's recipe."""
    beside = "a calibration is of trainings by the task's recipe, one for each seed"
    if dense_parents.given(facts):
        raise BadInput(f"these dense networks were given as files (--dense); {beside}.")
    if dense_parents.untrained(facts):
        raise BadInput(
            f"these dense networks are the weights of {facts.requests[0].pretrained} as they are; {beside}: "
            "run without --pretrained."
        )
    dense = [n for n in facts.networks if n.method == "dense"]
    first: dict[str, int] = {}
    for network in dense:
        if first.setdefault(network.network, network.seed) != network.seed:
            raise BadInput(
                f"the dense networks of seeds {first[network.network]} and {network.seed} are one and the "
                f"same; {beside}."
            )


def bounded_pair_errors(table: pd.DataFrame) -> dict[str, float]:
    """The most that ``pair_errors`` are expected to be, out of a table alone, which has no results by image.

    Two networks see the same images, and err on many of them together: their difference has at most the
    variance of both. Scores whose error over images is not known have none.
    """
    rows = table[(table["method"] == "dense") & (table["variant"] == "") & (table["status"] == "ok")]
    means = rows["se"].pow(2).groupby(rows["score"]).agg(lambda squares: squares.mean(skipna=False))
    return {str(score): float(f"{math.sqrt(2.0 * mean):.4g}") for score, mean in means.items() if mean > 0.0}


#: Rounding alone gives errors of less.
_NONE = 1e-12


def pair_errors(plan: Plan, store: ResultReader) -> dict[str, float]:
    """The standard error, over images, of the difference of two dense networks: by score, over all pairs.

    Scores that are ratios to the parent have none: a dense network's own parent is itself, and they are the
    same under every resample of the images.
    """
    import numpy as np

    found: dict[str, list[Any]] = {}
    for entry in plan.entries:
        for measure in entry.measures if entry.method == "dense" else ():
            if store.has(measure):
                for score, draws in draws_of(store, measure).items():
                    found.setdefault(score, []).append(draws)
    errors = {}
    for score, draws in found.items():
        count = len(draws)
        if count > 1:
            off = np.stack(draws) - np.mean(draws, axis=0)
            # The mean over pairs of a variance of differences is 2 N / (N - 1) that of deviations.
            errors[score] = math.sqrt(2 * count / (count - 1) * float(off.var(axis=1, ddof=1).mean()))
    return {score: float(f"{error:.4g}") for score, error in errors.items() if error > _NONE}
