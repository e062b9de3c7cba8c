"""A request becomes steps: pure, without torch, so that it can be printed and costed before anything runs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lthbench import formatting, registry
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.inference import image_sets
from lthbench.inference.image_sets import Asked
from lthbench.kinds import Architecture, Dataset, Metric
from lthbench.planning.request import Request
from lthbench.planning.task import Task
from lthbench.planning.tickets import Tickets
from lthbench.spec import (
    Data,
    Given,
    Init,
    Inputs,
    Measure,
    Network,
    Prune,
    Step,
    Train,
    Weights,
    as_sparsity,
    history,
    read_versions,
)

#: Names and sets of images.
_Pairs = tuple[tuple[str, Inputs], ...]

#: What the untrained network of each seed is called among the variants of a dense network's scores.
UNTRAINED = "untrained network"
#: A mask that moves fewer times than this in a training is told of: those of the papers do hundreds of times.
FEW_CHANGES = 10


@dataclass(frozen=True)
class Entry:
    """One network of the grid and what is measured of it.

    ``controls`` are measures of other networks that a dense one is held against, by what these are.
    """

    method: str
    sparsity: float
    seed: int
    network: Weights
    dense: Weights
    measures: tuple[Measure, ...]
    controls: tuple[tuple[str, Measure], ...] = ()

    def scored(self) -> tuple[Measure, ...]:
        """All measures, those of the controls among them."""
        return (*self.measures, *(measure for _, measure in self.controls))


@dataclass(frozen=True)
class Plan:
    """The grid of networks, and all steps behind them in an order in which they can be done."""

    request: Request
    entries: tuple[Entry, ...]
    steps: tuple[Step, ...]
    sources: tuple[Data, ...]

    def without_controls(self) -> Plan:
        """The same networks without what dense ones are held against: for those that are not shown."""
        entries = tuple(replace(e, controls=()) for e in self.entries)
        steps = history(*(m for e in entries for m in e.scored()), *(e.network for e in entries))
        return replace(self, entries=entries, steps=tuple(steps))

    def labels(self) -> dict[str, str]:
        """What each network and mask is called: "imp 79.0 % seed 0", by key."""
        found: dict[str, str] = {}
        for entry in self.entries:
            for step in history(entry.network):
                if isinstance(step, Train | Prune | Given) and step.key not in found:
                    mask = step if isinstance(step, Prune) else getattr(step, "mask", None)
                    removed = entry.sparsity if mask is None else 1 - mask.density
                    name = (
                        "dense" if step == entry.dense else f"{entry.method} {formatting.sparsity(removed)}"
                    )
                    found[step.key] = f"{name} seed {entry.seed}"
            for what, measure in entry.controls:
                found.setdefault(measure.subject.key, f"{what} seed {entry.seed}")
        return found


def plan(
    request: Request,
    places: tuple[Path, ...],
    *,
    data_needed: bool = True,
    known: Mapping[str, Data] | None = None,
    elsewhere: Mapping[str, Mapping[int, Weights]] | None = None,
) -> Plan:
    """The steps behind a request. Raises BadInput for data that is missing or broken, if it is needed.

    Data sets that are ``known``, by name, are not looked for. Networks made ``elsewhere`` stand for those of
    a method, by seed: for those of ``dense``, if they are there, and for all methods that do not ship.
    """
    task, known = request.task, known or {}

    def identified(name: str) -> Data:
        return known[name] if name in known else loading.identify(name, places, needed=data_needed)

    trained_on = identified(task.data.dataset)
    metrics = [registry.get(Metric, name) for name in request.metrics]
    asked = {need for m in metrics for need in (*m.needs, *m.looks, *m.maps)}
    ood = tuple(identified(name) for name in (task.data.ood if "ood" in asked else ()))
    asking = Asked(request.spec.evaluate, trained_on, ood, task.data.concepts, places, known, data_needed)
    sets = image_sets.of(metrics, asking)
    banks = [image_sets.bank_of(asking)] if "concepts" in asked else []
    built = network(task)
    _check_sizes(request, built)
    tickets = Tickets(request, built, trained_on, elsewhere or {})
    measured = [_Measured.by(m, sets.get(m.name, {})) for m in metrics]
    entries = []
    for name, density, seed in tickets.asked_for():
        ticket, dense = tickets.ticket(name, density, seed), tickets.parents[seed]
        if name == "dense":
            entries.append(_dense_entry(dense, tickets.rival(seed), Init(built, seed), measured))
        elif ticket is not None:
            measures = tuple(m.of(ticket, dense) for m in measured)
            entries.append(Entry(name, as_sparsity(density), seed, ticket, dense, measures))
    tickets.tell_unfit()
    steps = tuple(history(*(m for e in entries for m in e.scored()), *(e.network for e in entries)))
    notes = dict.fromkeys((*request.notes, *_hardly_moved(entries, tickets.steps_per_epoch)))
    request = replace(request, notes=tuple(notes))
    return Plan(request, tuple(entries), steps, (trained_on, *ood, *(b for b in banks if b.digest)))


def _dense_entry(dense: Weights, rival: Weights, drawn: Init, measured: Sequence[_Measured]) -> Entry:
    """A dense parent, held against another one where a score compares two networks, and an untrained one."""
    measures = tuple(m.of(rival if m.metric.rival else dense, dense) for m in measured)
    controls = tuple((UNTRAINED, m.of(drawn, dense)) for m in measured if m.metric.nulls)
    return Entry("dense", 0.0, drawn.seed, dense, dense, measures, controls)


def _hardly_moved(entries: Sequence[Entry], steps_per_epoch: int) -> Iterator[str]:
    """What is said of methods whose mask moves while it trains, in trainings in which it hardly does."""
    for entry in entries:
        made = entry.network
        rewire = made.rewire if isinstance(made, Train) else None
        if not isinstance(made, Train) or rewire is None or rewire.density is not None:
            continue
        steps = made.recipe.epochs * steps_per_epoch
        times = max(0, math.ceil(rewire.until * steps / rewire.every) - 1)
        if times < FEW_CHANGES:
            last = f"{100 * rewire.until:.0f} % of a training"
            at = f"at {times} alone" if times else "at none, and keeps the one that it begins with"
            yield (
                f"{entry.method} changes its mask every {rewire.every} steps up to {last}; of {steps} steps "
                f"it changes it {at}"
            )


def _check_sizes(request: Request, built: Network) -> None:
    """That the network takes images of the sizes that it is shown, and that these get no larger."""
    taken = registry.get(Architecture, built.architecture)
    where = f"task {request.task.name}"
    if built.size < taken.smallest:
        raise BadInput(
            f"{where}: {taken.name} takes images of {taken.smallest} pixels on a side and more; "
            f"{request.task.data.dataset} has {built.size}."
        )
    for table, recipe in (("train", request.spec.train), ("finetune", request.spec.finetune)):
        sizes = (recipe and recipe.small_sizes) or ()
        key = f"{where}: budget.{request.budget}.{table}.small_sizes"
        if sizes and not taken.resizes:
            raise BadInput(f"{key}: a {taken.name} takes images of its own {built.size} pixels alone.")
        if sizes and min(sizes) < taken.smallest:
            raise BadInput(
                f"{key}: {taken.name} takes images of {taken.smallest} pixels on a side and more, "
                f"got {min(sizes)}."
            )
        if sizes and max(sizes) >= built.size:
            raise BadInput(
                f"{key}: must be less than the {built.size} pixels that images have on a side, "
                f"got {max(sizes)}."
            )


def network(task: Task) -> Network:
    """The network of a task."""
    dataset = registry.get(Dataset, task.data.dataset)
    architecture = registry.get(Architecture, task.architecture)
    return Network(
        architecture.name,
        registry.record_version(Architecture, architecture.name),
        len(dataset.classes),
        dataset.channels,
        dataset.size,
        dataset.mean,
        dataset.std,
    )


@dataclass(frozen=True)
class _Measured:
    """A metric, and what of it is the same in the keys of all networks."""

    metric: Metric
    version: str
    inputs: _Pairs
    looks: _Pairs | None
    maps: _Pairs | None

    @classmethod
    def by(cls, metric: Metric, own: Mapping[str, image_sets.Named]) -> _Measured:
        """The measurement by a metric, whose sets of images are its ``own``."""

        def pairs(names: tuple[str, ...]) -> _Pairs:
            return tuple(pair for name in names for pair in own[name])

        version = registry.version(Metric, metric.name)
        return cls(
            metric, version, pairs(metric.needs), pairs(metric.looks) or None, pairs(metric.maps) or None
        )

    def of(self, network: Weights, dense: Weights) -> Measure:
        """The step that measures a network."""
        reference = dense if self.metric.relative else None
        return Measure(
            self.metric.name,
            self.version,
            network,
            self.inputs,
            reference,
            self.looks,
            self.maps,
            **read_versions(bool(self.inputs), bool(self.maps)),
        )
