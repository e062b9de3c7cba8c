"""What is asked for: every name and number of a request, checked before anything is planned. Pure."""

from __future__ import annotations

import dataclasses
import importlib.util
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lthbench import corruptions as generated
from lthbench import registry
from lthbench.corruptions import official
from lthbench.errors import BadInput, unknown
from lthbench.inference import image_sets
from lthbench.kinds import Architecture, Bank, Dataset, Method, Metric
from lthbench.planning import looks as planned_looks
from lthbench.planning import request_record, task
from lthbench.planning.looks import Look
from lthbench.planning.request_record import KINDS, Plugin, RequestRecord
from lthbench.planning.start import Start
from lthbench.planning.task import SOURCES, Budget, Task
from lthbench.planning.variants import no_variant

#: The greatest number of seeds of one request: a slip of the finger must not fill the memory.
MAX_SEEDS = 10_000
#: And of networks of a request that stands in a file: it is planned whole.
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
    ``start`` what was read of it.
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
        if len(self.seeds) < 2:
            raise BadInput("until-decided: the first look needs at least two seeds; give --seeds 2 or more.")
        if not len(self.seeds) < most <= MAX_SEEDS:
            raise BadInput(
                f"until-decided: must be more than the {len(self.seeds)} seeds of the first look and at most "
                f"{MAX_SEEDS:,}, got {most}."
            )
        if not self.methods or not self.densities:
            raise BadInput("until-decided: there is nothing to decide without a pruned network.")
        sparsities = tuple(round(1 - d, 12) for d in self.densities)
        first = Look(self.seeds, dict.fromkeys(self.methods, sparsities))
        return dataclasses.replace(self, most_seeds=most, looks=(first,))

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

    def command(self) -> str:
        """The command line that asks for just this."""
        return self.typed or self.record().command()

    def record(self) -> RequestRecord:
        """The same in names and numbers, with the files of the user's own plug-ins."""
        data = self.task.data
        named = {
            "method": self.methods,
            "metric": self.metrics,
            "dataset": (data.dataset, *data.ood),
            "architecture": (self.task.architecture,),
            "bank": (data.concepts,) if data.concepts else (),
        }
        bases = {kind: dict.fromkeys(n.partition(":")[0] for n in names) for kind, names in named.items()}
        files = {(k, n): registry.path_of(KINDS[k], n) for k, names in bases.items() for n in names}
        return RequestRecord(
            self.task_as_typed or self.task.name,
            self.methods,
            tuple(round(1 - d, 12) for d in self.densities),
            self.seeds,
            self.metrics,
            self.budget,
            data.ood if self.ood_replaced else None,
            data.concepts if self.concepts_replaced else None,
            tuple(Plugin(kind, name, str(file)) for (kind, name), file in files.items() if file),
            elsewhere=bool(self.typed),
            most_seeds=self.most_seeds,
            looks=self.looks,
            corruptions=self.spec.evaluate.corruption_source if self.corruptions_replaced else None,
            pretrained=self.pretrained,
            start=self.start,
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
    found = dataclasses.replace(found, start=_start_of(record, where))
    if record.looks or record.most_seeds:
        return _with_looks(found, record, where)
    return found


def _start_of(record: RequestRecord, where: str) -> Start | None:
    """What was read of a record's pretrained weights. Raises BadInput where it is not for its seeds."""
    start = record.start
    if record.pretrained is None or (
        start is not None and (start.is_dense or {str(s) for s in record.seeds} <= start.digests.keys())
    ):
        return start
    raise BadInput(f"{where}: request: start: does not say what was read of {record.pretrained}.")


def _with_looks(found: Request, record: RequestRecord, where: str) -> Request:
    """The request with the looks of its record. Raises BadInput for looks that no run takes."""
    networks = {m: tuple(round(1 - d, 12) for d in found.densities) for m in found.methods}
    wrong = planned_looks.fault(record.looks, record.most_seeds, networks)
    if not record.looks or tuple(s for look in record.looks for s in look.seeds) != found.seeds:
        wrong = wrong or "its seeds are not those of its looks"
    if wrong:
        raise BadInput(f"{where}: request: {wrong}.")
    return dataclasses.replace(found, most_seeds=record.most_seeds, looks=record.looks)


def request(
    task: Task,
    methods: Sequence[str] | None = None,
    sparsities: Sequence[float] | None = None,
    rounds: Sequence[int] | None = None,
    seeds: Sequence[int] | int | None = None,
    metrics: Sequence[str] | None = None,
    budget: str | None = None,
    task_as_typed: str = "",
    ood: Sequence[str] | None = None,
    concepts: str | None = None,
    corruptions: str | None = None,
    pretrained: str | None = None,
) -> Request:
    """Check what was asked for, and fill in the task's defaults. Raises BadInput naming every fault."""
    if corruptions is not None:
        task = with_corruptions(task, corruptions)
    if concepts is not None:
        task = dataclasses.replace(task, data=dataclasses.replace(task.data, concepts=concepts))
    ood = _listed("ood", ood, str, str, "names")
    if ood is not None:
        task = dataclasses.replace(task, data=dataclasses.replace(task.data, ood=tuple(dict.fromkeys(ood))))
    methods = _listed("methods", methods, str, str, "names")
    metrics = _listed("metrics", metrics, str, str, "names")
    sparsities = _listed("sparsities", sparsities, numbers.Real, float, "numbers")
    rounds = _listed("rounds", rounds, numbers.Integral, int, "whole numbers")
    if not isinstance(seeds, int) or isinstance(seeds, bool):
        seeds = _listed("seeds", seeds, numbers.Integral, int, "whole numbers")
    faults: list[str] = []

    def attempt(kind: type[Any], name: str) -> Any:
        try:
            return registry.get(kind, name)
        except BadInput as error:
            faults.append(str(error))
            return None

    named = [_method(m, faults) for m in (task.grid.methods if methods is None else methods)]
    usual = [m.name for m in registry.every(Metric) if m.usual]
    chosen = [attempt(Metric, m) for m in (usual if metrics is None else metrics)]
    trained_on, *others = [attempt(Dataset, name) for name in (task.data.dataset, *task.data.ood)]
    if trained_on is not None and any(m is not None and "ood" in m.needs for m in chosen):
        faults += filter(None, (_unlike(trained_on, other) for other in others if other is not None))
    if trained_on is not None:
        wanted = [(m, {s.split for s in image_sets.asked_by(m)}) for m in chosen if m is not None]
        lacking = {m.name: sorted(splits - trained_on.splits.keys()) for m, splits in wanted}
        if metrics is None:
            chosen = [m for m in chosen if m is None or not lacking[m.name]]
        else:
            faults += [
                f"metric {name} needs {split} images; {trained_on.name} has none."
                for name, splits in lacking.items()
                for split in splits
            ]
    if task.data.concepts is None:
        if metrics is None:
            chosen = [m for m in chosen if m is None or not image_sets.of_concepts(m)]
        else:
            why = f"task {task.name} has none; name one with --concepts"
            without = [m for m in chosen if m is not None and "concepts" in m.looks]
            faults += [f"metric {m.name} needs a bank of concepts: {why}." for m in without]
    else:
        attempt(Bank, task.data.concepts)
    for metric in chosen:
        if metric is not None and metric.package and importlib.util.find_spec(metric.package) is None:
            how = f"pip install 'lthbench[{metric.extra}]'"
            faults.append(f"metric {metric.name} needs the package {metric.package}: {how}")
    judged = any(m is not None and m.scores[0].group == "interpretability" for m in chosen)
    if judged and not any(m is not None and m.name == "accuracy" for m in chosen):
        chosen = [registry.get(Metric, "accuracy"), *chosen]  # what gates them: see ``table``
    attempt(Architecture, task.architecture)
    budget = task.grid.budget if budget is None else budget
    budgets = task.budgets()
    if budget not in budgets:
        faults.append(f"task {task.name}: {unknown('budget', budget, budgets)}")
    else:
        every = generated.every()
        for kind in budgets[budget].evaluate.corruptions:
            known = official.KINDS if budgets[budget].evaluate.corruption_source == "official" else every
            if kind not in known:
                faults.append(f"task {task.name}: {unknown('corruption', kind, known)}")
    densities: list[float] = []
    if sparsities is not None and rounds is not None:
        faults.append("give --sparsity or --rounds, not both.")
    for sparsity in sparsities or ():
        if 0.0 < sparsity < 1.0 and 0.0 < task.on_grid(sparsity) < 1.0:  # as rounded for keys, too
            densities.append(task.on_grid(sparsity))
        else:
            faults.append(f"sparsity {sparsity:g} must lie between 0 and 1 (the share of weights removed).")
    for n in task.grid.rounds if rounds is None and sparsities is None else rounds or ():
        if 1 <= n <= task.grid.max_rounds:
            densities.append(task.density(n))
        else:
            faults.append(f"round {n} must be 1..{task.grid.max_rounds} for task {task.name}.")
    asked = task.grid.seeds if seeds is None else seeds
    drawn = tuple(range(min(asked, MAX_SEEDS + 1)) if isinstance(asked, int) else dict.fromkeys(asked))
    if not drawn or min(drawn) < 0:
        faults.append("at least one seed is needed, and none below 0.")
    elif len(drawn) > MAX_SEEDS or max(drawn) >= 2**63:
        faults.append(f"at most {MAX_SEEDS:,} seeds can be used, and none above {2**63 - 1}.")
    if faults:
        raise BadInput("\n".join(faults))
    return Request(
        task,
        tuple(dict.fromkeys(name for name in named if name != "dense")),
        tuple(sorted(set(densities), reverse=True)),
        drawn,
        tuple(dict.fromkeys(m.name for m in chosen)),
        budget,
        task_as_typed,
        ood is not None,
        concepts is not None,
        corruptions is not None,
        pretrained=pretrained,
    )


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


def _unlike(trained_on: Dataset, other: Dataset) -> str:
    """Why images of another data set cannot be told apart from those that a network is trained on, or ""."""
    if other.name == trained_on.name:
        return f"data set {other.name} is what is trained on: it is not out of distribution."
    if "test" not in other.splits:
        return f"data set {other.name} has no test images to tell apart."
    shapes = [f"{d.channels} x {d.size} x {d.size}" for d in (other, trained_on)]
    if shapes[0] != shapes[1]:
        return f"data set {other.name} has images of {shapes[0]}, {trained_on.name} of {shapes[1]}."
    return ""


def _listed(what: str, value: Any, kind: type[Any], plain: type[Any], noun: str) -> list[Any] | None:
    """An argument as a list. Raises BadInput for what is none, or holds values of another type."""
    if value is None:
        return None
    values = list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [None]
    if not all(isinstance(v, kind) and not isinstance(v, bool) for v in values):
        raise BadInput(f"{what}: expected a list of {noun}, got {value!r}.")
    return [plain(v) for v in values]


def _method(name: str, faults: list[str]) -> str:
    """The full name of a method and its variant, as asked for by name, alias or path, with ``:variant``."""
    base, _, variant = name.partition(":")
    try:
        method = registry.get(Method, base)
    except BadInput as error:
        faults.append(str(error))
        return name
    if variant and variant not in method.variants:
        faults.append(no_variant(method, variant))
    return f"{method.name}:{variant}" if variant else method.name


def ask(
    name: str,
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
) -> Request:
    """The checked request for a task by name or path."""
    named = task.load(name)
    return request(
        named,
        methods,
        sparsities,
        rounds,
        seeds,
        metrics,
        budget,
        name,
        ood,
        concepts,
        corruptions,
        pretrained,
    )
