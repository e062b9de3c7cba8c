"""What training does to one network: optimiser, rate, the mask that is held, and what is left at the end.

Whatever changes the weights that a step yields must raise ``spec.TRAIN_VERSION``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from lthbench import masks
from lthbench.compute.rng import generator
from lthbench.errors import StepFailed
from lthbench.kinds import Images
from lthbench.masks import Mask
from lthbench.spec import Recipe
from lthbench.training.muon import Muon

#: Weights, each with its mask.
Held = list[tuple[nn.Parameter, torch.Tensor]]


class Trained(NamedTuple):
    """What a training leaves: its mean loss in each epoch it ran, and momentum and mask at the end.

    For AdamW also the second moments (``squares``) and the ``steps`` taken, of each parameter.
    """

    losses: list[float]
    momentum: dict[str, torch.Tensor]
    mask: Mask | None = None
    squares: dict[str, torch.Tensor] | None = None
    steps: dict[str, torch.Tensor] | None = None


#: Called after an epoch with the epochs done, the network, and what gives what was left so far.
AfterEpoch = Callable[[int, nn.Module, Callable[[], Trained]], None]


class Paused(Exception):
    """A training was left at the end of an epoch, to go on later."""


#: What optimisers remember of each parameter, and where ``Trained`` has it.
STATES = {
    "SGD": {"momentum_buffer": "momentum"},
    "Muon": {"momentum_buffer": "momentum"},
    "AdamW": {"exp_avg": "momentum", "exp_avg_sq": "squares", "step": "steps"},
}


def gone_on(optimizer: torch.optim.Optimizer, model: nn.Module, so_far: Trained | None) -> list[float]:
    """Give an optimiser what a training had left in its own. Returns the losses of its epochs."""
    if so_far is None:
        return []
    named = dict(model.named_parameters())
    for key, place in STATES[type(optimizer).__name__].items():
        for name, value in (getattr(so_far, place) or {}).items():
            # It lies in memory as the weights do, so that one call takes many. Steps are counted on the host.
            lain = torch.empty_like(value if place == "steps" else named[name])
            if place == "steps" and optimizer.defaults.get("capturable"):
                lain = lain.to(named[name].device)
            optimizer.state[named[name]][key] = lain.copy_(value).detach()
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


def ended(model: nn.Module, losses: list[float], optimizer: torch.optim.Optimizer, held: Held) -> Trained:
    """What a training leaves."""
    names = {id(p): name for name, p in model.named_parameters()}
    left = {
        place: {names[id(p)]: s[key] for p, s in optimizer.state.items() if s.get(key) is not None}
        for key, place in STATES[type(optimizer).__name__].items()
    }
    mask = {names[id(w)]: keep.detach().cpu() > 0 for w, keep in held}
    return Trained(losses, left.pop("momentum"), mask or None, **left)


def optimizer_of(
    model: nn.Module, recipe: Recipe, fused: bool = False, held: Held | None = None
) -> torch.optim.Optimizer:
    """The optimiser of a recipe: see ``sgd``, ``muon`` and ``adamw``. ``held`` weights have masks."""
    if recipe.optimizer == "muon":
        return muon(model, recipe, fused, held or [])
    return adamw(model, recipe, fused) if recipe.optimizer == "adamw" else sgd(model, recipe, fused)


def muon(model: nn.Module, recipe: Recipe, fused: bool, held: Held) -> Muon:
    """Muon for the weights of convolutions but the first, SGD for all others: see ``Muon``."""
    convolutions = dict.fromkeys(m.weight for m in model.modules() if isinstance(m, nn.Conv2d))
    known = {id(p) for p in model.parameters() if p.requires_grad}  # computed weights are no parameters
    matrices = [p for p in list(convolutions)[1:] if id(p) in known]
    taken = {id(p) for p in matrices}
    others = sgd(nn.ParameterList(p for p in model.parameters() if id(p) not in taken), recipe, fused)
    rate = (recipe.matrix_lr or recipe.lr) / recipe.lr
    momentum = recipe.momentum if recipe.matrix_momentum is None else recipe.matrix_momentum
    return Muon(matrices, others, rate, momentum, recipe.matrix_decay or 0.0, held)


def adamw(model: nn.Module, recipe: Recipe, fused: bool = False) -> torch.optim.AdamW:
    """Loshchilov & Hutter 2019, Decoupled Weight Decay Regularization: rates of decay momentum and 0.999.

    As usual for transformers (Touvron et al. 2021, DeiT) only the weights of layers decay: biases,
    normalisation, position embeddings and class tokens do not.
    """
    named = list(model.named_parameters())
    decays = [p for name, p in named if name.endswith("weight") and p.dim() > 1]
    others = [p for name, p in named if not (name.endswith("weight") and p.dim() > 1)]
    groups: list[dict[str, Any]] = [{"params": decays}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=recipe.lr,
        betas=(recipe.momentum, 0.999),
        weight_decay=recipe.weight_decay,
        **({"fused": True, "capturable": True} if fused else {"foreach": True}),
    )


def sgd(model: nn.Module, recipe: Recipe, fused: bool = False) -> torch.optim.SGD:
    """SGD with momentum; ``fused`` is one kernel for many weights, on a GPU.

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
    Raises StepFailed for the mask of another network.
    """
    if mask is None:
        return []
    masks.check(model, mask)
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
