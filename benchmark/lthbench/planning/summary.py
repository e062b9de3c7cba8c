"""What a plan would do and cost, in numbers: for ``lthbench plan`` and the first lines of a run."""

from __future__ import annotations

import math
from collections.abc import Sequence, Set
from pathlib import Path
from typing import Any

from lthbench import formatting
from lthbench._version import __version__
from lthbench.data import concepts
from lthbench.planning import again
from lthbench.planning.disk_use import size
from lthbench.planning.estimate import Estimate, estimate, rates_for
from lthbench.planning.flops import flops
from lthbench.planning.jobs import stack_on
from lthbench.planning.looks import schedule
from lthbench.planning.memory_use import needed
from lthbench.planning.missing import shares_done
from lthbench.planning.plan import Plan
from lthbench.planning.seeds import Thinned
from lthbench.planning.settle import published
from lthbench.planning.shares import shares
from lthbench.spec import (
    Rewind,
    Step,
    Train,
    as_sparsity,
    history,
    mask_keeper,
)
from lthbench.store import Store


def counted(steps: Sequence[Step], stored: Set[str]) -> dict[str, dict[str, int]]:
    """How many steps of each verb there are, and how many of them are stored."""
    verbs: dict[str, dict[str, int]] = {}
    for step in steps:
        count = verbs.setdefault(type(step).__name__.lower(), {"all": 0, "stored": 0})
        count["all"] += 1
        count["stored"] += step.key in stored
    return verbs


def header(plan: Plan, todo: list[Step], estimate: Estimate, workers: int) -> str:
    """What a run says before it starts."""
    said = _asked(plan)
    if not todo:
        return f"{said}\nplan   everything is stored; nothing to do"
    verbs = counted(todo, set())
    trainings = verbs.get("train", {"all": 0})["all"]
    scores = verbs.get("measure", {"all": 0})["all"]
    guess = "" if estimate.learned else " (a guess)"
    begun = f" ({estimate.begun:,} begun)" if estimate.begun else ""
    return (
        f"{said}\nplan   {formatting.counted(trainings, 'training', 'trainings')}{begun}, "
        f"{formatting.counted(scores, 'measure', 'measures')}, "
        f"{formatting.counted(len(todo), 'step', 'steps')} in all; "
        f"{len(plan.steps) - len(todo):,} stored or not needed · "
        f"{estimate.text()}{guess} with {formatting.counted(workers, 'worker', 'workers')}"
    )


def collected(plan: Plan, todo: list[Step]) -> str:
    """What is said before what is stored is reported, of which steps are missing."""
    verbs = {verb: count["all"] for verb, count in counted(todo, set()).items()}
    named = [
        formatting.counted(verbs.get(verb, 0), said, f"{said}s")
        for verb, said in (("train", "training"), ("measure", "measure"))
    ]
    every = f"{formatting.counted(len(todo), 'step', 'steps')} in all"
    missing = f"missing are {', '.join(named)}, {every}" if todo else "all that is needed"
    return f"{_asked(plan)}\nstored {len(plan.steps) - len(todo):,} of {len(plan.steps):,} steps; {missing}"


def _asked(plan: Plan) -> str:
    """What is asked for, with notes, in lines."""
    request = plan.request
    said = f"lthbench {__version__} · task {request.task.name} · budget {request.budget} · "
    said += f"{' '.join(request.methods) or 'dense only'} · "
    said += f"{formatting.counted(len(request.densities), 'sparsity', 'sparsities')} · "
    said += formatting.counted(len(request.seeds), "seed", "seeds")
    if request.looks:
        looks = schedule(len(request.looks[0].seeds), request.most_seeds)
        networks = sum(map(len, request.looks[-1].networks.values()))
        said += f" · look {len(request.looks)} of {len(looks)} at most, at "
        said += formatting.counted(networks, "network", "networks")
    return said + "".join(f"\nnote   {note}" for note in request.notes)


