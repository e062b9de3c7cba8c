"""What stands beside a table in ``run.json``, as a record: what was asked for, and how scores are read."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench.compute.libraries import LIBRARIES
from lthbench.errors import BadInput, Damaged, shown
from lthbench.formatting import in_lines, is_formula, one_line, texts_in
from lthbench.kinds import Metric
from lthbench.planning import record_reader, request_record
from lthbench.planning.expression import written
from lthbench.planning.looks import schedule
from lthbench.planning.plan import network
from lthbench.planning.request_record import RequestRecord
from lthbench.results.latency import Latency
from lthbench.results.plugin_facts import PluginFacts, plugins
from lthbench.results.score_facts import ScoreFacts as ScoreFacts
from lthbench.results.score_facts import score_facts as score_facts
from lthbench.results.score_order import aspects, scores_of
from lthbench.results.units import Unit
from lthbench.spec import Data, Given, Init, Step, Train, Weights, as_sparsity, mask_keeper
from lthbench.store import Snapshot, Store
from lthbench.verdict import calibration
from lthbench.verdict.aspect import Aspect
from lthbench.verdict.sequential import Looks

if TYPE_CHECKING:
    from lthbench.planning.plan import Plan

SCHEMA = 2
#: How many entries of each kind are read.
_MOST = {"requests": 1_000, "data": 1_000, "aspects": 1_000, "scores": 5_000, "plugins": 1_000}
_MOST |= {"environments": 10_000}


@dataclass(frozen=True)
class NetworkFacts:
    """A network of the table: the keys of its weights and of its mask, and the expression behind it."""

    method: str
    sparsity: float
    seed: int
    network: str
    mask: str | None = None
    expression: str = ""


@dataclass(frozen=True)
class RunFacts:
    """The facts of a run, or of several put together; ``to_json`` is what stands in run.json.

    ``task`` and ``budget`` are as the task file has them, each with its name. ``requests`` is what each
    line of ``command`` asks for; none where that cannot be read. ``classes`` is how many the task has (0:
    of a version that did not say so), ``plugins`` are those that do not ship. ``environments`` are the
    machines and versions that had a part, ``seconds`` of work by verb, ``masks`` counts of weights by key.
    ``dense_keys`` bind a table to a calibration (None: of a version before there were any); ``calibration``
    is that of a task of one's own. ``ended`` says why no more seeds were added, where they were until all was
    decided. ``rule`` is what the pages beside it judge by ("" for the usual one). ``checkpoints`` are
    accounts of networks made elsewhere. ``pictures``, ``units`` and ``latencies`` are kept beside run.json,
    ``more`` is what other versions have in it.
    """

    schema: int
    command: str
    task: dict[str, Any]
    budget: dict[str, Any]
    methods: tuple[str, ...]
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...]
    data: tuple[Data, ...]
    aspects: tuple[Aspect, ...]
    scores: tuple[ScoreFacts, ...]
    environments: tuple[dict[str, Any], ...]
    seconds: dict[str, float]
    masks: dict[str, dict[str, Any]]
    networks: tuple[NetworkFacts, ...]
    requests: tuple[RequestRecord, ...] = ()
    classes: int = 0
    plugins: tuple[PluginFacts, ...] = ()
    dense_keys: dict[str, str] | None = None
    calibration: dict[str, Any] | None = None
    ended: str = ""
    rule: str = ""
    checkpoints: tuple[dict[str, Any], ...] = ()
    pictures: tuple[dict[str, Any], ...] = ()
    units: tuple[Unit, ...] = ()
    latencies: tuple[Latency, ...] = ()
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def task_name(self) -> str:
        """The name of the task."""
        return str(self.task["name"])

    @property
    def task_title(self) -> str:
        """The task in words."""
        return str(self.task["title"])

    @property
    def budget_name(self) -> str:
        """The name of the budget."""
        return str(self.budget["name"])

    @property
    def looks(self) -> Looks | None:
        """When results were looked at, where seeds were added until all was decided."""
        asked = next((r for r in self.requests if r.looks), None)
        if asked is None:
            return None
        return Looks(schedule(len(asked.looks[0].seeds), asked.most_seeds), self.seeds)

    @cached_property
    def _by_place(self) -> dict[tuple[str, float, int], NetworkFacts]:
        return {(n.method, n.sparsity, n.seed): n for n in self.networks}

    def network(self, method: str, sparsity: float, seed: int) -> NetworkFacts | None:
        """One network of the table, or None where nothing is known of it."""
        return self._by_place.get((method, float(sparsity), int(seed)))

    def empty_layers(self, network: NetworkFacts) -> tuple[str, ...]:
        """The layers of which a network's mask leaves nothing."""
        return tuple(map(str, self.masks.get(network.mask or "", {}).get("collapsed", ())))

    def to_json(self) -> dict[str, Any]:
        """What stands in run.json."""
        found = {
            name: _plain(getattr(self, part))
            for name, part in _PARTS.items()
            if getattr(self, part) not in _LACKING.get(part, ())
        }
        if "requests" in found:
            found["requests"] = [r.to_json() for r in self.requests]
        named = {_key(n): {k: getattr(n, k) for k in _NETWORK} for n in self.networks}
        return {**found, "networks": named, **self.more}


