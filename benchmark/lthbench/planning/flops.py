"""What steps cost, in floating-point operations: two for a multiply-add. Pure, without torch."""

from __future__ import annotations

from functools import lru_cache, singledispatch

from lthbench import registry
from lthbench.global_state import kept
from lthbench.inference import image_sets
from lthbench.kinds import Architecture, Counts, Dataset, Metric
from lthbench.spec import (
    Explain,
    Inputs,
    Measure,
    Network,
    Predict,
    Prune,
    Rewind,
    Step,
    Train,
    network_of,
)


@singledispatch
def flops(step: Step) -> float:
    """The floating-point operations of a step (two for a multiply-add), for estimates of its time."""
    del step
    return 0.0


@flops.register
def _(step: Train) -> float:
    images = step.recipe.images or registry.get(Dataset, step.data.name).splits["train"]
    epochs = range(step.first_epoch, step.recipe.epochs)
    return 3.0 * images * _full_epochs(step, epochs) * forward_flops(step)


def _full_epochs(step: Train, epochs: range) -> float:
    """How many epochs of images in full size cost as much: operations fall with the pixels of an image."""
    small, side = step.recipe.small_sizes, network_of(step).size
    sizes = (step.recipe.size_at(epoch) or side for epoch in epochs if small)
    return sum((size / side) ** 2 for size in sizes) if small else float(len(epochs))


@flops.register
def _(step: Rewind) -> float:
    start = step.train.first_epoch
    share = _full_epochs(step.train, range(start, step.epoch)) / max(
        _full_epochs(step.train, range(start, step.train.recipe.epochs)), 1
    )
    return flops(step.train) * share


@flops.register
def _(step: Prune) -> float:
    criterion = registry.criterion(step.criterion)
    classes = network_of(step).classes
    images = criterion.scored_per_class(classes) * classes or 1
    return criterion.passes * criterion.rounds * images * forward_flops(step)


@flops.register
def _(step: Predict) -> float:
    changed = image_sets.by_view(step.inputs.view)
    passes = changed.passes if changed else 1
    views = max(len(step.inputs.strengths), 1)
    return passes * shown(step.inputs) * views * forward_flops(step.subject)


@flops.register
def _(step: Explain) -> float:
    images = step.inputs.images or _length(step.inputs)
    return EXPLAIN_PASSES * images * forward_flops(step.subject)


@flops.register
def _(step: Measure) -> float:
    metric = registry.get(Metric, step.metric)
    images = sum(i.images or _length(i) for _, i in step.looks or ())
    family = registry.get(Architecture, network_of(step.subject).architecture).family
    passes = metric.passes_of(family, images) if metric.passes_of else metric.passes * images
    return passes * forward_flops(step.subject)


#: Forward passes for each image whose maps are made: 50 steps of integrated gradients and two more, for
#: 1.2 classes.
EXPLAIN_PASSES = 1.2 * 3 * 52


def shown(inputs: Inputs) -> int:
    """How many images of a data set a network is shown."""
    return min(inputs.images or _length(inputs), _length(inputs))


def _length(inputs: Inputs) -> int:
    return registry.get(Dataset, inputs.data.name).splits[inputs.split]


def forward_flops(step: Step) -> float:
    """The operations of one forward pass of a network on one image."""
    return 2.0 * size_of(network_of(step)).macs


@lru_cache(maxsize=64)
def size_of(network: Network) -> Counts:
    """The size of a network, without building it."""
    with kept(f"architecture {network.architecture}"):
        return registry.get(Architecture, network.architecture).count(network)
