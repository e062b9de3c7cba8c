"""What is timed of a device: trainings alone and in stacks, passes, a matrix product and a copy."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch.func import functional_call, vmap
from torch.nn import functional as F

from lthbench import registry
from lthbench.compute import cuda_graphs
from lthbench.compute.cuda_graphs import LANES
from lthbench.global_state import full_precision
from lthbench.inference import folding, predict
from lthbench.inference.batches import batches
from lthbench.kinds import Architecture, Images
from lthbench.spec import Network, Recipe
from lthbench.training import loop
from lthbench.training.optimization import Paused

RESNET20 = Network("resnet20s", 1, 10, 3, 32, (0.49, 0.48, 0.45), (0.25, 0.24, 0.26))


@dataclass(frozen=True)
class Sizes:
    """What is measured: a network and its images, steps of an epoch, stacks, and images to evaluate.

    ``swept`` is the stack that matters most; ``few`` are steps and epochs of rows that may be slow.
    """

    device: str = "cuda"
    network: Network = RESNET20
    batch: int = 128
    steps: int = 64
    epochs: int = 4
    stacks: tuple[int, ...] = (1, 4, 8, 16, 32, 64)
    lanes: tuple[int, ...] = (1, 4, 16, 32)
    swept: int = 32
    few: tuple[int, int] = (4, 3)
    scored: tuple[int, ...] = (1, 2, 4, 8)
    evaluated: int = 50_000
    matrix: int = 8192


PRECISIONS = ("float32", "bfloat16")
ALONE = "one, launched step by step"
#: Seconds that are left to measure in.
Left = Callable[[], float]

DRY = Sizes(
    "cpu",
    Network("resnet8", 1, 10, 1, 8, (0.3,), (0.4,)),
    8,
    2,
    3,
    (1, 2),
    (1, 2),
    2,
    (2, 3),
    (1, 2),
    300,
    64,
)


# ------------------------------------------------------------------------------------------------- timing


def wait(device: str) -> None:
    """Until the device has done all it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


@contextmanager
def peak(device: str) -> Iterator[dict[str, int]]:
    """The bytes that torch had of the device at most; 0 on a CPU."""
    found = {"bytes": 0}
    if device == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    yield found
    if device == "cuda":
        found["bytes"] = torch.cuda.max_memory_reserved()


def recipe(sizes: Sizes, precision: str) -> Recipe:
    """The paper's recipe, for a few epochs."""
    given = (sizes.batch, 0.1, 0.9, False, 1e-4, "step", 0.0, (91, 136), 0.1)
    return Recipe(sizes.epochs, 0, *given, 4 if sizes.network.size == 32 else 1, True, precision)


@cache
def images(sizes: Sizes, count: int) -> Images:
    """Noise in place of photographs: it costs the same."""
    rng = np.random.default_rng(0)
    shape = (count, sizes.network.channels, sizes.network.size, sizes.network.size)
    return Images(rng.integers(0, 256, shape, dtype=np.uint8), rng.integers(0, 10, count))


def network(sizes: Sizes, seed: int) -> torch.nn.Module:
    """A network drawn from a seed, on the device."""
    torch.manual_seed(seed)
    made = registry.get(Architecture, sizes.network.architecture).build(sizes.network)
    return made.to(sizes.device)


def trained(
    sizes: Sizes,
    count: int,
    precision: str,
    way: str | loop.Way | None,
    replayed: bool = True,
    lanes: int = LANES,
    left: Left = lambda: float("inf"),
) -> dict[str, float]:
    """Milliseconds for a step of one network, images a second and peak bytes: of the epochs after the first.

    ``way`` None is one network over resident images, launched step by step. With no time ``left`` the second
    epoch is the last.
    """
    given, ends = images(sizes, sizes.batch * sizes.steps), []

    def after(epoch: int, model: torch.nn.Module, so_far: object) -> None:
        wait(sizes.device)
        ends.append(time.perf_counter())

    def pauses(epoch: int) -> bool:
        return epoch >= 2 and left() <= 0

    how: dict[str, Any] = {"pauses": pauses, "replayed": replayed and sizes.device == "cuda"}
    before, loop.LANES = LANES, lanes  # type: ignore[attr-defined]
    try:
        with peak(sizes.device) as memory, suppress(Paused):
            if way is None:
                one = network(sizes, 0)
                how["replayed"] = False
                loop.train(one, given, recipe(sizes, precision), 0, after_epoch=after, **how)
            else:
                members = [loop.Member(network(sizes, i), i) for i in range(count - 1)]
                members.append(loop.Member(network(sizes, count), count, after_epoch=after))
                loop.train_together(members, given, recipe(sizes, precision), way=way, **how)
    finally:
        loop.LANES = before  # type: ignore[attr-defined]
    seconds = float(np.median(np.diff(ends)))
    return {
        "networks": count,
        "ms_per_step_of_one": 1e3 * seconds / sizes.steps / count,
        "images_per_second": count * sizes.batch * sizes.steps / seconds,
        "peak_bytes": memory["bytes"],
    }


