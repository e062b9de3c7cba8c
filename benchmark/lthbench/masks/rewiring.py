"""While a network trains, its mask drops small weights and grows new ones, or ever more are pruned."""

from __future__ import annotations

import math

import torch
from torch import nn

from lthbench.compute.rng import generator
from lthbench.masks.selection import allocated
from lthbench.spec import Rewire


class Rewiring:
    """Changes the masks of a training in place: RigL, Evci et al. 2020, Rigging the Lottery, algorithm 1.

    Where what grows is drawn at random, by ``seed`` and step, it is SET, Mocanu et al. 2018. With a density,
    it is gradual pruning, Zhu & Gupta 2017. ``held`` are pairs of a weight and its mask (1 where kept, in the
    weight's type). Call ``change`` after the backward pass, with the gradients of all weights, in place of
    the optimiser's step, whenever ``due``: the latter two take that step themselves, before the mask changes.
    """

    def __init__(
        self,
        rewire: Rewire,
        held: list[tuple[nn.Parameter, torch.Tensor]],
        optimizer: torch.optim.Optimizer,
        steps: int,
        seed: int,
    ):
        self.rewire, self.held, self.optimizer, self.seed = rewire, held, optimizer, seed
        self.last = rewire.until * steps
        if rewire.density is not None:
            shapes = {str(i): tuple(weight.shape) for i, (weight, _) in enumerate(held)}
            self.final = list(allocated(shapes, rewire.density, "uniform").values())
            self.last = min(math.floor(self.last), steps - 1)

    def due(self, step: int) -> bool:
        """Whether the mask changes at this step (the first is 0)."""
        regular = step > 0 and step % self.rewire.every == 0 and step < self.last
        return regular or (self.rewire.density is not None and step == self.last)

    def fraction(self, step: int) -> float:
        """The share of each layer's weights that is dropped at this step."""
        falling = 0.5 * (1.0 + math.cos(math.pi * step / self.last))
        return self.rewire.final + (self.rewire.fraction - self.rewire.final) * falling

    def density(self, step: int) -> float:
        """The share of all weights that gradual pruning keeps at this step: Zhu & Gupta 2017, equation 1."""
        assert self.rewire.density is not None
        left = 1.0 - step / self.last if step < self.last else 0.0
        return self.rewire.density + (1.0 - self.rewire.density) * left**3

    @torch.no_grad()
    def change(self, step: int) -> None:
        """Change all masks, by the gradients, the weights and the step."""
        if self.rewire.density is not None or self.rewire.grow is not None:
            for weight, keep in self.held:
                if weight.grad is not None:
                    weight.grad.mul_(keep)
            self.optimizer.step()
        if self.rewire.density is not None:
            self._shrink(step)
        else:
            self._rewire(step)

    def _shrink(self, step: int) -> None:
        """Keep the largest weights that were kept before; of equals, the earlier ones."""
        density, sizes = self.density(step), [weight.numel() for weight, _ in self.held]
        alike = [range(len(sizes))] if self.rewire.pooled else [[i] for i in range(len(sizes))]
        for layers in alike:
            kept = torch.cat([self.held[i][1].reshape(-1) > 0 for i in layers])
            size = torch.cat([self.held[i][0].detach().reshape(-1).abs() for i in layers])
            count = round(density * len(kept))
            if not self.rewire.pooled:  # counts that only fall, and end where they make up the density
                last = self.final[layers[0]]
                count = max(count, last) if step < self.last else last
            order = torch.sort(size.masked_fill(~kept, -math.inf), descending=True, stable=True).indices
            alive = torch.zeros_like(kept)
            alive[order[:count]] = True
            parts = torch.split(alive, [sizes[i] for i in layers])
            for i, part in zip(layers, parts, strict=True):
                self._hold(*self.held[i], part.reshape(self.held[i][0].shape))

    def _rewire(self, step: int) -> None:
        """Drop the smallest weights of each layer, grow those with the largest gradients, from zero.

        What was just dropped may grow again, as in the paper. It then keeps its value and its momentum, as in
        the authors' code (``reinit_when_same=False``) and in that of Liu et al. 2021: no new connection.
        """
        for place, (weight, keep) in enumerate(self.held):
            alive = keep.reshape(-1) > 0
            before = alive.clone()
            count = int(self.fraction(step) * int(alive.sum()))
            size = weight.detach().reshape(-1).abs().masked_fill(~alive, math.inf)
            alive[torch.sort(size, stable=True).indices[:count]] = False
            pull = self._pull(weight, step, place).masked_fill(alive, -math.inf)
            grown = torch.sort(pull, descending=True, stable=True).indices[:count]
            flat = torch.zeros_like(alive)
            flat[grown] = True
            fresh = (flat & ~before).reshape(keep.shape)
            self._hold(weight, keep, (alive | flat).reshape(keep.shape), fresh)

    def _pull(self, weight: nn.Parameter, step: int, place: int) -> torch.Tensor:
        """What says which weights of a layer grow, the highest first ``[N]``."""
        if self.rewire.grow is None:
            assert weight.grad is not None
            return weight.grad.reshape(-1).abs()
        draw = generator("grow", self.seed, step, place)
        return torch.rand(weight.numel(), generator=draw, dtype=torch.float64).to(weight.device)

    def _hold(
        self, weight: nn.Parameter, keep: torch.Tensor, alive: torch.Tensor, fresh: torch.Tensor | None = None
    ) -> None:
        """Hold a weight to another mask; what is pruned or fresh has neither value nor momentum."""
        keep.copy_(alive)
        # Momentum, and the second moments of AdamW.
        moments = [m for m in self.optimizer.state[weight].values() if torch.is_tensor(m) and m.dim()]
        for tensor in (weight, *moments):
            tensor.mul_(keep)
            if fresh is not None:
                tensor.masked_fill_(fresh, 0.0)
