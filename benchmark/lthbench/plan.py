"""A request becomes steps: pure, without torch, so that it can be printed and costed before anything runs."""

from __future__ import annotations

import dataclasses
import importlib.util
import numbers
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lthbench import banked, corruptions, data, registry
from lthbench.corruptions import official
from lthbench.errors import BadInput, LthbenchError, unknown
from lthbench.kinds import Architecture, Bank, Cell, Dataset, Method, Metric
from lthbench.spec import (
    Data,
    Given,
    Init,
    Inputs,
    Measure,
    Network,
    Prune,
    Recipe,
    Rewind,
    Step,
    Train,
    Weights,
    history,
)
from lthbench.task import Budget, Task

#: The sets of images that a metric can ask for.
NEEDS = (
    "test",
    "train",
    "val",
    "ood",
    "fgsm",
    "fgsm-random",
    "pgd",
    "autoattack",
    "corrupted",
    "uncorrupted",
    "geometry",
    "explained",
    "lime",
    "concepts",
    "mis",
    "pictured",
    "read",
)

#: What the untrained network of each seed is called among the variants of a dense network's scores.
UNTRAINED = "untrained network"

#: The greatest number of seeds of one request: a slip of the finger must not fill the memory.
MAX_SEEDS = 10_000


@dataclass(frozen=True)
class Request:
    """What is asked for, checked: every name exists and every value can be used.

    ``given`` is the task as it was typed: a name or a path. ``strangers`` says that the task's data sets out
    of distribution have been replaced, ``banked`` that its bank of concepts has. ``typed`` is the command
    line where it is not that of ``run``.
    """

    task: Task
    methods: tuple[str, ...]
    densities: tuple[float, ...]
    seeds: tuple[int, ...]
    metrics: tuple[str, ...]
    budget: str
    given: str = ""
    strangers: bool = False
    banked: bool = False
    typed: str = ""

    @property
    def spec(self) -> Budget:
        """The budget's recipe and evaluation."""
        return self.task.budgets()[self.budget]

    def command(self) -> str:
        """The command line that asks for just this."""
        if self.typed:
            return self.typed

        def typed(kind: type[Any], name: str) -> str:
            base, colon, variant = name.partition(":")
            return shlex.quote(f"{registry.path_of(kind, base) or base}{colon}{variant}")

        own = {
            registry.path_of(Dataset, self.task.data.dataset),
            registry.path_of(Architecture, self.task.architecture),
        }
        plugins = "".join(f" --plugin {shlex.quote(str(path))}" for path in sorted(filter(None, own)))
        sparsity = ",".join(f"{1 - d:.12g}" for d in self.densities)
        others = ",".join(typed(Dataset, name) for name in self.task.data.ood)
        bank = f" --concepts {typed(Bank, self.task.data.concepts or '')}" if self.banked else ""
        return (
            f"lthbench run --task {shlex.quote(self.given or self.task.name)} "
            f"--methods {','.join(typed(Method, m) for m in self.methods)} --sparsity {sparsity} "
            f"--seeds {','.join(map(str, self.seeds))}{',' if len(self.seeds) == 1 else ''} "
            f"--metrics {','.join(typed(Metric, m) for m in self.metrics)} --budget {self.budget}"
            f"{f' --ood {others}' if self.strangers else ''}{bank}{plugins}"
        )


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

    def labels(self) -> dict[str, str]:
        """What each network and mask is called: "imp 79.0 % seed 0", by key."""
        found: dict[str, str] = {}
        for entry in self.entries:
            for step in history(entry.network):
                if isinstance(step, Train | Prune | Given) and step.key not in found:
                    mask = step if isinstance(step, Prune) else getattr(step, "mask", None)
                    removed = entry.sparsity if mask is None else 1 - mask.density
                    name = "dense" if step == entry.dense else f"{entry.method} {100 * removed:.1f} %"
                    found[step.key] = f"{name} seed {entry.seed}"
        return found


def request(
    task: Task,
    methods: Sequence[str] | None = None,
    sparsities: Sequence[float] | None = None,
    rounds: Sequence[int] | None = None,
    seeds: Sequence[int] | int | None = None,
    metrics: Sequence[str] | None = None,
    budget: str | None = None,
    given: str = "",
    ood: Sequence[str] | None = None,
    concepts: str | None = None,
) -> Request:
    """Check what was asked for, and fill in the task's defaults. Raises BadInput naming every fault."""
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
    if trained_on is not None and "val" not in trained_on.splits:
        lacking = [m for m in chosen if m is not None and "val" in m.needs]
        if metrics is None:
            chosen = [m for m in chosen if m not in lacking]
        else:
            faults += [f"metric {m.name} needs val images; {trained_on.name} has none." for m in lacking]
    if task.data.concepts is None:
        lacking = [m for m in chosen if m is not None and "concepts" in m.looks]
        if metrics is None:
            chosen = [m for m in chosen if m is None or not {"concepts", "mis", "pictured"} & set(m.looks)]
        else:
            why = f"task {task.name} has none; name one with --concepts"
            faults += [f"metric {m.name} needs a bank of concepts: {why}." for m in lacking]
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
        every = corruptions.every()
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
        given,
        ood is not None,
        concepts is not None,
    )


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