#: The parts of run.json in their order, and the fields that hold them; some files lack some.
_PARTS = {
    name: name
    for name in (
        *("schema", "command", "requests", "task", "budget", "methods", "sparsities", "seeds", "data"),
        *("plugins", "classes", "aspects", "scores", "dense_keys", "calibration", "ended", "rule"),
        *("environments", "seconds", "masks", "networks"),
    )
} | {"given": "checkpoints"}
_LACKING = {
    "requests": ((),),
    "classes": (0,),
    "plugins": ((),),
    "dense_keys": (None,),
    "calibration": (None,),
    "ended": ("",),
    "rule": ("",),
    "checkpoints": ((),),
}
_NETWORK = ("network", "expression", "mask")


#: What holds names alone, which stand in lines with others.
_NAMED = (
    "task",
    "budget",
    "methods",
    "data",
    "plugins",
    "aspects",
    "scores",
    "dense_keys",
    "masks",
    "networks",
    "seconds",
)


#: What pages tell of a task and a budget, and of an environment; every version wrote all of it.
_TOLD: dict[str, dict[str, type]] = {
    "task": dict.fromkeys(("name", "title", "about", "source"), str),
    "budget": {
        **dict.fromkeys(("name", "about", "source"), str),
        **{"rewind_epoch": int, "train": dict, "evaluate": dict},
    },
}
_VERSIONS: dict[str, type] = {
    **dict.fromkeys(("device", "torch", "numpy", "python", "lthbench"), str),
    "threads": int,
}
#: A GPU has no threads.
_UNKNOWN = ("threads",)


