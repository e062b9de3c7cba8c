"""Forward passes, timed: what a network takes on this machine at this moment.

On a CPU it is the processor time, which stands still while other work has the processor. What other work does
to caches and to the clock rate is in it still. On a GPU it is the wall clock, read when the GPU is done.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import median, quantiles
from typing import Generic, NamedTuple, TypeVar

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
#: Passes of each network at least and at most, and seconds on the wall for each network and size of batch.
FEWEST, PASSES, SECONDS = 10, 200, 1.0
#: How often an interval of a median misses it, both sides together.
MISSES = 0.05


class Speedup(NamedTuple):
    """How many times as fast: the median over turns, and its 95 % interval."""

    median: float
    low: float
    high: float


class Passes(NamedTuple, Generic[_Name]):
    """What forward passes took by ``clock``, one of ``results.latency.CLOCKS``: seconds of each turn."""

    clock: str
    seconds: Mapping[_Name, Sequence[float]]

    def quartiles(self, name: _Name) -> tuple[float, float, float]:
        """The lower quartile, the median and the upper quartile of a network's seconds."""
        lower, middle, upper = quantiles(self.seconds[name], n=4, method="inclusive")
        return lower, middle, upper

    def speedup(self, dense: _Name, name: _Name) -> Speedup:
        """How many times as fast as ``dense`` a network is: ratios of the seconds of the same turns."""
        ratios = [a / b for a, b in zip(self.seconds[dense], self.seconds[name], strict=True)]
        return Speedup(median(ratios), *median_interval(ratios))


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
    for images, took in zip(batches, in_turns(models, [(images, *shape) for images in batches]), strict=True):
        for name in models:
            dense = ("dense", 0.0, name[2])
            lower, middle, upper = took.quartiles(name)
            speedup = took.speedup(dense, name) if dense in models and name != dense else (None, None, None)
            found.append(
                Latency(
                    *name,
                    networks[name].key,
                    images,
                    middle,
                    flops[name],
                    where["device"],
                    where["threads"] or 0,
                    took.clock,
                    lower,
                    upper,
                    *speedup,
                )
            )
    return found


class TooCoarse(StepFailed):
    """A clock counts no time in a pass."""


def in_turns(models: Mapping[_Name, nn.Module], shapes: Sequence[tuple[int, ...]]) -> list[Passes[_Name]]:
    """The passes over images of several shapes, by one clock: the wall's where another is too coarse."""
    try:
        return [passes(models, shape) for shape in shapes]
    except TooCoarse:
        return [passes(models, shape, "wall") for shape in shapes]


@torch.inference_mode()
def passes(models: Mapping[_Name, nn.Module], shape: tuple[int, ...], clock_named: str = "") -> Passes[_Name]:
    """The seconds of forward passes of each network over images of this shape, ``[N, C, H, W]``.

    The networks take turns, so that slow changes, as of the clock rate, meet all of them. A moment's do not:
    hence the processor time, and ratios within turns. Raises TooCoarse where that clock, or the one that is
    named, counts no time in a pass.
    """
    device = next(next(iter(models.values())).parameters()).device
    images = torch.rand(shape, generator=generator("export")).to(device)
    named = clock_named or clock_of(device)
    clock = _clock(named)
    took: dict[_Name, list[float]] = {name: [] for name in models}
    for model in models.values():
        for _ in range(3):
            model(images)
    started = time.perf_counter()
    for done in range(PASSES):
        if done >= FEWEST and time.perf_counter() - started > SECONDS * len(models):
            break
        for name, model in models.items():
            _settle(device)
            began = clock()
            model(images)
            _settle(device)
            took[name].append(clock() - began)
    if not all(map(all, took.values())):
        raise TooCoarse(
            f'the clock of this machine counts no time in a pass (clock "{named}"): it is too coarse'
        )
    return Passes(named, took)


def median_interval(values: Sequence[float], misses: float = MISSES) -> tuple[float, float]:
    """An interval of the median that these are drawn from, as the sign test has it: two of the values.

    It assumes nothing of the distribution, but that draws are independent. It misses the median in a share
    ``misses`` of all cases at most. Raises ValueError where so few values have none: 6 have one at 5 %.

    Source: Conover, Practical Nonparametric Statistics, 1999, 3.2.
    """
    n = len(values)
    left, outside = 0, 0
    while (outside := outside + math.comb(n, left)) <= misses / 2 * 2**n:
        left += 1
    if not left:
        raise ValueError(f"{n} values have no interval of their median that misses it so seldom")
    ordered = sorted(values)
    return ordered[left - 1], ordered[n - left]


def clock_of(device: torch.device) -> str:
    """What passes are timed by on a device: a name of ``results.latency.CLOCKS``."""
    if device.type != "cpu" or os.name == "nt":  # Windows counts processor time in steps of 16 ms
        return "wall"
    return "thread" if torch.get_num_threads() == 1 else "process"


def _clock(named: str) -> Callable[[], float]:
    return {"thread": time.thread_time, "process": time.process_time, "wall": time.perf_counter}[named]


def _settle(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