def batched(nets: Sequence[loop.Net], precision: str, losses: torch.Tensor) -> loop.Backward:
    """All members as one batched model, by ``torch.func``; their weights become parts of common tensors.

    Convolutions become grouped ones. Slower than turns on every CPU measured.
    """
    template = nets[0].model
    learnt = [n for n, p in template.named_parameters() if p.requires_grad]
    named = [dict(net.model.named_parameters()) | dict(net.model.named_buffers()) for net in nets]
    weights = {n: _common([tensors[n] for tensors in named]) for n in learnt}
    states = {n: _common([tensors[n] for tensors in named]) for n in named[0] if n not in weights}

    def loss_of(
        weight: dict[str, torch.Tensor], state: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor
    ) -> torch.Tensor:
        return F.cross_entropy(functional_call(template, (weight, state), (x,)), y)

    every = vmap(loss_of, randomness="different")

    def backward(batch: torch.Tensor, target: torch.Tensor) -> None:
        leaves = {n: w.detach().requires_grad_() for n, w in weights.items()}
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            found = every(leaves, states, batch, target)
        gradients = torch.autograd.grad(found.sum(), list(leaves.values()), allow_unused=True)
        for i, net in enumerate(nets):
            net.take([None if g is None else g[i] for g in gradients])
        losses.copy_(found.detach())

    return backward


def _common(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """One tensor ``[k, ...]``, of which the given ones become parts."""
    whole = torch.stack([t.detach() for t in tensors])
    for part, tensor in zip(whole, tensors, strict=True):
        tensor.data = part
    return whole


# ------------------------------------------------------------------------------------------------- stages


def ceilings(sizes: Sizes) -> dict[str, float]:
    """What the device can do: a bfloat16 matrix product, and a copy (bytes read and written)."""
    n, repeats = sizes.matrix, 10
    a, b = (torch.randn(n, n, device=sizes.device, dtype=torch.bfloat16) for _ in range(2))
    whole = torch.empty(16 * n * n, dtype=torch.uint8, device=sizes.device)
    other = torch.empty_like(whole)
    found = {}
    for name, work, amount in (
        ("bfloat16_flop_per_second", lambda: torch.mm(a, b), 2.0 * n**3),
        ("copy_bytes_per_second", lambda: other.copy_(whole), 2.0 * whole.numel()),
    ):
        for _ in range(3):
            work()
        wait(sizes.device)
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        wait(sizes.device)
        found[name] = repeats * amount / (time.perf_counter() - start)
    return found


@full_precision()
def evaluated(sizes: Sizes, count: int, way: str) -> float:
    """Images a second and network of a scored set, from uint8 in the host's memory to logits, for one network
    or for several that pass ``together``; ``launched`` kernel by kernel; or of the ``bare`` forward."""
    device = torch.device(sizes.device)
    models = [predict.ready(network(sizes, i), device) for i in range(count)]
    given = images(sizes, sizes.evaluated)
    batch = torch.rand(250, *given.pixels.shape[1:], device=device)
    batch = batch.contiguous(memory_format=torch.channels_last)

    def bare() -> None:
        with torch.no_grad():
            for _ in range(0, sizes.evaluated, 250):
                models[0](batch)

    if way == "launched":
        run: predict.Run = cuda_graphs.Passes([folding.folded(models[0])], device)
    else:
        run = predict.fast(models)
    seconds = []
    for _ in range(3):
        wait(sizes.device)
        start = time.perf_counter()
        if way == "bare":
            bare()
        else:
            predict._forward(run, batches(given), device)
        wait(sizes.device)
        seconds.append(time.perf_counter() - start)
    return count * sizes.evaluated / min(seconds[1:])


def repeated(sizes: Sizes, precision: str) -> dict[str, float]:
    """How many numbers of a network differ when it is trained a second time: to be known, and no promise."""
    models = [network(sizes, 0) for _ in range(2)]
    for model in models:
        loop.train(model, images(sizes, sizes.batch * sizes.steps), recipe(sizes, precision), 0)
    one, other = (
        torch.cat([t.detach().double().cpu().flatten() for t in m.state_dict().values()]) for m in models
    )
    far = (one - other).abs()
    return {"numbers": len(far), "differ": int((far != 0).sum()), "largest_difference": float(far.max())}