def costed(
    found: Thinned,
    store: Store,
    places: tuple[Path, ...],
    workers: int,
    device: str,
    stack: int = 0,
) -> dict[str, Any]:
    """A plan's account: steps, what is stored, costs, time, data, and the empty layers of stored masks."""
    plan = found.plan
    request = plan.request
    todo = [s for s in plan.steps if s.key not in found.stored]
    events = list(store.events())
    guess = estimate(todo, events, workers, device, shares_done(todo, store), found.more)
    trainings = [s for s in (*todo, *(found.more.beside if found.more else ())) if isinstance(s, Train)]
    spent = shares(todo, rates_for(trainings, events, device)[0], device, found.more)
    memory, most = needed(todo)
    return {
        "task": request.task.name,
        "budget": request.budget,
        "methods": list(request.methods),
        "sparsities": [as_sparsity(d) for d in request.densities],
        "seeds": list(request.seeds),
        "metrics": list(request.metrics),
        "steps": _steps(found),
        "again": again.reasons(plan.steps, found.stored, store),
        "flops": _costs(found),
        "collapsed": _collapsed(plan, store),
        "seconds": [round(guess.low), round(guess.high)],
        "time": guess.text() if todo or found.left_out else "nothing to do",
        "shares": [{"metrics": list(askers), "share": round(part, 4)} for askers, part in spent.items()],
        "chain": f"{_chain(plan)}",
        "bytes": _bytes(found),
        "memory": round(memory),
        "memory_step": type(most).__name__.lower() if most else "",
        "learned": guess.learned,
        "like": guess.alike(),
        "begun": guess.begun,
        "workers": workers,
        "stack": stack_on(device, stack),
        "device": device,
        "data": {source.name: dict(concepts.describe(source.name, places)) for source in plan.sources}
        | published(request, places),
        "command": request.command(),
        "request": request.to_json(),
        "notes": list(request.notes),
        "looks": list(schedule(len(request.looks[0].seeds), request.most_seeds)) if request.looks else [],
    }


def _steps(found: Thinned) -> dict[str, dict[str, int]]:
    """How many steps of each verb all seeds have, and how many of them are stored."""
    verbs = counted(found.plan.steps, found.stored)
    if found.few:
        without, beside = (counted(few.steps, set()) for few in found.few)
        for verb, count in verbs.items():
            count["all"] += found.left_out * (beside[verb]["all"] - without[verb]["all"])
    return verbs


def _bytes(found: Thinned) -> int:
    """What the artefacts of all seeds will take in the store, within a factor of two."""
    taken = math.fsum(size(s) for s in found.plan.steps if s.key not in found.stored)
    if found.few:  # of the seeds that are left out nothing is stored
        without, beside = (math.fsum(map(size, few.steps)) for few in found.few)
        taken += found.left_out * (beside - without)
    return round(taken)


def _costs(found: Thinned) -> dict[str, dict[str, float]]:
    """The costs of the methods for all seeds."""
    totals = costs(found.plan)
    if found.few:
        without, beside = map(costs, found.few)
        for method, total in totals.items():
            for part in total:
                total[part] += found.left_out * (beside[method][part] - without[method][part])
    return totals


def _collapsed(plan: Plan, store: Store) -> dict[str, list[str]]:
    """The layers that stored masks leave empty, by network."""
    found = {}
    for entry in plan.entries:
        keeper = mask_keeper(entry.network)
        if keeper is not None and store.intact(keeper):
            empty = [name.removesuffix(".weight") for name in store.meta(keeper)["collapsed"]]
            if empty:
                found[f"{entry.method} {formatting.sparsity(entry.sparsity)} seed {entry.seed}"] = empty
    return found


def _chain(plan: Plan) -> int:
    """The longest run of trainings that follow one another."""
    depth: dict[str, int] = {}
    for step in plan.steps:
        before = max((depth[n.key] for n in step.needs()), default=0)
        depth[step.key] = before + isinstance(step, Train)
    return max(depth.values(), default=0)


def costs(plan: Plan) -> dict[str, dict[str, float]]:
    """For each method, the operations of finding its masks and of training its networks, beside the dense
    ones. Iterative pruning trains to find; what is shared between sparsities is counted once.
    """
    dense = {s.key for e in plan.entries for s in history(e.dense)}
    dense |= {s.key for s in plan.steps if isinstance(s, Rewind) and s.train.key in dense}  # taken on the way
    found: dict[str, dict[str, float]] = {}
    for method in plan.request.methods:
        networks = [e.network for e in plan.entries if e.method == method]
        tickets = {n.key for n in networks}
        cost = {"finding": 0.0, "training": 0.0}
        for step in history(*networks):
            if step.key not in dense:
                cost["training" if step.key in tickets else "finding"] += flops(step)
        found[method] = cost
    return found
