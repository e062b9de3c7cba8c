"""Forward passes, timed: what a network takes on this machine at this moment."""

from __future__ import annotations

import statistics
import time
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import torch
from torch import nn

from lthbench.compute.environment import environment
from lthbench.compute.rng import generator
from lthbench.errors import StepFailed
from lthbench.execution.workspace import Workspace
from lthbench.functional.model_size import cost
from lthbench.masks.compaction import compact
from lthbench.results.latency import Latency
from lthbench.spec import Given, Weights, network_of

_Name = TypeVar("_Name", bound=Hashable)

#: Images in a pass that is timed: one, as where answers are waited for, and many.
BATCHES = (1, 64)
#: Passes of each network at most, and seconds for each of them at each size of batch.
PASSES, SECONDS = 200, 1.0


def timed(
    space: Workspace, networks: Mapping[tuple[str, float, int], Weights], batches: Sequence[int] = BATCHES
) -> list[Latency]:
    """What forward passes of networks take that share an architecture: in turns, in evaluation mode.

    ``networks`` are by method, sparsity and seed. Those with a mask are timed without the channels that it
    removes whole; those of which no channel goes whole are left out, as they take what dense takes. So are
    quantised ones that round activations: what rounding takes here, it saves where integers are computed.
    """
    models: dict[tuple[str, float, int], nn.Module] = {}
    shape = (0, 0, 0)
    for name, step in networks.items():
        if isinstance(step, Given) and step.activations:
            continue
        spec = network_of(step)
        shape = (spec.channels, spec.size, spec.size)
        model, mask = space.network(step).eval(), space.held(step)
        if mask:
            try:
                model = compact(model, mask)
            except StepFailed:
                continue
        models[name] = model
    if not models:
        return []
    where = environment(space.device)
    flops = {name: cost(model, None, shape).flops_dense for name, model in models.items()}
    found = []
    for images in batches:
        took = latencies(models, (images, *shape))
        found += [
            Latency(
                *name,
                networks[name].key,
                images,
                took[name],
                flops[name],
                where["device"],
                where["threads"] or 0,
            )
            for name in models
        ]
    return found


@torch.inference_mode()
def latencies(models: Mapping[_Name, nn.Module], shape: tuple[int, ...]) -> dict[_Name, float]:
    """The median seconds of a forward pass of each network over images of this shape.

    The networks take turns, so that what else the machine does meets all of them.
    """
    device = next(next(iter(models.values())).parameters()).device
    images = torch.rand(shape, generator=generator("export")).to(device)
    took: dict[_Name, list[float]] = {name: [] for name in models}
    for model in models.values():
        for _ in range(3):
            model(images)
    started = time.perf_counter()
    for done in range(PASSES):
        if done >= 5 and time.perf_counter() - started > SECONDS * len(models):
            break
        for name, model in models.items():
            _settle(device)
            began = time.perf_counter()
            model(images)
            _settle(device)
            took[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in took.items()}


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
