"""What methods and metrics promise, tried on a task of seconds: ResNet-8 on a few handwritten digits."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from lthbench import masks, registry
from lthbench.compute.rng import generator
from lthbench.contract.broken import Broken, Skipped, demand
from lthbench.data import loading
from lthbench.execution.runner import Runner
from lthbench.global_state import kept
from lthbench.inference.batches import BATCH
from lthbench.kinds import Architecture, Criterion, Images, Method, Metric
from lthbench.planning import plan
from lthbench.planning import task as tasks
from lthbench.planning.request import ask
from lthbench.planning.task import Task
from lthbench.results import table
from lthbench.spec import Train, history
from lthbench.store import LocalStore

if TYPE_CHECKING:
    import pandas as pd

#: The sparsities that are tried: half of the weights, and seven eighths.
SPARSITIES = (0.5, 0.875)


def small_task() -> Task:
    """The task digits-r8 with so few images and epochs that its numbers mean nothing."""
    task = tasks.load("digits-r8")
    quick = task.budget["quick"]
    recipe = dataclasses.replace(quick.train, epochs=2, images=320, batch_size=32, warmup_epochs=0.0)
    finetune = dataclasses.replace(recipe, epochs=1, lr=recipe.lr / 5)
    looked = dataclasses.replace(
        quick.evaluate,
        train_images=100,
        test_images=100,
        ood_images=100,
        attacked_images=50,
        corrupted_images=50,
        geometry_images=40,
        explained_images=20,
        lime_images=5,
        concept_images=60,
        corruptions=("gaussian_noise", "contrast"),
        severities=(1, 3),
    )
    budget = dataclasses.replace(quick, rewind_epoch=1, train=recipe, finetune=finetune, evaluate=looked)
    grid = dataclasses.replace(task.grid, rate=0.5, max_rounds=4, rounds=(1, 3), seeds=1, budget="quick")
    sets = dataclasses.replace(task.data, concepts="shapes")
    return dataclasses.replace(task, name="trial", data=sets, grid=grid, budget={"quick": budget})


class Trial:
    """Methods and metrics, run once, when the first check asks for it."""

    def __init__(
        self,
        folder: Path,
        methods: Sequence[str],
        metrics: Sequence[str],
        sparsities: Sequence[float] = SPARSITIES,
    ):
        self._folder, self._methods, self._metrics = folder, methods, metrics
        self.sparsities = sparsities

    @cached_property
    def plan(self) -> plan.Plan:
        """The steps."""
        asked = ask(small_task(), self._methods, self.sparsities, seeds=1, metrics=self._metrics)
        return plan.plan(asked, ())

    @property
    def prunable(self) -> int:
        """How many prunable weights the dense network has."""
        network = plan.network(self.plan.request.task)
        return registry.get(Architecture, network.architecture).count(network).prunable

    @cached_property
    def runner(self) -> Runner:
        """What does them."""
        store = LocalStore(self._folder / "store")
        store.open()
        return Runner(store, ())

    @cached_property
    def failures(self) -> dict[str, str]:
        """Why steps failed, by key."""
        return self.runner.do(self.plan.steps)

    @cached_property
    def table(self) -> pd.DataFrame:
        """The scores."""
        return table.build(self.plan, self.runner.store, self.failures)


def criterion_scores_every_prunable_weight(criterion: Criterion) -> None:
    """Scores every prunable weight, finitely and repeatably, in its shape and without a gradient."""
    demand(isinstance(criterion, Criterion), f"criterion is a {type(criterion).__name__}, not a Criterion")
    network = plan.network(tasks.load("digits-r8"))
    per_class = criterion.scored_per_class(network.classes)
    images = loading.per_class(loading.load("digits", "train", ()), per_class)
    results = []
    for again in range(2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = registry.get(Architecture, "resnet8").build(network).train()
            torch.manual_seed(again)  # what it draws must come from the generator that it is given
            with kept(f"criterion {criterion.name}"):
                results.append(criterion.score(model, _batches(criterion, images), generator("x", 0)))
    weights = masks.prunable(model)
    unlike = sorted(results[0].keys() ^ weights.keys())
    demand(not unlike, f"scores and prunable weights differ in {', '.join(unlike[:3])}")
    for name, score in results[0].items():
        wanted = list(weights[name].shape)
        demand(list(score.shape) == wanted, f"{name}: scores have shape {list(score.shape)}, not {wanted}")
        demand(bool(torch.isfinite(score).all()), f"{name}: scores are not finite")
        demand(not score.requires_grad, f"{name}: scores have a gradient; detach them")
        demand(torch.equal(score, results[1][name]), f"{name}: scores differ from one time to the next")


def _batches(criterion: Criterion, images: Images) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Images as a criterion is given them, in two batches at least, as those of more classes are."""
    if not criterion.per_class:
        yield torch.ones(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64)
        return
    size = min(BATCH, len(images.labels) // 2)
    for start in range(0, len(images.labels), size):
        pixels, labels = (torch.from_numpy(part[start : start + size]) for part in images)
        yield pixels.float() / 255.0, labels


def runs_without_failure(trial: Trial, name: str) -> None:
    """Runs without failure."""
    for reason in dict.fromkeys(trial.failures.values()):
        raise Broken(reason)


def networks_have_the_density_asked_for(trial: Trial, method: str) -> None:
    """Yields networks of the density asked for, whose pruned weights are zero after training."""
    _ran(trial)
    entries = [e for e in trial.plan.entries if e.method == method]
    found = [e.sparsity for e in entries]
    asked = list(trial.sparsities)
    demand(found == asked, f"networks of sparsity {found}, asked for {asked}")
    criterion = registry.get(Method, method).criterion
    for entry in entries:
        weights = masks.prunable(trial.runner.space.network(entry.network))
        held = trial.runner.space.held(entry.network) or {
            n: torch.ones_like(w, dtype=torch.bool) for n, w in weights.items()
        }
        alive = [n for n in weights if bool(weights[n][~held[n]].any())]
        demand(not alive, f"pruned weights are not zero in {', '.join(alive[:3])}")
        kept = sum(k for k, _ in masks.count(held).values())
        wanted = Fraction(1 - entry.sparsity) * trial.prunable
        said = f"keeps {kept:,} weights at sparsity {entry.sparsity}, asked for {float(wanted):,.0f}"
        if criterion is None or criterion.unit == "filter":
            demand(abs(kept - wanted) <= 0.1 * wanted, said)
        elif criterion.unit == "kernel":
            demand(0 <= wanted - kept < 9, said)
        else:
            demand(kept == round(wanted), said)


def tickets_are_made_from_the_cell_alone(trial: Trial, method: str) -> None:
    """Builds its tickets from the cell alone: its seed, its data."""
    for entry in trial.plan.entries:
        if entry.method == method:
            trainings = [s for s in history(entry.network) if isinstance(s, Train)]
            demand({t.seed for t in trainings} == {entry.seed}, "trains with another seed")
            demand({t.data for t in trainings} == {trial.plan.sources[0]}, "trains on other data")


def scores_are_in_their_ranges(trial: Trial, metric: str) -> None:
    """Yields the scores that it declares for every network, in their ranges, or says why not."""
    _ran(trial)
    scores = {s.name: s for s in registry.get(Metric, metric).scores}
    rows = trial.table[trial.table["metric"] == metric]
    expected = len(trial.plan.entries)
    networks = rows.groupby(["method", "sparsity", "seed"])
    demand(len(networks) == expected, f"measured {len(networks)} of {expected} networks")
    for _, found in networks:
        lacking = sorted(set(scores) - set(found["score"]))
        demand(not lacking, f"lacks {', '.join(lacking)}")
        for row in found.to_dict("records"):
            score, value, error = scores[row["score"]], row["value"], row["se"]
            demand(math.isfinite(value) or bool(row["reason"]), f"{score.name}: {value} without a reason")
            inside = not math.isfinite(value) or score.low <= value <= score.high
            demand(inside, f"{score.name}: {value} is not in {score.low:g}..{score.high:g}")
            demand(not math.isfinite(error) or error >= 0.0, f"{score.name}: standard error {error}")
            demand(row["n"] > 0, f"{score.name}: n is {row['n']}")


def units_are_kept(trial: Trial, metric: str) -> None:
    """Attaches the file of units that it declares, of one network or more."""
    _ran(trial)
    units = registry.get(Metric, metric).units
    steps = [m for e in trial.plan.entries for m in e.measures if m.metric == metric]
    there = units is None or any(units.name in trial.runner.store.files(step) for step in steps)
    demand(there, f"attaches no file {units.name if units else ''} of any network")


def scores_are_the_same_again(trial: Trial, metric: str) -> None:
    """Yields the same again for the same network."""
    from lthbench.execution.context import StoredContext

    _ran(trial)
    entry = trial.plan.entries[-1]
    step = next(m for m in entry.measures if m.metric == metric)
    record = registry.get(Metric, metric)

    def measured() -> list[tuple[str, str, float, float, int]]:
        random.random()  # drawn on, as by whatever ran before
        np.random.rand()  # noqa: NPY002
        torch.rand(())
        with kept(f"metric {metric}"):
            values = list(record.measure(StoredContext(trial.runner.space, step, entry.network)))
        return [(v.score, v.variant, float(v.value), float(v.se), v.n) for v in values]

    for one, other in zip(measured(), measured(), strict=True):
        demand(repr(one) == repr(other), f"{one[0]}: {one[2]!r}, and then {other[2]!r}")


def _ran(trial: Trial) -> None:
    if trial.failures:
        raise Skipped("it does not run")


METHOD_CHECKS = (
    runs_without_failure,
    networks_have_the_density_asked_for,
    tickets_are_made_from_the_cell_alone,
)
METRIC_CHECKS = (runs_without_failure, scores_are_in_their_ranges, scores_are_the_same_again)
UNIT_CHECKS = (units_are_kept,)