def _listed(what: str, given: Any, kind: type[Any], plain: type[Any], noun: str) -> list[Any] | None:
    """An argument as a list. Raises BadInput for what is none, or holds values of another type."""
    if given is None:
        return None
    values = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [None]
    if not all(isinstance(v, kind) and not isinstance(v, bool) for v in values):
        raise BadInput(f"{what}: expected a list of {noun}, got {given!r}.")
    return [plain(v) for v in values]


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
    elsewhere = elsewhere or {}
    task, known = request.task, known or {}

    def identified(name: str) -> Data:
        return known[name] if name in known else data.identify(name, places, needed=data_needed)

    trained_on = identified(task.data.dataset)
    looked_at = {
        n for m in request.metrics for n in registry.get(Metric, m).needs + registry.get(Metric, m).looks
    }
    others = task.data.ood if "ood" in looked_at else ()
    strangers = tuple(identified(name) for name in others)
    metrics = [registry.get(Metric, name) for name in request.metrics]
    asked = {need for m in metrics for need in (*m.needs, *m.looks, *m.maps)}
    sets = {
        n: _inputs(n, request, trained_on, strangers, places, known, data_needed=data_needed) for n in asked
    }
    banks = [_bank(request, places, data_needed, known)] if "concepts" in asked else []
    built = network(task)
    named = ("dense", *request.methods)
    methods = {n: registry.get(Method, n.partition(":")[0]) for n in named if n not in elsewhere}
    versions = {
        m.criterion.name: registry.version(Method, m.criterion.name)
        for m in methods.values()
        if m.criterion is not None
    }
    entries = []
    faults: list[str] = []
    trained = {s: Train(Init(built, s), request.spec.train, trained_on, s) for s in request.seeds}
    parents: dict[int, Weights] = {s: elsewhere.get("dense", trained)[s] for s in request.seeds}
    following = dict(zip(request.seeds, (*request.seeds[1:], request.seeds[0]), strict=True))
    for seed, dense in parents.items():
        init = Init(built, seed)
        rewound = Rewind(trained[seed], request.spec.rewind_epoch)
        for name in named:
            for density in (1.0,) if name == "dense" else request.densities:
                cell = Cell(
                    density,
                    task.levels(density),
                    seed,
                    request.spec.train,
                    trained_on,
                    init,
                    trained[seed],
                    rewound,
                    versions,
                    registry.get(Architecture, task.architecture),
                    _steps_per_epoch(request.spec.train, trained_on),
                    request.spec.finetune,
                    name.partition(":")[2],
                )
                try:
                    reason, ticket = (
                        ("", elsewhere[name][seed]) if name in elsewhere else _built(methods[name], cell)
                    )
                except LthbenchError:
                    raise
                except Exception as error:  # a method of the user's own may raise anything
                    raise BadInput(f"method {name}: {type(error).__name__}: {error}") from error
                if ticket is None:
                    faults.append(f"method {name} at sparsity {1 - density:.4g}: {reason}")
                    continue
                controls: tuple[tuple[str, Measure], ...] = ()
                if name == "dense":
                    rival = parents[following[seed]]
                    measures = tuple(_measure(m, rival if m.rival else dense, dense, sets) for m in metrics)
                    controls = tuple((UNTRAINED, _measure(m, init, dense, sets)) for m in metrics if m.nulls)
                else:
                    measures = tuple(_measure(m, ticket, dense, sets) for m in metrics)
                sparsity = 0.0 if name == "dense" else round(1.0 - density, 12)
                entries.append(Entry(name, sparsity, seed, ticket, dense, measures, controls))
    if faults:
        raise BadInput("\n".join(dict.fromkeys(faults)))
    steps = tuple(history(*(m for e in entries for m in e.scored()), *(e.network for e in entries)))
    return Plan(request, tuple(entries), steps, (trained_on, *strangers, *(b for b in banks if b.digest)))


def _built(method: Method, cell: Cell) -> tuple[str, Weights | None]:
    """Why a method does not fit a cell, or the network that it makes of it."""
    reason = method.unfit(cell)
    if reason:
        return reason, None
    ticket = method.ticket(cell)
    if not isinstance(ticket, Train):
        raise TypeError(f"ticket(cell) must return a training, cell.train(...), not {ticket!r}")
    return "", ticket


