"""How much memory a worker takes for steps: what is kept of images for backward passes. Pure, without torch.

Only what takes much is counted: training, and criteria that differentiate a loss. How the factors below were
measured stands in docs/performance.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import singledispatch

from lthbench import registry
from lthbench.kinds import Dataset
from lthbench.kinds.images import BATCH
from lthbench.planning.flops import size_of
from lthbench.spec import Prune, Rewind, Step, Train, network_of

#: Bytes that a worker takes before it does anything: Python, PyTorch and a small set of images.
START = 0.6e9
#: Peak memory over the activations that are kept, where weights learn, and where they are only scored.
LEARNING, SCORING = 1.8, 1.5
#: The same where gradients are differentiated again, as GraSP does: a criterion of so many passes.
TWICE, TWICE_FROM = 3.5, 10.0
#: The share that is left with bfloat16.
HALF = 0.6


def needed(steps: Iterable[Step]) -> tuple[float, Step | None]:
    """The bytes of one worker for the step that takes most of these, and that step; within about a third.

    No step, and 0, where none takes much, or where nothing is known of the network's activations.
    """
    found = max(((memory(step), step) for step in steps), key=lambda f: f[0], default=(0.0, None))
    return (START + found[0], found[1]) if found[0] else (0.0, None)


@singledispatch
def memory(step: Step) -> float:
    """The bytes that a step takes at its peak, beside ``START``; 0 where that is little."""
    del step
    return 0.0


@memory.register
def _(step: Train) -> float:
    kept = _kept(step, min(step.recipe.batch_size, step.recipe.images or _images(step)))
    learned = 12.0 * size_of(network_of(step)).parameters  # gradients, momentum, mask
    share = HALF if step.recipe.precision == "bfloat16" else 1.0
    return LEARNING * share * kept + learned if kept else 0.0


@memory.register
def _(step: Rewind) -> float:
    return memory(step.train)


@memory.register
def _(step: Prune) -> float:
    if step.data is None:
        return 0.0
    criterion, classes = registry.criterion(step.criterion), network_of(step).classes
    images = min(BATCH, criterion.scored_per_class(classes) * classes)
    return (TWICE if criterion.passes >= TWICE_FROM else SCORING) * _kept(step, images)


def _kept(step: Step, images: int) -> float:
    """The bytes of the activations of so many images."""
    return 4.0 * images * size_of(network_of(step)).activations


def _images(step: Train) -> int:
    return registry.get(Dataset, step.data.name).splits["train"]
