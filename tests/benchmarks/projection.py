"""What rates that were measured on a device say of a whole grid: the part of ci/gpu that runs anywhere."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

from lthbench import registry
from lthbench.engines.queue import Queue
from lthbench.kinds import Architecture
from lthbench.planning import plan
from lthbench.planning.flops import flops, forward_flops
from lthbench.planning.jobs import group
from lthbench.planning.request import ask
from lthbench.spec import Network, Predict, Prune, Rewind, Step, Train

#: The grid that is projected: that of Chen et al. 2022, with all scores that are read off logits.
GRID: dict[str, Any] = {
    "methods": ["imp", "omp", "random", "snip", "grasp", "synflow", "rigl"],
    "rounds": list(range(1, 25)),
    "seeds": 3,
    "metrics": [
        "accuracy",
        "generalization-gap",
        "mce",
        "fgsm",
        "ood",
        "ece",
        "nll",
        "brier",
        "calibration",
        "shift",
    ],
}


@cache
def grid(budget: str) -> tuple[Step, ...]:
    """The steps of the whole grid of c10-r20s."""
    asked = ask("c10-r20s", budget=budget, **GRID)
    return plan.plan(asked, (), data_needed=False).steps


@cache
def counts(budget: str) -> dict[str, float]:
    """What the whole grid of c10-r20s asks for: trainings, and images shown in training and evaluation."""
    steps = grid(budget)
    trainings = [s for s in steps if isinstance(s, Train)]
    forward = forward_flops(trainings[0])
    return {
        "trainings": len(trainings),
        "images_trained": sum(flops(s) for s in trainings) / (3.0 * forward),
        "images_evaluated": sum(flops(s) for s in steps if isinstance(s, Predict)) / forward,
        "images_to_prune_by": sum(flops(s) for s in steps if isinstance(s, Prune)) / forward,
        "rewinds": sum(isinstance(s, Rewind) for s in steps),
    }


def projection(asked: dict[str, float], train_rate: float, score_rate: float | None) -> dict[str, Any]:
    """Hours of one GPU for a grid, from images a second in training (a stack's) and in evaluation.

    hours = (images trained / rate of training + (evaluated + to prune by) / rate of evaluation) / 3600.
    Left out: corruptions and scores read off logits, which a CPU makes meanwhile, and the start. Where
    evaluation was not measured (None), the hours of training alone.
    """
    training = asked["images_trained"] / train_rate / 3600
    said = f"{asked['images_trained']:.4g} images / {train_rate:.4g} per s"
    if score_rate is None:
        return {"training": training, "arithmetic": said}
    looked = asked["images_evaluated"] + asked["images_to_prune_by"]
    scoring = looked / score_rate / 3600
    said += f" + {looked:.4g} images / {score_rate:.4g} per s"
    return {"training": training, "scoring": scoring, "hours": training + scoring, "arithmetic": said}


@cache
def formed(budget: str, most: int) -> dict[int, int]:
    """How many trainings of the grid are done in stacks of each size, by one worker."""
    queue, sizes = Queue(group(grid(budget))), Counter[int]()
    while (job := queue.next()) is not None:
        more = queue.like(job, most - 1, lambda other: False) if job.training is not None else []
        if job.training is not None:
            sizes[1 + len(more)] += 1 + len(more)
        for one in (job, *more):
            queue.finish(one)
    return dict(sizes)


def rate_of(sizes: dict[int, int], rates: dict[int, float]) -> float:
    """Images a second over all trainings, each at the rate of the largest stack measured that it fills.

    One that fills none goes at the rate of the smallest.
    """
    fills = {size: max((r for r in rates if r <= size), default=min(rates)) for size in sizes}
    return sum(sizes.values()) / sum(n / rates[fills[size]] for size, n in sizes.items())


def measured(rows: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The rows of a precision that were not skipped."""
    return {name: row for name, row in rows.items() if "images_per_second" in row}


def projected(found: dict[str, Any], budget: str, way: str) -> dict[str, Any]:
    """The projection in each precision: up to the best stack measured, in the sizes that form."""
    asked = counts(budget)
    made: dict[str, Any] = {"budget": budget, "asked": asked}
    for precision, every in found.get("training", {}).items():
        rows = measured(every)
        own = [row for name, row in rows.items() if name == f"{row['networks']}, {way}"]
        if not own:
            made[precision] = {"skipped": "no stack was measured"}
            continue
        rates = {int(row["networks"]): row["images_per_second"] for row in own}
        sizes = formed(budget, max(rates, key=lambda n: rates[n]))
        hours = projection(asked, rate_of(sizes, rates), found.get("evaluation", {}).get("as scored"))
        made[precision] = {"stack": best(rows), "trainings in stacks of": sizes, **hours}
    return made


def best(rows: dict[str, dict[str, float]]) -> str:
    """The row with the most images a second."""
    return max(rows, key=lambda name: rows[name]["images_per_second"])


def flop_per_second(found: dict[str, Any], network: Network) -> dict[str, float]:
    """Operations a second, counted as estimates of time count them (``planning/estimate.py``).

    Of training, at each precision's best stack, and of scoring.
    """
    forward = 2.0 * registry.get(Architecture, network.architecture).count(network).macs
    made = {}
    for precision, every in found.get("training", {}).items():
        if rows := measured(every):
            made[f"training in {precision}"] = 3.0 * forward * rows[best(rows)]["images_per_second"]
    if "as scored" in found.get("evaluation", {}):
        made["scoring"] = forward * found["evaluation"]["as scored"]
    return made


def reached(found: dict[str, Any], network: Network) -> dict[str, Any]:
    """How far each precision's best stack is: from the goals, and from the matrix product's rate."""
    operations = flop_per_second(found, network)
    product = found.get("ceilings", {}).get("bfloat16_flop_per_second")
    made: dict[str, Any] = {}
    for precision, every in found.get("training", {}).items():
        rows = measured(every)
        if not rows:
            made[precision] = {"skipped": "nothing was measured"}
            continue
        row = rows[best(rows)]
        made[precision] = {
            "grid_hours": found.get("paper", {}).get(precision, {}).get("hours"),
            "grid_hours_goal": 12.0,
            "best_over_step_by_step": row.get("over_step_by_step"),
            "best_over_one_in_this_program": row.get("over_one_in_this_program"),
            "stack_of_32_goal": 8.0,
            "share_of_the_matrix_product": operations[f"training in {precision}"] / product
            if product
            else None,
            "peak_share_of_memory": {
                name: one["peak_bytes"] / found["facts"].get("device_bytes", float("inf"))
                for name, one in rows.items()
            },
        }
    return made
