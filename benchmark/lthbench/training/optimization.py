"""What training does to one network: SGD and its rate, the mask that is held, and what is left at the end.

Whatever changes the weights that a step yields must raise ``spec.TRAIN_VERSION``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from lthbench import masks
from lthbench.compute.rng import generator
from lthbench.errors import StepFailed
from lthbench.kinds import Images
from lthbench.masks import Mask
from lthbench.spec import Recipe

#: Weights, each with its mask.
Held = list[tuple[nn.Parameter, torch.Tensor]]


class Trained(NamedTuple):
    """What a training leaves: its mean loss in each epoch it ran, and momentum and mask at the end."""

    losses: list[float]
    momentum: dict[str, torch.Tensor]
    mask: Mask | None = None


#: Called after an epoch with the epochs done, the network, and what gives what was left so far.
AfterEpoch = Callable[[int, nn.Module, Callable[[], Trained]], None]


class Paused(Exception):
    """A training was left at the end of an epoch, to go on later."""


def gone_on(optimizer: torch.optim.SGD, model: nn.Module, so_far: Trained | None) -> list[float]:
    """Give an optimiser the momentum that a training had left. Returns the losses of its epochs."""
    if so_far is None:
        return []
    named = dict(model.named_parameters())
    for name, momentum in so_far.momentum.items():
        # It lies in memory as the weights do, so that one call takes many.
        optimizer.state[named[name]]["momentum_buffer"] = (
            torch.empty_like(named[name]).copy_(momentum).detach()
        )
    return list(so_far.losses)


def seed_layers(device: torch.device, seed: int, epoch: int) -> None:
    """Seed what layers draw from, in training alone: which units a dropout leaves out."""
    drawn = generator("layers", seed, epoch).initial_seed()
    torch.default_generator.manual_seed(drawn)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(drawn)


@torch.random.fork_rng(devices=[])
def draws(model: nn.Module, images: Images) -> bool:
    """Whether a network draws at random in training: such networks do not train as one.

    Found by a pass of a copy over two images.
    """
    copy = deepcopy(model).train()
    device = next(copy.parameters()).device
    batch = torch.from_numpy(np.ascontiguousarray(images.pixels[:2])).to(device, torch.float32).div_(255.0)
    before = _generators(device)
    with torch.no_grad():
        copy(batch)
    return any(not torch.equal(a, b) for a, b in zip(before, _generators(device), strict=True))


def _generators(device: torch.device) -> list[torch.Tensor]:
    """Where the generators stand that layers draw from."""
    own = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *own]


def diverged(loss: float, epoch: int) -> StepFailed:
    """The error for a mean loss of an epoch that is not finite."""
    return StepFailed(f"training diverged: the loss is {loss} in epoch {epoch + 1}")


def ended(model: nn.Module, losses: list[float], optimizer: torch.optim.SGD, held: Held) -> Trained:
    """What a training leaves."""
    names = {id(p): name for name, p in model.named_parameters()}
    momentum = {
        names[id(p)]: state["momentum_buffer"]
        for p, state in optimizer.state.items()
        if state.get("momentum_buffer") is not None
    }
    mask = {names[id(w)]: keep.detach().cpu() > 0 for w, keep in held}
    return Trained(losses, momentum, mask or None)


def sgd(model: nn.Module, recipe: Recipe, fused: bool = False) -> torch.optim.SGD:
    """The optimiser of a recipe; ``fused`` is one kernel for many weights, on a GPU.

    Elsewhere one call takes many weights, which gives the same bits as one after the other.
    """
    return torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay,
        **({"fused": True} if fused else {"foreach": True}),
    )


def hold(model: nn.Module, mask: Mask | None, so_far: Trained | None = None) -> Held:
    """Prune the weights; with each its mask, 1 where it is kept, on its device and in its type.

    Masks lie in memory as the weights do, so that one call can take many of both. Weights that a training had
    left ``so_far`` stay as they are, by the mask that it had come to: of a zero even the sign would count.
    """
    if mask is None:
        return []
    if so_far is None:
        masks.apply(model, mask)
    elif so_far.mask is not None:
        mask = {name: so_far.mask[name] for name in mask}
    named = dict(model.named_parameters())
    return [(named[name], torch.empty_like(named[name]).copy_(keep)) for name, keep in mask.items()]


def clear(held: Held) -> None:
    """Take away what pulls on pruned weights: with their momentum they stay exactly zero."""
    pulls = [(weight.grad, keep) for weight, keep in held if weight.grad is not None]
    if pulls:
        torch._foreach_mul_([pull for pull, _ in pulls], [keep for _, keep in pulls])


def learning_rate(recipe: Recipe, epoch: float, step: float = 0.0) -> float:
    """The learning rate at a moment, in epochs since the recipe's start; ``step`` is one step's length.

    Rises linearly from zero over ``warmup_epochs`` (the first step already has one step's share). Then
    ``step``: times gamma at each milestone passed; ``exponential``:
    times gamma at each epoch; ``linear`` and ``cosine``: down to zero at the end.
    """
    if epoch < recipe.warmup_epochs:
        return recipe.lr * min(1.0, (epoch + step) / recipe.warmup_epochs)
    if recipe.schedule == "step":
        return recipe.lr * recipe.gamma ** sum(epoch >= m for m in recipe.milestones)
    if recipe.schedule == "exponential":
        return recipe.lr * recipe.gamma ** int(epoch)
    done = (epoch - recipe.warmup_epochs) / max(recipe.epochs - recipe.warmup_epochs, 1e-12)
    return recipe.lr * (1.0 - done if recipe.schedule == "linear" else 0.5 * (1.0 + math.cos(math.pi * done)))
