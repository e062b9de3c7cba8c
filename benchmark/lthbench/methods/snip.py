"""SNIP: pruning at initialisation by connection sensitivity."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.random import CONTROLS, SHUFFLED, trained
from lthbench.spec import Train

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores


def sensitivity(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score |g * w|, g the gradient of the mean cross-entropy: the effect of removing each connection.

    Lee et al. 2019, SNIP, equations 3 to 6. Batch normalisation uses the statistics of a batch, as at the
    start of training. Dividing by the sum, as the paper does, leaves the order as it is.
    """
    from lthbench.masks import prunable

    del generator
    slopes = gradients(model, batches)
    return {name: (slopes[name] * w.detach()).abs() for name, w in prunable(model).items()}


def gradients(model: torch.nn.Module, batches: Batches) -> Scores:
    """The gradient of the mean cross-entropy over all images, of each prunable weight, in its shape."""
    import torch
    from torch.nn import functional as F

    from lthbench.masks import prunable

    weights = prunable(model)
    total = {name: torch.zeros_like(w) for name, w in weights.items()}
    shown = list(batches)
    count = sum(len(labels) for _, labels in shown)
    for images, labels in shown:
        loss = F.cross_entropy(model(images), labels, reduction="sum") / count
        for name, g in zip(weights, torch.autograd.grad(loss, list(weights.values())), strict=True):
            total[name] += g
    return total


SENSITIVITY = Criterion("snip", 1, sensitivity, per_class=10, passes=3.0)


def ticket(cell: Cell) -> Train:
    """Score at initialisation on ten training images of each class, prune once, train."""
    return trained(cell, cell.init, cell.prune(cell.init, SENSITIVITY))


METHOD = Method(
    name="snip",
    title="SNIP (connection sensitivity at initialisation)",
    formula="keep the largest |dL/dw * w| at initialisation, all layers together; train from initialisation",
    source="Lee et al. 2019, SNIP: Single-shot Network Pruning based on Connection Sensitivity",
    cost="one forward and backward pass for each mask; one training for each sparsity and seed",
    ticket=ticket,
    criterion=SENSITIVITY,
    variants=CONTROLS,
    family="init",
    criteria=SHUFFLED,
)
