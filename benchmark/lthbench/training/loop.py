"""The training loop: one network, or many of one architecture, recipe and data set trained as one.

Data is resident on the device, augmentation vectorised, the mask held throughout. Every random draw comes
from a generator seeded by the training's seed and the epoch, so a training that starts at epoch k sees the
same batches as one that came from epoch 0. Each member has its own start weights, mask, seed, order of
images, crops and rewiring, and nothing passes between members: what comes out is what each gives alone, to
the bit where members take turns on a CPU, and within the rounding of the kernels elsewhere.

Whatever changes the weights that a step yields must raise ``spec.TRAIN_VERSION``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from lthbench.compute.cuda_graphs import LANES, Lanes, Replayed, Work, graphs
from lthbench.compute.tracing import traceable
from lthbench.errors import StepFailed
from lthbench.kinds import Images
from lthbench.masks import Mask
from lthbench.masks.rewiring import Rewiring
from lthbench.spec import Recipe, Rewire
from lthbench.training.batches import Feed
from lthbench.training.optimization import (
    AfterEpoch,
    Paused,
    Trained,
    clear,
    diverged,
    draws,
    ended,
    gone_on,
    hold,
    learning_rate,
    optimizer_of,
    seed_layers,
)

#: Batches ``[k, B, C, H, W]`` and labels ``[k, B]`` in; gradients of all members, and their losses, made.
Backward = Callable[[torch.Tensor, torch.Tensor], None]


@dataclass(frozen=True)
class Member:
    """A network to train in place, and what is its own.

    ``rewire`` changes the mask on the way. ``after_epoch`` is called after each epoch. With ``so_far``, what
    the same training had left after its first epochs, it goes on from there: ``model`` has the weights of
    that moment.
    """

    model: nn.Module
    seed: int
    mask: Mask | None = None
    rewire: Rewire | None = None
    after_epoch: AfterEpoch | None = None
    so_far: Trained | None = None


class Net:
    """A member while it trains. ``fixed`` gradients stay in the same place from step to step, as what is
    captured needs it; others are made anew, which costs a processor less.
    """

    def __init__(self, member: Member, recipe: Recipe, steps: int, fused: bool, fixed: bool):
        self.member, self.model, self.fixed = member, member.model, fixed
        self.model.to(memory_format=torch.channels_last)
        self.model.train()
        self.held = hold(self.model, member.mask, member.so_far)
        self.optimizer = optimizer_of(self.model, recipe, fused, self.held)
        self.smoothing = recipe.label_smoothing or 0.0
        self.penalty = recipe.scale_penalty or 0.0
        norms = [m for m in self.model.modules() if isinstance(m, nn.BatchNorm2d) and m.affine]
        self.scales: list[torch.Tensor] = [norm.weight for norm in norms] if self.penalty else []
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
        found = F.cross_entropy(net.model(batch), target, label_smoothing=net.smoothing)
    # what is recorded is the loss alone, which compares with that of trainings without a penalty
    least = found + net.penalty * torch.cat(net.scales).abs().sum() if net.scales else found
    if net.fixed:
        net.take(torch.autograd.grad(least, net.parameters, allow_unused=True))
    else:
        net.optimizer.zero_grad(set_to_none=True)
        least.backward()  # type: ignore[no-untyped-call]
    loss.copy_(found.detach())


#: Makes what goes backward for members, in a precision, and where it puts their losses.
Way = Callable[[Sequence[Net], str, torch.Tensor], Backward]

WAYS: dict[str, Way] = {"turns": in_turn, "lanes": in_lanes}


def way_on(device: torch.device) -> str:
    """The way that is fastest on a device, as measured by tests/benchmarks/test_training.py."""
    return "lanes" if device.type == "cuda" else "turns"


def _way(given: str | Way) -> Way:
    return WAYS[given] if isinstance(given, str) else given


# ------------------------------------------------------------------------------------------------ training


def train(
    model: nn.Module,
    images: Images,
    recipe: Recipe,
    seed: int,
    mask: Mask | None = None,
    first_epoch: int = 0,
    last_epoch: int | None = None,
    after_epoch: AfterEpoch | None = None,
    rewire: Rewire | None = None,
    so_far: Trained | None = None,
    pauses: Callable[[int], bool] = lambda epoch: False,
    replayed: bool = True,
) -> Trained:
    """Train one network in place: see ``Member`` and ``train_together``.

    Pruned weights are zero from the start, and since their gradients are cleared before each step, weight
    and momentum stay exactly zero. Raises StepFailed when the loss is no longer finite.
    """
    member = Member(model, seed, mask, rewire, after_epoch, so_far)
    how: dict[str, Any] = {"replayed": replayed, "pauses": pauses}
    (found,) = train_together([member], images, recipe, first_epoch, last_epoch, **how)
    if isinstance(found, StepFailed):
        raise found
    return found


@torch.random.fork_rng(devices=[])
def train_together(
    members: Sequence[Member],
    images: Images,
    recipe: Recipe,
    first_epoch: int = 0,
    last_epoch: int | None = None,
    way: str | Way | None = None,
    capture: Callable[[Work], Work] | None = None,
    replayed: bool = True,
    pauses: Callable[[int], bool] = lambda epoch: False,
) -> list[Trained | StepFailed]:
    """Train members in place, from ``first_epoch`` up to and without ``last_epoch`` of the recipe.

    ``way`` is one of ``WAYS``, or such a function (None: the fastest on the device). On a CUDA device a step
    is captured and ``replayed``; ``capture`` says how (see ``cuda_graphs.graphs``; a CPU captures nothing
    without it).
    A member whose loss is no longer finite fails alone, and its after_epoch is called no more. Members that
    go on from what they had left have done the same number of epochs. A network that draws at random in
    training, as dropout does, must be the only member: its layers are seeded, and nothing is captured.
    Raises torch.OutOfMemoryError, which leaves the members' weights as they were on the way, and Paused
    where they pause after so many epochs.
    """
    device = next(members[0].model.parameters()).device
    first = members[0]
    fast = device.type == "cuda" and not (len(members) == 1 and draws(first.model, images))
    if fast and replayed and capture is None and traceable(first.model):
        capture = graphs(device)
    feed = Feed(images, recipe, [m.seed for m in members], device)
    nets = [Net(m, recipe, feed.steps, fused=fast, fixed=fast or capture is not None) for m in members]
    step = _Step(nets, recipe, device, _way(way or way_on(device)), capture, fast)
    done = {len(net.losses) for net in nets}
    if len(done) > 1:
        raise ValueError(f"members have done {sorted(done)} epochs; they must have done as many")
    for epoch in range(first_epoch + done.pop(), recipe.epochs if last_epoch is None else last_epoch):
        if len(members) == 1:
            seed_layers(device, first.seed, epoch)
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
        way: Way,
        capture: Callable[[Work], Work] | None,
        fused: bool,
    ):
        self.nets, self.capture = nets, capture
        self.losses = torch.zeros(len(nets), device=device)
        # The optimisers read the rate from one place, which a captured step can read again.
        self.rate = torch.zeros((), device=device) if fused else None
        if self.rate is not None:
            self._set(self.rate)
        self.backward = way(nets, recipe.precision, self.losses)
        self.shapes: dict[torch.Size, tuple[torch.Tensor, torch.Tensor, Replayed]] = {}
        # What is captured must not refer back to this step: a cycle would keep a GPU's memory.
        self.moves = Replayed(partial(_move, nets), capture) if capture else None

    def __call__(self, batch: torch.Tensor, target: torch.Tensor, rate: float, step: int) -> torch.Tensor:
        """The losses ``[k]``; they are overwritten at the next step."""
        if self.rate is not None:
            self.rate.fill_(rate)
        else:
            self._set(rate)
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

    def _set(self, rate: float | torch.Tensor) -> None:
        for net in self.nets:
            for group in net.optimizer.param_groups:
                group["lr"] = rate

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