def _method(name: str, faults: list[str]) -> str:
    """The full name of a method and its variant, as asked for by name, alias or path, with ``:variant``."""
    base, _, variant = name.partition(":")
    try:
        method = registry.get(Method, base)
    except BadInput as error:
        faults.append(str(error))
        return name
    if variant and variant not in method.variants:
        known = method.variants or ["none"]
        faults.append(f"method {method.name}: {unknown('variant', variant, known)}")
    return f"{method.name}:{variant}" if variant else method.name


def _steps_per_epoch(recipe: Recipe, trained_on: Data) -> int:
    images = registry.get(Dataset, trained_on.name).splits["train"]
    return -(-min(recipe.images or images, images) // recipe.batch_size)


def network(task: Task) -> Network:
    """The network of a task."""
    dataset = registry.get(Dataset, task.data.dataset)
    architecture = registry.get(Architecture, task.architecture)
    return Network(
        architecture.name,
        architecture.version,
        len(dataset.classes),
        dataset.channels,
        dataset.size,
        dataset.mean,
        dataset.std,
    )


def _measure(
    metric: Metric, network: Weights, dense: Weights, sets: dict[str, list[tuple[str, Inputs]]]
) -> Measure:
    inputs = tuple(pair for need in metric.needs for pair in sets[need])
    version = registry.version(Metric, metric.name)
    looks = tuple(pair for look in metric.looks for pair in sets[look])
    maps = tuple(pair for need in metric.maps for pair in sets[need])
    reference = dense if metric.relative else None
    return Measure(metric.name, version, network, inputs, reference, looks or None, maps or None)


def _bank(request: Request, places: tuple[Path, ...], needed: bool, known: Mapping[str, Data]) -> Data:
    """The task's bank of concepts as it stands in keys; its digest is "" for one that is made."""
    assert request.task.data.concepts is not None
    bank = registry.get(Bank, request.task.data.concepts)
    return known.get(banked.PREFIX + bank.name) or banked.identify(bank, places, needed=needed)


def _inputs(
    need: str,
    request: Request,
    trained_on: Data,
    strangers: Iterable[Data],
    places: tuple[Path, ...],
    known: Mapping[str, Data],
    *,
    data_needed: bool,
) -> list[tuple[str, Inputs]]:
    """The sets of images behind one need, by name."""
    looked = request.spec.evaluate
    if need == "test":
        return [("test", Inputs(trained_on, "test", looked.test_images, "clean", 1))]
    if need == "train":
        return [("train", Inputs(trained_on, "train", looked.train_images, "clean", 1))]
    if need == "ood":
        return [(f"ood/{d.name}", Inputs(d, "test", looked.ood_images, "clean", 1)) for d in strangers]
    if need == "val":
        return [("val", Inputs(trained_on, "val", 0, "clean", 1))]
    if need == "uncorrupted":
        return [("uncorrupted", Inputs(trained_on, "test", looked.corrupted_images, "clean", 1))]
    if need == "geometry":
        return [("geometry", Inputs(trained_on, "train", looked.geometry_images, "clean", 1))]
    if need == "concepts":
        bank = _bank(request, places, data_needed, known)
        view = bank.name + (f"/{bank.digest}" if bank.digest else "")
        return [(need, Inputs(trained_on, "test", looked.concept_images, view, bank.version))]
    if need == "mis":  # it takes 400 at least
        return [(need, Inputs(trained_on, "test", max(looked.concept_images, 400), "clean", 1))]
    if need in ("pictured", "read"):
        split = "test" if need == "pictured" else "train"
        return [(need, Inputs(trained_on, split, looked.concept_images, "clean", 1))]
    if need in ("explained", "lime"):
        images = looked.explained_images if need == "explained" else looked.lime_images
        return [(need, Inputs(trained_on, "test", images, "clean", 1))]
    if need in ("fgsm", "fgsm-random", "pgd", "autoattack"):
        epsilon = (looked.fgsm_epsilon_255,)
        return [(need, Inputs(trained_on, "test", looked.attacked_images, need, 1, epsilon))]
    if need == "corrupted" and looked.corruption_source == "official":
        dataset = registry.get(Dataset, trained_on.name)
        images, severities = looked.corrupted_images, looked.severities
        sets = []
        for kind in looked.corruptions:
            found = official.identify(dataset, kind, severities, places, needed=data_needed)
            view = official.PREFIX + kind
            sets.append(
                (f"corrupted/{kind}", Inputs(found, "test", images, view, official.VERSION, severities))
            )
        return sets
    if need == "corrupted":
        kinds = [corruptions.get(name) for name in looked.corruptions]
        images, severities = looked.corrupted_images, looked.severities
        return [
            (f"corrupted/{k.name}", Inputs(trained_on, "test", images, k.name, k.version, severities))
            for k in kinds
        ]
    raise BadInput(f"a metric asks for the images {need!r}; there are {', '.join(NEEDS)}.")
