"""How many bytes steps will take in a store: by the sizes of weights, masks, logits and maps. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

from lthbench.planning.flops import shown, size_of
from lthbench.spec import Explain, Measure, Predict, Prune, Step, network_of

#: Description, facts and manifest of an artefact.
_NOTES = 6000
#: A measure's scores as text, and the draws of some.
_SCORES = 2500


def footprint(steps: Iterable[Step]) -> int:
    """The bytes that the artefacts of these steps will take, within a factor of two."""
    return round(sum(size(step) for step in steps))


@singledispatch
def size(step: Step) -> float:
    """The bytes that a step's artefact will take: those of weights, unless its verb says otherwise."""
    return _NOTES + 4.1 * size_of(network_of(step)).parameters


@size.register
def _(step: Prune) -> float:
    return _NOTES + size_of(network_of(step)).prunable / 8


@size.register
def _(step: Predict) -> float:
    views = max(len(step.inputs.strengths), 1)
    return _NOTES + shown(step.inputs) * (4 * network_of(step).classes * views + 8)


@size.register
def _(step: Explain) -> float:
    pixels = network_of(step).size ** 2
    return _NOTES + shown(step.inputs) * 4 * 4 * pixels * 1.2


@size.register
def _(step: Measure) -> float:
    del step
    return _NOTES + _SCORES
