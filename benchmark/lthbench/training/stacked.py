"""Many networks of one architecture, recipe and data set trained as one: members in, results out.

Each member has its own start weights, mask, seed, order of images, crops and rewiring, and nothing passes
between members: what comes out is what ``train.train`` gives each alone, to the bit where members take turns
on a CPU, and within the rounding of the kernels elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn
from torch.func import functional_call, vmap
from torch.nn import functional as F

from lthbench.compute.cuda_graphs import LANES, Lanes, Replayed, Work, graphs
from lthbench.compute.tracing import traceable
from lthbench.errors import StepFailed
from lthbench.kinds import Images
from lthbench.masks import Mask
from lthbench.masks.rewiring import Rewiring
from lthbench.spec import Recipe, Rewire
from lthbench.training.batches import Feed
from lthbench.training.loop import (
    AfterEpoch,
    Paused,
    Trained,
    clear,
    diverged,
    ended,
    gone_on,
    hold,
    learning_rate,
    sgd,
)

#: Batches ``[k, B, C, H, W]`` and labels ``[k, B]`` in; gradients of all members, and their losses, made.
Backward = Callable[[torch.Tensor, torch.Tensor], None]


@dataclass(frozen=True)
class Member:
    """A network to train in place, and what is its own; the last two are as for ``train.train``."""

    model: nn.Module
    seed: int
    mask: Mask | None = None
    rewire: Rewire | None = None
    after_epoch: AfterEpoch | None = None
    so_far: Trained | None = None


class Net:
    """A member while it trains. Gradients stay in the same place from step to step."""

    def __init__(self, member: Member, recipe: Recipe, steps: int, fused: bool):
        self.member, self.model = member, member.model
        self.model.to(memory_format=torch.channels_last)
        self.model.train()
        self.held = hold(self.model, member.mask, member.so_far)
        self.optimizer = sgd(self.model, recipe, fused)
        self.rewiring = None
        if member.rewire is not None:
            total = steps * recipe.epochs
            self.rewiring = Rewiring(member.rewire, self.held, self.optimizer, total, member.seed)
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.losses = gone_on(self.optimizer, self.model, member.so_far)
        self.failure: StepFailed | None = None

    def take(self, gradients: Sequence[torch.Tensor | None]) -> None:
        """Put gradients where the optimiser looks; a parameter that has none is left as it is."""
        pairs = [(p, g) for p, g in zip(self.parameters, gradients, strict=True) if g is not None]
        for parameter, _ in pairs:
            if parameter.grad is None:
                parameter.grad = torch.empty_like(parameter)
        places = [(p.grad, g) for p, g in pairs if p.grad is not None]
        same = [pair for pair in places if pair[0].stride() == pair[1].stride()]
        if same:
            torch._foreach_copy_([place for place, _ in same], [g for _, g in same])
        for place, gradient in places:
            if place.stride() != gradient.stride():  # with one such, none would share a kernel
                place.copy_(gradient)

    def due(self, step: int) -> bool:
        """Whether the member changes its mask at this step, in place of moving its weights."""
        return self.rewiring is not None and self.failure is None and self.rewiring.due(step)

    def move(self) -> None:
        """One step of the optimiser, which does not move pruned weights."""
        clear(self.held)
        self.optimizer.step()


# ------------------------------------------------------------------------------------- ways to go backward


def in_turn(nets: Sequence[Net], precision: str, losses: torch.Tensor) -> Backward:
    """One member after the other: on a CPU nothing is faster, and each does what it does alone."""

    def backward(batch: torch.Tensor, target: torch.Tensor) -> None:
        for i in range(len(nets)):
            _one(nets[i], precision, batch[i], target[i], losses[i])

    return backward


def in_lanes(nets: Sequence[Net], precision: str, losses: torch.Tensor, lanes: int | None = None) -> Backward:
    """Members side by side on so many CUDA streams, which begin and end with the current one."""
    side_by_side = Lanes(losses.device, min(lanes or LANES, len(nets)))

    def backward(batch: torch.Tensor, target: torch.Tensor) -> None:
        side_by_side(lambda i: _one(nets[i], precision, batch[i], target[i], losses[i]), len(nets))

    return backward


def _one(net: Net, precision: str, batch: torch.Tensor, target: torch.Tensor, loss: torch.Tensor) -> None:
    with torch.autocast(batch.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
        found = F.cross_entropy(net.model(batch), target)
    net.take(torch.autograd.grad(found, net.parameters, allow_unused=True))
    loss.copy_(found.detach())


def batched(nets: Sequence[Net], precision: str, losses: torch.Tensor) -> Backward:
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


WAYS: dict[str, Callable[[Sequence[Net], str, torch.Tensor], Backward]] = {
    "turns": in_turn,
    "lanes": in_lanes,
    "batched": batched,
}


def way_on(device: torch.device) -> str:
    """The way that is fastest on a device, as measured by tests/benchmarks/test_training.py."""
    return "lanes" if device.type == "cuda" else "turns"


# ------------------------------------------------------------------------------------------------ training


def train_together(
    members: Sequence[Member],
    images: Images,
    recipe: Recipe,
    first_epoch: int = 0,
    last_epoch: int | None = None,
    way: str | None = None,
    capture: Callable[[Work], Work] | None = None,
    replayed: bool = True,
    pauses: Callable[[int], bool] = lambda epoch: False,
) -> list[Trained | StepFailed]:
    """Train members in place, from ``first_epoch`` up to and without ``last_epoch`` of the recipe.

    ``way`` is one of ``WAYS`` (None: the fastest on the device). On a CUDA device a step is captured and
    ``replayed``; ``capture`` says how (see ``replay.graphs``; a CPU captures nothing without it).
    A member whose loss is no longer finite fails alone, and its after_epoch is called no more. Members that
    go on from what they had left have done the same number of epochs.
    Raises torch.OutOfMemoryError, which leaves the members' weights as they were on the way, and Paused
    where they pause after so many epochs.
    """
    device = next(members[0].model.parameters()).device
    if device.type == "cuda" and replayed and capture is None and traceable(members[0].model):
        capture = graphs(device)
    feed = Feed(images, recipe, [m.seed for m in members], device)
    nets = [Net(m, recipe, feed.steps, fused=device.type == "cuda") for m in members]
    step = _Step(nets, recipe, device, way or way_on(device), capture)
    done = {len(net.losses) for net in nets}
    if len(done) > 1:
        raise ValueError(f"members have done {sorted(done)} epochs; they must have done as many")
    for epoch in range(first_epoch + done.pop(), recipe.epochs if last_epoch is None else last_epoch):
        total = torch.zeros(len(nets), device=device)
        for number, (batch, target) in enumerate(feed.epoch(epoch)):
            rate = learning_rate(recipe, epoch + number / feed.steps, 1 / feed.steps)
            total += step(batch, target, rate, epoch * feed.steps + number) * target.shape[1]
        for net, loss in zip(nets, total.tolist(), strict=True):
            _end_epoch(net, loss / len(feed.labels), epoch)
        if all(net.failure for net in nets):
            break
        if pauses(epoch + 1):
            raise Paused
    return [net.failure or ended(net.model, net.losses, net.optimizer, net.held) for net in nets]


def _end_epoch(net: Net, loss: float, epoch: int) -> None:
    if net.failure is None:
        net.losses.append(loss)
        if not math.isfinite(loss):
            net.failure = diverged(loss, epoch)
        elif net.member.after_epoch is not None:
            so_far = partial(ended, net.model, net.losses, net.optimizer, net.held)
            net.member.after_epoch(epoch + 1, net.model, so_far)


class _Step:
    """One step of all members: gradients, then weights or masks."""

    def __init__(
        self,
        nets: Sequence[Net],
        recipe: Recipe,
        device: torch.device,
        way: str,
        capture: Callable[[Work], Work] | None,
    ):
        self.nets, self.capture = nets, capture
        self.losses = torch.zeros(len(nets), device=device)
        # The optimisers read the rate from one place, which a captured step can read again.
        self.rate = torch.zeros((), device=device) if device.type == "cuda" else None
        for net in nets:
            if self.rate is not None:
                net.optimizer.param_groups[0]["lr"] = self.rate
        self.backward = WAYS[way](nets, recipe.precision, self.losses)
        self.shapes: dict[torch.Size, tuple[torch.Tensor, torch.Tensor, Replayed]] = {}
        # What is captured must not refer back to this step: a cycle would keep a GPU's memory.
        self.moves = Replayed(partial(_move, nets), capture) if capture else None

    def __call__(self, batch: torch.Tensor, target: torch.Tensor, rate: float, step: int) -> torch.Tensor:
        """The losses ``[k]``; they are overwritten at the next step."""
        if self.rate is not None:
            self.rate.fill_(rate)
        else:
            for net in self.nets:
                net.optimizer.param_groups[0]["lr"] = rate
        self._gradients(batch, target)
        due = [net.due(step) for net in self.nets]
        if any(due) or self.moves is None:
            for net, changes in zip(self.nets, due, strict=True):
                if changes and net.rewiring is not None:
                    net.rewiring.change(step)
                else:
                    net.move()
        else:
            self.moves()
        return self.losses

    def _gradients(self, batch: torch.Tensor, target: torch.Tensor) -> None:
        if self.capture is None:
            self.backward(batch, target)
            return
        if batch.shape not in self.shapes:
            x, y = torch.empty_like(batch), torch.empty_like(target)
            self.shapes[batch.shape] = x, y, Replayed(partial(self.backward, x, y), self.capture)
        x, y, run = self.shapes[batch.shape]
        x.copy_(batch)
        y.copy_(target)
        run()


def _move(nets: Sequence[Net]) -> None:
    for net in nets:
        net.move()
