"""Which part of a plan's time goes where: to training, and to what each metric asks for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from lthbench.planning.estimate import More, seconds
from lthbench.spec import Explain, Measure, Predict, Step

#: Metrics, by name, that alone ask for something; nothing for trainings and masks.
Askers = tuple[str, ...]


def shares(
    steps: Sequence[Step], rates: dict[str, float], device: str, more: More | None = None
) -> dict[Askers, float]:
    """The share of the processor time of ``steps`` and of those of ``more`` seeds, the largest first.

    Under () stand trainings, the masks, and what no metric asks for; under ("lime",) what is saved without
    that metric; under several, such as passes over corrupted images, what is saved without all of them.
    """
    total: dict[Askers, float] = defaultdict(float)
    parts: list[tuple[int, Sequence[Step]]] = [(1, steps)]
    if more:
        parts += [(more.times, more.beside), (-more.times, more.without)]
    for weight, part in parts:
        for askers, spent in _spent(part, rates, device).items():
            total[askers] += weight * spent
    whole = sum(total.values())
    ordered = sorted(total.items(), key=lambda one: -one[1])
    return {askers: spent / whole for askers, spent in ordered} if whole > 0.0 else {}


def _spent(steps: Sequence[Step], rates: dict[str, float], device: str) -> Mapping[Askers, float]:
    """The seconds of steps by who asks for them."""
    asked: dict[str, set[str]] = defaultdict(set)
    for step in steps:
        if isinstance(step, Measure):
            for scored in _scored(step):
                asked[scored.key].add(step.metric)
    found: dict[Askers, float] = defaultdict(float)
    for step in steps:
        found[tuple(sorted(asked.get(step.key, ())))] += seconds(step, rates, device)
    return found


def _scored(measure: Measure) -> Iterable[Step]:
    """A measure, and the passes and maps that it reads, with what these read."""
    for step in (measure, *measure.needs()):
        if isinstance(step, (Measure, Predict, Explain)):
            yield step
        if isinstance(step, Explain):
            yield step.predicted
