"""Muon: momentum made orthogonal for the weights of convolutions, SGD for all others.

Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks; weights decay as in Liu et al.
2025, Muon is Scalable for LLM Training, section 2.2. ``torch.optim.Muon`` takes matrices alone.

Whatever changes the weights that a step yields must raise ``spec.TRAIN_VERSION``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

#: The polynomial that brings singular values near 1, of Jordan et al. 2024, and how often it is taken.
COEFFICIENTS, TIMES = (3.4445, -4.7750, 2.0315), 5


class Muon(torch.optim.Optimizer):
    """Steps of the weights of convolutions but the first, ``[out, in, ...]``, taken as ``[out, in * ...]``.

    The momentum (of Nesterov, with ``nesterov``) is made orthogonal and scaled by the root of rows over
    columns, where there are more rows; weights shrink by ``decay`` times their learning rate. ``rate`` is
    that over the one of ``others``: both groups have the same ``lr``, so that one schedule moves both.
    ``held`` are weights with their masks: what is pruned does not move. ``precision`` is the type of numbers
    in which the momentum is made orthogonal.
    """

    def __init__(
        self,
        matrices: list[torch.Tensor],
        others: torch.optim.SGD,
        rate: float,
        momentum: float,
        decay: float,
        held: Iterable[tuple[torch.Tensor, torch.Tensor]] = (),
        precision: torch.dtype = torch.float32,
    ):
        (group,) = others.param_groups
        known = {key: group[key] for key in ("lr", "nesterov")}
        super().__init__([{"params": matrices, "rate": rate, "momentum": momentum, "decay": decay}], known)
        self.others, self.precision = others, precision
        self.keep = {id(weight): keep for weight, keep in held}
        self.param_groups.append(group)
        others.state = self.state
        self.alike: dict[tuple[int, int], list[torch.Tensor]] = {}
        for weight in matrices:
            self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
            self.alike.setdefault((len(weight), weight[0].numel()), []).append(weight)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of all weights that have a gradient."""
        self.others.step()
        group = self.param_groups[0]
        rate = group["lr"] * group["rate"]
        for (rows, columns), weights in self.alike.items():
            moved = [weight for weight in weights if weight.grad is not None]
            if not moved:
                continue
            pulls = [weight.grad for weight in moved if weight.grad is not None]
            momenta = [self.state[weight]["momentum_buffer"] for weight in moved]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, pulls)
            ahead = momenta
            if group["nesterov"]:
                ahead = list(torch._foreach_add(pulls, momenta, alpha=group["momentum"]))
            steps = orthogonal(torch.stack([pull.flatten(1) for pull in ahead]).to(self.precision))
            scale = rate * math.sqrt(max(1.0, rows / columns))
            for weight, step in zip(moved, steps, strict=True):
                step = step.view(weight.shape).to(weight.dtype) * scale
                if id(weight) in self.keep:
                    step = step * self.keep[id(weight)]
                weight.mul_(1.0 - rate * group["decay"]).sub_(step)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices ``[k, rows, columns]`` with the same singular vectors, and singular values of about one.

    By five steps of the Newton-Schulz iteration of Jordan et al. 2024, which ends between 0.7 and 1.2 unless
    a value was very small. What is zero stays zero.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x: torch.Tensor = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    for _ in range(TIMES):
        square = x @ x.mT
        x = a * x + (b * square + c * (square @ square)) @ x
    return x.mT if tall else x
