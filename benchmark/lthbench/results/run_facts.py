"""What stands beside a table in ``run.json``."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lthbench import registry
from lthbench.kinds import Metric
from lthbench.planning.expression import written
from lthbench.planning.plan import network
from lthbench.results.score_order import aspects, scores
from lthbench.spec import Given, Init, Train, mask_keeper
from lthbench.store import Store
from lthbench.verdict import calibration

if TYPE_CHECKING:
    from lthbench.planning.plan import Plan


SCHEMA = 2


def facts(plan: Plan, store: Store) -> dict[str, Any]:
    """What stands beside the table in ``run.json``: request, data, versions, devices, how scores are read."""
    request = plan.request
    own = calibration.beside(request.task.name, request.budget, request.given)
    environments: list[dict[str, Any]] = []
    seconds: dict[str, float] = {}
    layers: dict[str, dict[str, Any]] = {}
    trained = {s.key for s in plan.steps if isinstance(s, Train | Given)}
    names = {key: name for key, name in plan.labels().items() if key in trained}
    for step in plan.steps:
        if not store.has(step):
            continue
        meta = store.meta(step)
        verb = type(step).__name__.lower()
        seconds[verb] = seconds.get(verb, 0.0) + meta["seconds"]
        if meta["environment"] not in environments:
            environments.append(meta["environment"])
        if "kept" in meta:
            layers[step.key] = {k: meta[k] for k in ("kept", "total", "collapsed")}
    return {
        "schema": SCHEMA,
        **asked(plan),
        "dense_keys": dense_keys(plan),
        **({} if own is None else {"calibration": json.loads(own.to_json())}),
        "environments": sorted(environments, key=lambda e: json.dumps(e, sort_keys=True)),
        "seconds": {verb: round(total, 3) for verb, total in sorted(seconds.items())},
        "masks": layers,
        "networks": {
            f"{e.method} {e.sparsity!r} {e.seed}": {
                "network": e.network.key,
                "expression": written(e.network, {k: v for k, v in names.items() if k != e.network.key}),
                "mask": keeper.key if (keeper := mask_keeper(e.network)) else None,
            }
            for e in plan.entries
        },
    }


def dense_keys(plan: Plan) -> dict[str, str]:
    """For each score of the verdict, the key of the step that measures the dense network of seed 0.

    It holds the versions of data, recipe, images and metric: what a calibration must have in common with a
    run. The network is the one that the task's recipe trains, also where a run's own was made elsewhere.
    """
    request = plan.request
    dense = Train(Init(network(request.task), 0), request.spec.train, plan.sources[0], 0)
    found = {}
    for measure in next((e.measures for e in plan.entries if e.method == "dense"), ()):
        same = replace(measure, subject=dense, reference=measure.reference and dense)
        found.update({s.name: same.key for s in registry.get(Metric, measure.metric).scores if s.verdict})
    return found


def asked(plan: Plan) -> dict[str, Any]:
    """What was asked for, and how its scores are read: a function of the plan alone."""
    import dataclasses

    request = plan.request
    return {
        "command": request.command(),
        "requests": [request.to_json()],
        "task": {k: v for k, v in dataclasses.asdict(request.task).items() if k != "budget"},
        "budget": {"name": request.budget, **dataclasses.asdict(request.spec)},
        "methods": list(request.methods),
        "sparsities": [round(1 - d, 12) for d in request.densities],
        "seeds": list(request.seeds),
        "data": [dataclasses.asdict(d) for d in plan.sources],
        "aspects": [dataclasses.asdict(a) for a in aspects(request.metrics)],
        "scores": [_finite(dataclasses.asdict(s)) for s in scores(request.metrics)],
    }


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    return {k: None if isinstance(v, float) and math.isinf(v) else v for k, v in record.items()}