def from_json(content: Any, where: str = "run.json") -> RunFacts:
    """The facts in the content of a run.json. Raises BadInput, naming the key, for what is none.

    The requests of a version that kept none are read off its command.
    """
    if not isinstance(content, dict):
        raise BadInput(f"{where}: cannot be read as facts of a run.")
    for name in _NAMED:
        odd = next((text for text in texts_in(content.get(name)) if not one_line(text)), None)
        if odd is not None:
            raise BadInput(f"{where}: {name}: has a text with control characters: {odd[:100]!a}.")
    parts = {part: content[name] for name, part in _PARTS.items() if name in content and part != "requests"}
    record_reader.check_lengths(content, _MOST, where)
    networks = content.get("networks", {})
    if not isinstance(networks, dict) or not all(isinstance(n, dict) for n in networks.values()):
        raise BadInput(f"{where}: networks: cannot be read.")
    try:
        parts["networks"] = [{**_place(key), **network} for key, network in networks.items()]
    except ValueError as error:
        raise BadInput(f"{where}: networks: {error}") from error
    facts = record_reader.read(RunFacts, parts, where, largest=request_record.LARGEST, later_versions=True)
    for part, kinds in _TOLD.items():
        _check_told(getattr(facts, part), kinds, f"{where}: {part}")
    for place, environment in enumerate(facts.environments):
        libraries = {name: str for name in LIBRARIES if name in environment}
        _check_told(environment, _VERSIONS | libraries, f"{where}: environments[{place}]")
    odd = next(filter(is_formula, _in_tables(facts)), None)
    if odd is not None:
        raise BadInput(f"{where}: has a name that spreadsheets would compute: {odd[:100]!a}.")
    # Every version wrote all of an aspect: what is misspelt must not fall back to a default.
    for place, aspect in enumerate(content["aspects"]):
        lacking = [f.name for f in dataclasses.fields(Aspect) if f.name not in aspect]
        if lacking:
            raise BadInput(f"{where}: aspects[{place}]: missing {', '.join(lacking)}")
    facts = dataclasses.replace(facts, scores=_flagged(facts.scores, content["scores"]))
    more = {k: v for k, v in content.items() if k not in _PARTS}
    return dataclasses.replace(facts, requests=_requests(content, facts, where), more=more)


def _in_tables(facts: RunFacts) -> Iterator[str]:
    """The names that stand in the CSV files of reports, too."""
    yield from (facts.task_name, facts.task_title, facts.budget_name, *facts.methods)
    yield from (n.method for n in facts.networks)
    yield from (text for a in facts.aspects for text in (a.score, a.title))
    yield from (text for s in facts.scores for text in (s.name, s.title, s.unit, s.group))


def _check_told(table: Mapping[str, Any], kinds: Mapping[str, type], where: str) -> None:
    """Raise BadInput where a table lacks what pages tell of it, or has something else there."""
    for key, kind in kinds.items():
        if key not in table:
            raise BadInput(f"{where}: missing {key}")
        found: Any = table[key]
        if type(found) is not kind and not (found is None and key in _UNKNOWN):
            raise BadInput(f"{where}: {key}: expected {kind.__name__}, got {shown(found)}")
        if isinstance(found, str) and not one_line(found):
            raise BadInput(f"{where}: {key}: has a text with control characters: {found[:100]!a}.")


def _flagged(scores: tuple[ScoreFacts, ...], content: list[dict[str, Any]]) -> tuple[ScoreFacts, ...]:
    """The same; those of a version that kept no ``rival`` and ``nulls`` have the flags of metrics here."""
    if all("rival" in score for score in content):
        return scores
    known = {s.name: m for m in registry.every(Metric) for s in m.scores}
    return tuple(
        dataclasses.replace(s, rival=known[s.name].rival, nulls=known[s.name].nulls) if s.name in known else s
        for s in scores
    )


def _requests(content: Mapping[str, Any], facts: RunFacts, where: str) -> tuple[RequestRecord, ...]:
    if "requests" in content:
        if not isinstance(content["requests"], list):
            raise BadInput(f"{where}: requests: expected a list")
        return tuple(request_record.read(record, where) for record in content["requests"])
    try:
        return request_record.of_commands(facts.command, facts.methods, where)
    except BadInput:  # of a command that was written by hand; a report shows it as it is
        return ()


def _key(network: NetworkFacts) -> str:
    """What a network is called in run.json."""
    return f"{network.method} {network.sparsity!r} {network.seed}"


def _place(key: str) -> dict[str, Any]:
    """The method, sparsity and seed that a network is called by. Raises ValueError."""
    parts = key.rsplit(maxsplit=2)
    if len(parts) != 3:
        raise ValueError(f"{key!r} is no method, sparsity and seed")
    return {"method": parts[0], "sparsity": float(parts[1]), "seed": int(parts[2])}


