"""How long a plan will take: its operations over a rate, learned from the store's log where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from graphlib import TopologicalSorter
from typing import Any, NamedTuple

from lthbench.formatting import counted, duration, span
from lthbench.planning.flops import flops
from lthbench.planning.jobs import Job, group
from lthbench.spec import Predict, Step, Train, network_of

#: FLOP/s of one worker, where nothing was measured yet: small networks, one core; one recent GPU, a guess
#: until ``ci/gpu`` has measured one (its ``flop_per_second`` counts as here).
DEFAULT_RATE = {"cpu": 60e9, "cuda": 2e12}
#: Seconds to start the workers and to do what is not counted in operations, for each step.
START_SECONDS, STEP_SECONDS = 6.0, 0.03
#: Trainings are alike where one has at least this share of the other's operations: rewound ones have fewer.
ALIKE = 0.75


@dataclass(frozen=True)
class Estimate:
    """Seconds, low and high; ``chain`` is the longest run of steps that must follow one another.

    ``begun`` is how many trainings go on where they were left. ``like`` is how many of those in the log were
    alike, and ``took`` the seconds of one from its start: they give the time of trainings, where there are.
    """

    low: float
    high: float
    chain: float
    learned: bool
    begun: int = 0
    like: int = 0
    took: float = 0.0

    def text(self) -> str:
        """A range that reads well: "2-4 min"."""
        return span(self.low, self.high)

    def alike(self) -> str:
        """In words, what the time of trainings is taken from; "" where it is their operations alone."""
        if not self.like:
            return ""
        return (
            f"as {counted(self.like, 'training', 'trainings')} like these in this store took: about "
            f"{duration(self.took)} for one"
        )


class More(NamedTuple):
    """Steps that are not listed: so many ``times`` what is ``beside`` others and not ``without`` it."""

    times: int
    without: Sequence[Step]
    beside: Sequence[Step]


def estimate(
    steps: Sequence[Step],
    events: Iterable[dict[str, Any]],
    workers: int,
    device: str,
    begun: Mapping[str, float] | None = None,
    more: More | None = None,
) -> Estimate:
    """The time for these steps and those of ``more`` seeds; ``begun`` are shares that are done, by key."""
    begun = begun or {}
    others = more.beside if more else ()
    if not steps and not others:
        return Estimate(0.0, 0.0, 0.0, True)
    trainings = [s for s in (*steps, *others) if isinstance(s, Train)]
    rates, near = rates_for(trainings, events, device)
    known = rates.keys() >= {_kind(s) for s in (*steps, *others) if rated_by(s)}
    total = sum(seconds(s, rates, device) * (1.0 - begun.get(s.key, 0.0)) for s in steps)
    if more:
        beside, without = (
            sum(seconds(s, rates, device) for s in part) for part in (more.beside, more.without)
        )
        total += more.times * (beside - without)
    chain = max(_longest(group(part, begun), rates, device, begun) for part in (steps, others))
    wall = START_SECONDS + max(total / max(workers, 1), chain)
    spread = 1.3 if known else 2.5
    going_on = sum(share > 0 for share in begun.values())
    like = {one for found in near.values() for one in found}
    took = max((seconds(s, rates, device) for s in trainings if _sized(s) in near), default=0.0)
    return Estimate(wall / spread, wall * spread, chain, known, going_on, len(like), took)


def rates_for(
    trainings: Iterable[Train], events: Iterable[dict[str, Any]], device: str
) -> tuple[dict[str, float], dict[str, list[tuple[float, float]]]]:
    """FLOP/s by kind of step, and of ``trainings`` like some in the log by kind and size; and these."""
    events = list(events)
    rates, log = learned_rates(events, device), _log(events, device)
    near = {size: found for s in trainings if (found := _near(log, s)) for size in [_sized(s)]}
    rates |= {size: sum(f for f, _ in found) / sum(t for _, t in found) for size, found in near.items()}
    return rates, near


def _longest(
    jobs: Mapping[str, Job], rates: dict[str, float], device: str, begun: Mapping[str, float]
) -> float:
    """The seconds of the longest way through jobs that wait for each other."""
    ends: dict[str, float] = {}
    for name in TopologicalSorter({name: job.needs for name, job in jobs.items()}).static_order():
        spent = sum(seconds(s, rates, device) * (1.0 - begun.get(s.key, 0.0)) for s in jobs[name].timed())
        ends[name] = spent + max((ends[n] for n in jobs[name].needs), default=0.0)
    return max(ends.values(), default=0.0)


def _log(events: Iterable[dict[str, Any]], device: str) -> dict[str, list[tuple[float, float]]]:
    """FLOP and seconds of the steps in a log, by kind of step, architecture and precision."""
    found: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        if _counts(event, device):
            kind = _named(event["step"], event["architecture"], event.get("precision", "float32"))
            found.setdefault(kind, []).append((event["flops"], event["seconds"]))
    return found


def _near(log: Mapping[str, list[tuple[float, float]]], step: Train) -> list[tuple[float, float]]:
    """Of trainings of a kind those that were about as long: of the same recipe, from the start or rewound."""
    size = flops(step)
    return [one for one in log.get(_kind(step), []) if ALIKE * size <= one[0] <= size / ALIKE][-200:]


def _sized(step: Train) -> str:
    return f"{_kind(step)}, {flops(step):.6g} FLOP"


def learned_rates(events: Iterable[dict[str, Any]], device: str) -> dict[str, float]:
    """FLOP/s by kind of step, architecture and precision, over the last 200 of each in the log."""
    sums = {k: [sum(c) for c in zip(*v[-200:], strict=True)] for k, v in _log(events, device).items()}
    return {kind: flops / spent for kind, (flops, spent) in sums.items() if spent > 0}


def _counts(event: Mapping[str, Any], device: str) -> bool:
    done = event.get("status") == "ok" and event.get("seconds", 0) > 0
    done = done and event.get("device") == _kind_of_device(device)
    return done and event.get("flops", 0) > 0 and "architecture" in event


def _kind_of_device(device: str) -> str:
    """As events and rates have it: "cuda" for "cuda:1"."""
    return device.partition(":")[0]


def seconds(step: Step, rates: dict[str, float], device: str) -> float:
    """The time of one step on one worker."""
    kind = _sized(step) if isinstance(step, Train) and _sized(step) in rates else _kind(step)
    rate = rates.get(kind, DEFAULT_RATE.get(_kind_of_device(device), DEFAULT_RATE["cpu"]))
    return STEP_SECONDS + flops(step) / rate


@singledispatch
def rated_by(step: Step) -> dict[str, str]:
    """What the rate of a step depends on, as the event log says it; nothing where no rate is learned."""
    del step
    return {}


@rated_by.register
def _(step: Train) -> dict[str, str]:
    return {"architecture": network_of(step).architecture, "precision": step.recipe.precision}


@rated_by.register
def _(step: Predict) -> dict[str, str]:
    return {"architecture": network_of(step).architecture}


def _kind(step: Step) -> str:
    return _named(type(step).__name__, **rated_by(step))


def _named(step: str, architecture: str = "", precision: str = "float32") -> str:
    return " ".join(filter(None, (step, architecture, precision if precision != "float32" else "")))
