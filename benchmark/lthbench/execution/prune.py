"""Doing ``Prune``: a criterion scores weights, and the best are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from lthbench import masks, registry
from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.errors import StepFailed
from lthbench.execution.verbs import Course, do, runs_plugins
from lthbench.execution.workspace import Workspace
from lthbench.global_state import kept
from lthbench.inference.batches import BATCH
from lthbench.kinds import Criterion
from lthbench.masks import coupled, structured
from lthbench.spec import Prune, Step, network_of
from lthbench.store.artifacts import MASK

runs_plugins.register(Prune, lambda step: True)

#: By what share a mask that removes all the filters that can go may miss the density asked for.
NEAR = 0.1


@do.register
def _(step: Prune, together: Sequence[Step], space: Workspace, course: Course) -> dict[str, str]:
    """In the criterion's rounds, each within the mask of the one before, or of the network if it regrows."""
    del together, course
    started = time.monotonic()
    criterion = registry.criterion(step.criterion)
    model = _scored(space.network(step.given))
    shapes = {name: weight.shape for name, weight in masks.prunable(model).items()}
    draw = generator("prune", step.seed)
    mask = outer = space.held(step.given)
    for done in range(1, criterion.rounds + 1):
        if mask is not None:
            (masks.apply_anew if criterion.regrows else masks.apply)(model, mask)
        with kept(f"criterion {criterion.name}"):
            torch.manual_seed(generator("layers", step.seed, done).initial_seed())
            scores = criterion.score(model, _batches(step, criterion, space), draw)
        _check(scores, shapes, criterion)
        density = step.density ** (done / criterion.rounds)
        if criterion.unit in ("filter", "coupled"):
            mask = _without_filters(model, scores, density, step.allocation, criterion)
        elif criterion.unit == "kernel":
            mask = masks.top_kernels(scores, density)
        else:
            within = outer if criterion.regrows else mask
            mask = masks.top(scores, density, within, _shared(step, space))
    assert mask is not None
    facts = masks.counted(mask, shapes)
    space.store.put(step, {MASK.name: MASK.encode(mask)}, space.meta(started, **facts))
    return {}


def _check(scores: object, shapes: Mapping[str, torch.Size], criterion: Criterion) -> None:
    """Raise StepFailed unless a criterion gave each prunable weight one finite score."""
    said = f"criterion {criterion.name}: scores"
    if not isinstance(scores, Mapping):
        raise StepFailed(f"{said} are a dict of tensors by the names of weights, not {type(scores).__name__}")
    lacking, others = shapes.keys() - scores.keys(), scores.keys() - shapes.keys()
    if lacking:
        raise StepFailed(f"{said} lack {_some([name for name in shapes if name in lacking])}")
    if others:
        raise StepFailed(f"{said} have {_some(sorted(map(str, others)))}, which cannot be pruned")
    for name, shape in shapes.items():
        score = scores[name]
        if not isinstance(score, torch.Tensor) or score.layout != torch.strided:
            found = score.layout if isinstance(score, torch.Tensor) else type(score).__name__
            raise StepFailed(f"{said} of {name} are {found}, not a dense tensor")
        if score.shape != shape:
            raise StepFailed(f"{said} of {name} have shape {list(score.shape)}, not {list(shape)}")
    bad = [name for name in shapes if not bool(torch.isfinite(scores[name]).all())]
    if bad:
        raise StepFailed(f"{said} are not finite in {_some(bad)}")


def _some(names: Sequence[str]) -> str:
    """Names in a line: the first three, and how many there are besides."""
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _without_filters(
    model: nn.Module,
    scores: Mapping[str, torch.Tensor],
    density: float,
    allocation: str | None,
    criterion: Criterion,
) -> masks.Mask:
    """A mask that removes filters. Raises StepFailed where all that can go leaves far more than asked for."""

    def at(asked: float) -> masks.Mask:
        if criterion.unit == "coupled":
            return coupled.top_coupled(model, scores, asked)
        return structured.top_filters(model, scores, asked, allocation)

    def kept_of(mask: masks.Mask) -> float:
        found = masks.counted(mask, scores)
        return float(found["kept"] / found["total"])

    mask = at(density)
    if (kept_share := kept_of(mask)) > (1.0 + NEAR) * density and kept_share == kept_of(at(0.0)):
        raise StepFailed(
            f"criterion {criterion.name}: without all the filters that can go, the network has a density of "
            f"{kept_share:.4g}, and {density:.4g} is asked for"
        )
    return mask


def _shared(step: Prune, space: Workspace) -> str | dict[str, int] | None:
    """How the density is shared out over layers: by a rule, or as in another mask."""
    if step.layers_of is None:
        return step.allocation
    return {name: int(kept.sum()) for name, kept in space.mask(step.layers_of).items()}


def _scored(model: nn.Module) -> nn.Module:
    """A network as criteria score it: in training mode, but with all that dropout would leave out.

    One draw of it would decide over weights. What else draws in a plug-in's network draws by the step's seed.
    """
    model.train()
    for module in model.modules():
        if isinstance(module, _DropoutNd):
            module.eval()
    return model


def _batches(
    step: Prune, criterion: Criterion, space: Workspace
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The images that a criterion looks at; one of ones where it looks at none."""
    network = network_of(step)
    if step.data is None:
        ones = torch.ones(1, network.channels, network.size, network.size, device=space.device)
        yield ones, torch.zeros(1, dtype=torch.int64, device=space.device)
        return
    per_class = criterion.scored_per_class(network.classes)
    images = loading.per_class(loading.load(step.data.name, "train", space.places), per_class)
    for start in range(0, len(images.labels), BATCH):
        part = np.ascontiguousarray(images.pixels[start : start + BATCH])
        pixels = torch.from_numpy(part).to(space.device, torch.float32).div_(255.0)
        yield pixels, torch.from_numpy(images.labels[start : start + BATCH]).to(space.device)
