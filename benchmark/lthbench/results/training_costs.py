"""What it takes to find and train the networks of a table, with one training of the dense network as 1.

The steps behind each network are planned again from run.json, without its images or results. Its key says
whether they are the steps that it was made by: only then is a cost told.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

from lthbench import registry
from lthbench.errors import BadInput
from lthbench.kinds import Architecture, Dataset, Method
from lthbench.kinds.recipes import check_recipe
from lthbench.planning import record_reader
from lthbench.planning.flops import flops
from lthbench.planning.plan import network
from lthbench.planning.request import Request
from lthbench.planning.start import Start
from lthbench.planning.task import Task
from lthbench.planning.tickets import Tickets
from lthbench.results.run_facts import NetworkFacts, RunFacts
from lthbench.spec import Init, Prune, Rewind, Train, Weights, history, round_density


@dataclass(frozen=True)
class Cost:
    """What one network takes, as multiples of one training of the dense network.

    ``trainings`` are images shown in training: epochs, where all trainings have as many images. All that led
    to the network counts, the training of its dense parent as far as the network needs it. ``operations`` are
    floating-point operations of training and of scoring weights, as in a plan: those of weights that are
    masked count, so that sparsity saves none.
    """

    trainings: float
    operations: float


def of_table(facts: RunFacts) -> dict[tuple[str, float], Cost]:
    """The costs of a table's networks, by method and sparsity.

    A network is left out whose steps are not known here: it was made elsewhere, by an earlier version, or by
    a method that is not installed.
    """
    first: dict[tuple[str, float], NetworkFacts] = {}
    for one in facts.networks:
        first.setdefault((one.method, one.sparsity), one)
    found: dict[tuple[str, float], Cost] = {}
    for start in _starts(facts):
        sought = {place: one for place, one in first.items() if place not in found}
        # What was planned by other code may not be a task any more; that its costs are unknown is no fault.
        with contextlib.suppress(BadInput, LookupError, ArithmeticError):
            tickets, unit = _planned(facts, list(sought.values()), start)
            for place, one in sought.items():
                made = _again(tickets, one)
                if made is not None and made.key == one.network:
                    found[place] = cost(made, unit)
    return found


def cost(made: Weights, unit: Train) -> Cost:
    """The cost of a network, where one training of the dense network is the ``unit``."""
    ran = _ran(made)
    operations = math.fsum(flops(Rewind(train, until)) for train, until in ran)
    operations += math.fsum(flops(step) for step in history(made) if isinstance(step, Prune))
    images = sum(_images(train, until) for train, until in ran)
    return Cost(images / _images(unit, unit.recipe.epochs), operations / flops(unit))


def _ran(made: Weights) -> list[tuple[Train, int]]:
    """The trainings behind a network, each with the epoch up to which the network needs it.

    Of one that is only rewound to, that is the epoch of the weights.
    """
    steps = list(history(made))
    whole = {made.key, *(n.key for s in steps if not isinstance(s, Rewind) for n in s.needs())}
    last: dict[str, int] = {}
    for step in steps:
        if isinstance(step, Rewind):
            last[step.train.key] = max(step.epoch, last.get(step.train.key, 0))
    return [
        (s, s.recipe.epochs if s.key in whole else last[s.key])
        for s in steps
        if isinstance(s, Train) and s.epochs
    ]


def _images(train: Train, until: int) -> int:
    """How many images a training shows up to an epoch."""
    every = registry.get(Dataset, train.data.name).splits["train"]
    return (until - train.first_epoch) * min(train.recipe.images or every, every)


def _starts(facts: RunFacts) -> Iterator[Start | None]:
    """What the networks of a table may have begun with."""
    told: list[Start | None] = []
    for record in facts.requests:
        if record.start not in told:
            told.append(record.start)
    yield from told or [None]


def _planned(facts: RunFacts, networks: list[NetworkFacts], start: Start | None) -> tuple[Tickets, Train]:
    """The networks of a table as a run would make them, and the training of a dense one.

    Raises BadInput or LookupError for a task that cannot be planned here. No file is read or run that a
    table names.
    """
    budget = {k: v for k, v in facts.budget.items() if k != "name"}
    content = {**facts.task, "budget": {facts.budget_name: budget}}
    task = record_reader.read(Task, content, "run.json: task", later_versions=True)
    if not registry.known(Architecture, task.architecture) or not registry.known(Dataset, task.data.dataset):
        raise BadInput(f"task {task.name}: its network or data set is not known here.")
    check_recipe(task.budget[facts.budget_name].train, "run.json: budget: train")
    trained_on = {d.name: d for d in facts.data}[task.data.dataset]
    methods = dict.fromkeys(n.method for n in networks if n.method != "dense")
    request = Request(
        task,
        tuple(m for m in methods if registry.known(Method, m.partition(":")[0])),
        (),
        tuple(dict.fromkeys(n.seed for n in networks)),
        (),
        facts.budget_name,
        start=start,
    )
    built = network(task)
    unit = Train(Init(built, 0), request.spec.train, trained_on, 0)
    return Tickets(request, built, trained_on, {}), unit


def _again(tickets: Tickets, one: NetworkFacts) -> Weights | None:
    """The network as it would be planned today; None where none can be."""
    if one.method != "dense" and one.method not in tickets.request.methods:
        return None
    try:
        return tickets.ticket(one.method, round_density(1.0 - one.sparsity), one.seed)
    except BadInput:
        return None
