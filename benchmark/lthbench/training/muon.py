"""Muon: momentum made orthogonal for the weights of convolutions, SGD for all others.

Jordan et al. 2024, Muon: An optimizer for hidden layers in neural networks; weights decay as in Liu et al.
2025, Muon is Scalable for LLM Training, section 2.2. ``torch.optim.Muon`` takes matrices alone.

Whatever changes the weights that a step yields must raise ``spec.MUON_VERSION``.
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
    ``held`` are weights with their masks: what is pruned does not move.
    """

    def __init__(
        self,
        matrices: list[torch.Tensor],
        others: torch.optim.SGD,
        rate: float,
        momentum: float,
        decay: float,
        held: Iterable[tuple[torch.Tensor, torch.Tensor]] = (),
    ):
        (group,) = others.param_groups
        known = {key: group[key] for key in ("lr", "nesterov")}
        super().__init__([{"params": matrices, "rate": rate, "momentum": momentum, "decay": decay}], known)
        self.others = others
        self.keep = {id(weight): keep for weight, keep in held}
        self.param_groups.append(group)
        others.state = self.state
        self.alike: dict[torch.Size, list[torch.Tensor]] = {}
        for weight in matrices:
            self.state[weight]["momentum_buffer"] = torch.zeros_like(weight)
            self.alike.setdefault(weight.shape, []).append(weight)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """One step of all weights that have a gradient."""
        self.others.step()
        group = self.param_groups[0]
        rate = group["lr"] * group["rate"]
        weights: list[torch.Tensor] = []
        steps: list[torch.Tensor] = []
        for shape, alike in self.alike.items():
            moved = [weight for weight in alike if weight.grad is not None]
            if not moved:
                continue
            pulls = [weight.grad for weight in moved if weight.grad is not None]
            momenta = [self.state[weight]["momentum_buffer"] for weight in moved]
            torch._foreach_mul_(momenta, group["momentum"])
            torch._foreach_add_(momenta, pulls)
            ahead = momenta
            if group["nesterov"]:
                ahead = list(torch._foreach_add(pulls, momenta, alpha=group["momentum"]))
            # columns in the order in which channels_last weights have them: which one matters to nothing
            lying = torch.stack([pull.permute(0, 2, 3, 1) for pull in ahead])
            made = orthogonal(lying.flatten(2)).view(lying.shape).permute(0, 1, 4, 2, 3)
            weights += moved
            steps += made.mul_(rate * math.sqrt(max(1.0, shape[0] / shape[1:].numel()))).unbind()
        if weights:
            keeps = [self.keep.get(id(weight)) for weight in weights]
            held = [(step, keep) for step, keep in zip(steps, keeps, strict=True) if keep is not None]
            if held:
                torch._foreach_mul_([step for step, _ in held], [keep for _, keep in held])
            torch._foreach_mul_(weights, 1.0 - rate * group["decay"])
            torch._foreach_sub_(weights, steps)


def orthogonal(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices ``[k, rows, columns]`` with the same singular vectors, and singular values of about one.

    By five steps of the Newton-Schulz iteration of Jordan et al. 2024, which ends between 0.7 and 1.2 unless
    a value was very small. What is zero stays zero. Each step multiplies by a polynomial of the product of
    rows with rows, and these commute: they are multiplied with each other first, as they are smaller.
    """
    a, b, c = COEFFICIENTS
    tall = matrices.shape[1] > matrices.shape[2]
    x: torch.Tensor = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-7)
    square = x @ x.mT
    factor = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
    for last in reversed(range(TIMES)):
        step = torch.baddbmm(square, square, square, beta=b, alpha=c)
        step.diagonal(dim1=1, dim2=2).add_(a)
        factor = step @ factor
        if last:
            square = step @ square @ step
    x = factor @ x
    return x.mT if tall else x
