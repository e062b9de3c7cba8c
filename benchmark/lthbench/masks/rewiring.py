"""Dynamic sparse training: while a network trains, its mask drops small weights and grows new ones."""

from __future__ import annotations

import math

import torch
from torch import nn

from lthbench.spec import Rewire


class Rewiring:
    """Changes the masks of a training in place: RigL, Evci et al. 2020, Rigging the Lottery, algorithm 1.

    ``held`` are pairs of a weight and its mask (1 where kept, in the weight's type). Each layer keeps its
    number of weights. Call ``change`` after the backward pass, with the gradients of all weights, in place
    of the optimiser's step, whenever ``due``.
    """

    def __init__(
        self,
        rewire: Rewire,
        held: list[tuple[nn.Parameter, torch.Tensor]],
        optimizer: torch.optim.SGD,
        steps: int,
    ):
        self.rewire, self.held, self.optimizer = rewire, held, optimizer
        self.last = rewire.until * steps

    def due(self, step: int) -> bool:
        """Whether the mask changes at this step (the first is 0)."""
        return step > 0 and step % self.rewire.every == 0 and step < self.last

    def fraction(self, step: int) -> float:
        """The share of each layer's weights that is dropped at this step."""
        falling = 0.5 * (1.0 + math.cos(math.pi * step / self.last))
        return self.rewire.final + (self.rewire.fraction - self.rewire.final) * falling

    @torch.no_grad()
    def change(self, step: int) -> None:
        """Drop the smallest weights of each layer, grow those with the largest gradients, from zero.

        What was just dropped may grow again, as in the paper. It then keeps its value and its momentum, as in
        the authors' code (``reinit_when_same=False``) and in that of Liu et al. 2021: no new connection.
        """
        for weight, keep in self.held:
            assert weight.grad is not None
            alive = keep.reshape(-1) > 0
            before = alive.clone()
            count = int(self.fraction(step) * int(alive.sum()))
            size = weight.detach().reshape(-1).abs().masked_fill(~alive, math.inf)
            alive[torch.sort(size, stable=True).indices[:count]] = False
            pull = weight.grad.reshape(-1).abs().masked_fill(alive, -math.inf)
            grown = torch.sort(pull, descending=True, stable=True).indices[:count]
            flat = torch.zeros_like(alive)
            flat[grown] = True
            fresh = (flat & ~before).reshape(keep.shape)
            keep.copy_((alive | flat).reshape(keep.shape))
            weight.mul_(keep).masked_fill_(fresh, 0.0)
            momentum = self.optimizer.state[weight].get("momentum_buffer")
            if momentum is not None:
                momentum.mul_(keep).masked_fill_(fresh, 0.0)