def _plain(value: Any) -> Any:
    """A record as JSON data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def facts(
    plan: Plan,
    store: Store | Snapshot,
    checkpoints: Iterable[dict[str, Any]] = (),
    told: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> RunFacts:
    """The facts of a plan, as far as the store holds what it asks for; those of some steps are ``told``."""
    request = plan.request
    own = calibration.beside(request.task.name, request.budget, request.task_as_typed)
    environments: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    masks: dict[str, dict[str, Any]] = {}
    for step in plan.steps:
        meta = told[step.key] if step.key in told else _told(step, store)
        if meta is None:
            continue
        verb = type(step).__name__.lower()
        seconds[verb] = seconds.get(verb, 0.0) + meta["seconds"]
        if meta["environment"] not in environments:
            environments.append(meta["environment"])
        if "kept" in meta:
            masks[step.key] = {k: meta[k] for k in ("kept", "total", "collapsed")}
    return RunFacts(
        schema=SCHEMA,
        **asked(plan),
        classes=request.classes,
        plugins=plugins(request),
        dense_keys=dense_keys(plan),
        calibration=None if own is None else json.loads(own.to_json()),
        environments=tuple(sorted(environments, key=lambda e: json.dumps(e, sort_keys=True))),
        seconds={verb: round(total, 3) for verb, total in sorted(seconds.items())},
        masks=masks,
        networks=networks(plan),
        checkpoints=tuple(checkpoints),
    )


def networks(plan: Plan) -> tuple[NetworkFacts, ...]:
    """The networks of a plan."""
    trained = {s.key for s in plan.steps if isinstance(s, Train | Given)}
    names = {key: name for key, name in plan.labels().items() if key in trained}
    keepers = [(e, mask_keeper(e.network)) for e in plan.entries]
    return tuple(
        NetworkFacts(
            e.method, e.sparsity, e.seed, e.network.key, mask.key if mask else None, written(e.network, names)
        )
        for e, mask in keepers
    )


def _told(step: Step, store: Store | Snapshot) -> dict[str, Any] | None:
    """The facts of a step; None where it is not stored."""
    try:
        return store.meta(step)
    except Damaged:  # or not there, or elsewhere
        return store.meta(step) if store.has(step) else None


def dense_keys(plan: Plan) -> dict[str, str]:
    """For each score of the verdict, the key of the step that measures the dense network of seed 0.

    It holds the versions of data, recipe, images and metric: what a calibration must have in common with a
    run. The network is the one that the task's recipe trains, also where a run's own was made elsewhere; the
    version of a metric is the first with the same values.
    """
    request = plan.request
    dense: Weights = Train(Init(network(request.task), 0), request.spec.train, plan.sources[0], 0)
    if request.start is not None:  # no retraining of the task's recipe is its like
        dense = plan.entries[0].dense
    found = {}
    for measure in next((e.measures for e in plan.entries if e.method == "dense"), ()):
        metric = registry.get(Metric, measure.metric)
        same = dataclasses.replace(measure, subject=dense, reference=measure.reference and dense)
        if metric.values_since:
            same = dataclasses.replace(same, metric_version=str(metric.values_since))
        found.update({s.name: same.key for s in scores_of(metric, request.classes) if s.verdict})
    return found


def asked(plan: Plan) -> dict[str, Any]:
    """What was asked for, and how its scores are read: the parts that are a function of the plan alone."""
    request = plan.request
    return {
        "command": request.command(),
        "requests": (request.record(),),
        # Data sets and a bank may be named by path.
        "task": in_lines(_plain({k: v for k, v in vars(request.task).items() if k != "budget"})),
        "budget": _plain({"name": request.budget, **vars(request.spec)}),
        "methods": request.methods,
        "sparsities": tuple(as_sparsity(d) for d in request.densities),
        "seeds": request.seeds,
        "data": plan.sources,
        "aspects": tuple(aspects(request.metrics, request.classes)),
        "scores": score_facts(request.metrics, request.classes),
    }
