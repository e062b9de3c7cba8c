"""How many bytes steps will take in a store: by the sizes of weights, masks, logits and maps. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from lthbench import registry
from lthbench.kinds import Dataset
from lthbench.planning.flops import size_of
from lthbench.spec import Explain, Inputs, Measure, Predict, Prune, Step, network_of

#: Description, facts and manifest of an artefact.
_NOTES = 6000
#: A measure's scores as text, and the draws of some.
_SCORES = 2500


def footprint(steps: Iterable[Step]) -> int:
    """The bytes that the artefacts of these steps will take, within a factor of two."""
    return round(sum(_bytes(step) for step in steps))


def _bytes(step: Step) -> float:
    counts = size_of(network_of(step))
    if isinstance(step, Prune):
        return _NOTES + counts.prunable / 8
    if isinstance(step, Predict):
        views = max(len(step.inputs.strengths), 1)
        return _NOTES + _images(step.inputs) * (4 * network_of(step).classes * views + 8)
    if isinstance(step, Explain):
        pixels = network_of(step).size ** 2
        return _NOTES + _images(step.inputs) * 4 * 4 * pixels * 1.2
    if isinstance(step, Measure):
        return _NOTES + _SCORES
    return _NOTES + 4.1 * counts.parameters


def _images(inputs: Inputs) -> int:
    size = registry.get(Dataset, inputs.data.name).splits[inputs.split]
    return min(inputs.images or size, size)
