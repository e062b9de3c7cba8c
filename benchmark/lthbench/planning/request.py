"""What is asked for: every name and number of a request, checked before anything is planned. Pure."""

from __future__ import annotations

import dataclasses
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthbench import corruptions as generated
from lthbench import registry
from lthbench.corruptions import official
from lthbench.errors import BadInput, unknown
from lthbench.kinds import Architecture, Dataset, Method, Metric
from lthbench.planning import checks, request_record, task
from lthbench.planning import looks as planned_looks
from lthbench.planning.checks import MAX_SEEDS, listed
from lthbench.planning.looks import Look
from lthbench.planning.request_record import KINDS, Plugin, RequestRecord, from_here
from lthbench.planning.start import Start
from lthbench.planning.task import SOURCES, Budget, Task
from lthbench.spec import as_sparsity

#: The greatest number of networks of a request that stands in a file: it is planned whole.
NETWORKS = 100_000


@dataclass(frozen=True)
class Request:
    """What is asked for, checked: every name exists and every value can be used.

    ``task_as_typed`` is a name or a path. ``ood_replaced`` says that the task's data sets
    out of distribution have been replaced, ``concepts_replaced`` that its bank of concepts has,
    ``corruptions_replaced`` where its corrupted images come from. ``typed`` is the command line where it is
    not that of ``run``. Seeds are added until all is decided, up to
    ``most_seeds`` (0: none are); ``looks`` is what each look added so far, from the first one. ``notes`` say
    what the files that are here decided. ``pretrained`` is the file of weights that networks begin with, and
    ``start`` what was read of it. ``normalization`` is the mean and standard deviation that these weights
    expect pixels normalised by, where that was asked for.
    """

    task: Task
    methods: tuple[str, ...]
    densities: tuple[float, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    budget: str
    task_as_typed: str = ""
    ood_replaced: bool = False
    concepts_replaced: bool = False
    corruptions_replaced: bool = False
    typed: str = ""
    most_seeds: int = 0
    looks: tuple[Look, ...] = ()
    notes: tuple[str, ...] = ()
    pretrained: str | None = None
    start: Start | None = None
    normalization: tuple[tuple[float, ...], ...] = ()

    @property
    def spec(self) -> Budget:
        """The budget's recipe and evaluation."""
        return self.task.budgets()[self.budget]

    @property
    def classes(self) -> int:
        """How many classes the task has."""
        return len(registry.get(Dataset, self.task.data.dataset).classes)

    def wants(self, method: str, sparsity: float, seed: int) -> bool:
        """Whether a network is asked for; of those that a look at the results could leave out."""
        return not self.looks or any(look.wants(method, sparsity, seed) for look in self.looks)

    def until_decided(self, most: int) -> Request:
        """The same with seeds added until all is decided. Raises BadInput for a number that cannot be."""
        if not checks.is_whole(most):
            raise BadInput(f"until-decided: expected a whole number, got {most!r}.")
        if len(self.seeds) < 2:
            raise BadInput("until-decided: the first look needs at least two seeds; give --seeds 2 or more.")
        if not len(self.seeds) < most <= MAX_SEEDS:
            raise BadInput(
                f"until-decided: must be more than the {len(self.seeds)} seeds of the first look and at most "
                f"{MAX_SEEDS:,}, got {most}."
            )
        if not self.methods or not self.densities:
            raise BadInput("until-decided: there is nothing to decide without a pruned network.")
        sparsities = tuple(as_sparsity(d) for d in self.densities)
        first = Look(self.seeds, dict.fromkeys(self.methods, sparsities))
        return dataclasses.replace(self, most_seeds=int(most), looks=(first,))

    def normalized(self, expected: tuple[Sequence[float], Sequence[float]] | None) -> Request:
        """The same with the normalisation of pixels that its pretrained weights expect. Raises BadInput."""
        if expected is None:
            return self
        if self.pretrained is None:
            raise BadInput("mean and std are those of pretrained weights: name these, too (--pretrained).")
        return dataclasses.replace(self, normalization=checks.pixels(expected))

    def looked(self, open_networks: Mapping[str, tuple[float, ...]]) -> Request | None:
        """The same with one look more, for the networks that are open; None where there is no other look."""
        look = planned_looks.following(self.looks, self.most_seeds, open_networks)
        if look is None:
            return None
        return dataclasses.replace(self, seeds=(*self.seeds, *look.seeds), looks=(*self.looks, look))

    def to_the_last_look(self) -> Request:
        """The same at the last look, should everything stay open until then."""
        found, more = self, self.looked(self.looks[-1].networks)
        while more is not None:
            found, more = more, more.looked(self.looks[-1].networks)
        return found

    def named(self) -> dict[str, tuple[str, ...]]:
        """The plug-ins that it names, by kind, without their variants."""
        data = self.task.data
        every = {
            "method": self.methods,
            "metric": self.metrics,
            "dataset": (data.dataset, *data.ood),
            "architecture": (self.task.architecture,),
            "bank": (data.concepts,) if data.concepts else (),
        }
        bases = {kind: [n.partition(":")[0] for n in names] for kind, names in every.items()}
        return {kind: tuple(dict.fromkeys(names)) for kind, names in bases.items()}

    def command(self) -> str:
        """The command line that asks for just this."""
        return self.typed or self.record().command()

    def record(self) -> RequestRecord:
        """The same in names and numbers, with the files of the user's own plug-ins."""
        data = self.task.data
        files = {(k, n): registry.path_of(KINDS[k], n) for k, names in self.named().items() for n in names}
        return RequestRecord(
            self.task_as_typed or self.task.name,
            self.methods,
            tuple(as_sparsity(d) for d in self.densities),
            self.seeds,
            self.metrics,
            self.budget,
            data.ood if self.ood_replaced else None,
            data.concepts if self.concepts_replaced else None,
            tuple(Plugin(kind, name, from_here(str(file))) for (kind, name), file in files.items() if file),
            elsewhere=bool(self.typed),
            most_seeds=self.most_seeds,
            looks=self.looks,
            corruptions=self.spec.evaluate.corruption_source if self.corruptions_replaced else None,
            pretrained=self.pretrained,
            start=self.start,
            normalization=self.normalization,
        )

    def to_json(self) -> dict[str, Any]:
        """What run.json and a plan as JSON keep: see ``from_json``."""
        return self.record().to_json()


def from_json(record: Any, where: str) -> Request:
    """The checked request that ``to_json`` kept, in the file ``where``. Raises BadInput.

    It runs no plug-in that was not named on this command line, and says which one it would need.
    """
    found = request_record.read(record, where)
    if found.networks > NETWORKS:
        raise BadInput(
            f"{where}: asks for {found.networks:,} networks; at most {NETWORKS:,} are planned from a file."
        )
    return asked_again(found, where)


def asked_again(record: RequestRecord, where: str) -> Request:
    """The checked request of a record in the file ``where``: see ``from_json``. Raises BadInput."""
    if record.elsewhere:
        raise BadInput(f"{where}: scores networks made elsewhere; no command makes them again.")
    record.check_plugins(where)
    found = ask(
        record.task,
        record.methods,
        record.sparsities,
        seeds=record.seeds,
        metrics=record.metrics,
        budget=record.budget,
        ood=record.ood,
        concepts=record.concepts,
        corruptions=record.corruptions,
        pretrained=record.pretrained,
    )
    found = dataclasses.replace(found, start=_start_of(record, where), normalization=record.normalization)
    if record.looks or record.most_seeds:
        return _with_looks(found, record, where)
    return found


def _start_of(record: RequestRecord, where: str) -> Start | None:
    """What was read of a record's pretrained weights. Raises BadInput where it is not for its seeds."""
    start = record.start
    if record.pretrained is None or (start is not None and start.covers(record.seeds)):
        return start
    raise BadInput(f"{where}: request: start: does not say what was read of {record.pretrained}.")


def _with_looks(found: Request, record: RequestRecord, where: str) -> Request:
    """The request with the looks of its record. Raises BadInput for looks that no run takes."""
    networks = {m: tuple(as_sparsity(d) for d in found.densities) for m in found.methods}
    wrong = planned_looks.fault(record.looks, record.most_seeds, networks)
    if not record.looks or tuple(s for look in record.looks for s in look.seeds) != found.seeds:
        wrong = wrong or "its seeds are not those of its looks"
    if wrong:
        raise BadInput(f"{where}: request: {wrong}.")
    return dataclasses.replace(found, most_seeds=record.most_seeds, looks=record.looks)


def ask(
    task: str | Path | Task,
    methods: Sequence[str] | None = None,
    sparsities: Sequence[float] | None = None,
    rounds: Sequence[int] | None = None,
    seeds: int | Sequence[int] | None = None,
    metrics: Sequence[str] | None = None,
    budget: str | None = None,
    ood: Sequence[str] | None = None,
    concepts: str | None = None,
    corruptions: str | None = None,
    pretrained: str | None = None,
    normalization: tuple[Sequence[float], Sequence[float]] | None = None,
) -> Request:
    """Check what was asked for of a task (its name, its path, or itself), and fill in its defaults.

    Raises BadInput naming every fault.
    """
    named = listed("methods", methods, str, str, "names")
    measured = listed("metrics", metrics, str, str, "names")
    if not isinstance(task, str | Path | Task):
        raise BadInput(f"task: expected a name or a path, got {task!r}.")
    for what, value in (("budget", budget), ("concepts", concepts), ("corruptions", corruptions)):
        checks.text(what, value)
    typed = "" if isinstance(task, Task) else str(task)
    given = task if isinstance(task, Task) else _loaded(typed, named or (), measured or ())
    faults = checks.Faults()
    if corruptions is not None:
        with faults.taken():
            given = with_corruptions(given, corruptions)
    data = given.data if concepts is None else dataclasses.replace(given.data, concepts=concepts)
    others = listed("ood", ood, str, str, "names")
    if others is not None:
        data = dataclasses.replace(data, ood=tuple(dict.fromkeys(others)))
    given = dataclasses.replace(given, data=data)
    removed = listed("sparsities", sparsities, numbers.Real, float, "numbers")
    after = listed("rounds", rounds, numbers.Integral, int, "whole numbers")
    counted = int(seeds) if checks.is_whole(seeds) else None
    drawn = listed("seeds", seeds, numbers.Integral, int, "whole numbers") if counted is None else counted
    chosen = checks.methods(given.grid.methods if named is None else named, faults)
    scored = checks.metrics(measured, given, faults)
    faults.known(Architecture, given.architecture)
    budget = given.grid.budget if budget is None else budget
    checks.budget(budget, given, faults)
    densities = checks.densities(removed, after, given, faults)
    numbered = checks.seeds(given.grid.seeds if drawn is None else drawn, faults)
    faults.tell()
    found = Request(
        given,
        chosen,
        densities,
        numbered,
        scored,
        budget,
        typed,
        ood is not None,
        concepts is not None,
        corruptions is not None,
        pretrained=pretrained,
    )
    return found.normalized(normalization)


def _loaded(name: str, methods: Sequence[str], metrics: Sequence[str]) -> Task:
    """The task of a name or path. Raises BadInput that names unknown methods and metrics, too."""
    try:
        return task.load(name)
    except BadInput as error:
        faults = checks.Faults([str(error)])
        for method in methods:
            faults.known(Method, method.partition(":")[0])
        for metric in metrics:
            faults.known(Metric, metric.removeprefix("-"))
        faults.tell()
        raise


def with_corruptions(task: Task, source: str) -> Task:
    """The task with corrupted images from a source, one of ``task.SOURCES``. Raises BadInput for others."""
    if source not in SOURCES:
        raise unknown("source of corrupted images", source, SOURCES)

    def replaced(budget: Budget) -> Budget:
        kinds = tuple(map(official.named, budget.evaluate.corruptions))
        if source != "official":
            kinds = tuple(generated.STAND_INS.get(kind, kind) for kind in kinds)
        looked = dataclasses.replace(budget.evaluate, corruption_source=source, corruptions=kinds)
        return dataclasses.replace(budget, evaluate=looked)

    return dataclasses.replace(task, budget={name: replaced(b) for name, b in task.budget.items()})
