"""How long a plan will take: its operations over a rate, learned from the store's log where there is one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, NamedTuple

from lthbench.formatting import span
from lthbench.planning.flops import flops
from lthbench.planning.jobs import group
from lthbench.spec import Predict, Step, Train, network_of

#: FLOP/s of one worker, where nothing was measured yet: small networks, one core; one recent GPU.
DEFAULT_RATE = {"cpu": 60e9, "cuda": 2e12}
#: Seconds to start the workers and to do what is not counted in operations, for each step.
START_SECONDS, STEP_SECONDS = 6.0, 0.03


@dataclass(frozen=True)
class Estimate:
    """Seconds, low and high; ``chain`` is the longest run of steps that must follow one another.

    ``begun`` is how many trainings go on where they were left.
    """

    low: float
    high: float
    chain: float
    learned: bool
    begun: int = 0

    def text(self) -> str:
        """A range that reads well: "2-4 min"."""
        return span(self.low, self.high)


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
    rates = learned_rates(events, device)
    known = rates.keys() >= {_kind(s) for s in (*steps, *others) if rated_by(s)}
    total = sum(seconds(s, rates, device) * (1.0 - begun.get(s.key, 0.0)) for s in steps)
    if more:
        beside, without = (
            sum(seconds(s, rates, device) for s in part) for part in (more.beside, more.without)
        )
        total += more.times * (beside - without)
    jobs = [*group(steps, begun).values(), *group(others).values()]
    longest = max(job.height for job in jobs)
    slowest = min(rates.values(), default=DEFAULT_RATE.get(device, DEFAULT_RATE["cpu"]))
    chain = longest / slowest
    wall = START_SECONDS + max(total / max(workers, 1), chain)
    spread = 1.3 if known else 2.5
    going_on = sum(share > 0 for share in begun.values())
    return Estimate(wall / spread, wall * spread, chain, known, going_on)


def learned_rates(events: Iterable[dict[str, Any]], device: str) -> dict[str, float]:
    """FLOP/s by kind of step, architecture and precision, over the last 200 of each in the log."""
    seen: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        counts = event.get("status") == "ok" and event.get("device") == device and event.get("flops", 0) > 0
        if counts and "architecture" in event:
            kind = _named(event["step"], event["architecture"], event.get("precision", "float32"))
            seen.setdefault(kind, []).append((event["flops"], event["seconds"]))
    sums = {k: [sum(c) for c in zip(*v[-200:], strict=True)] for k, v in seen.items()}
    return {kind: flops / spent for kind, (flops, spent) in sums.items() if spent > 0}


def seconds(step: Step, rates: dict[str, float], device: str) -> float:
    """The time of one step on one worker."""
    rate = rates.get(_kind(step), DEFAULT_RATE.get(device, DEFAULT_RATE["cpu"]))
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
