"""GraSP: pruning at initialisation that preserves the flow of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.random import CONTROLS, SHUFFLED, trained
from lthbench.spec import Train

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores

#: The logits are divided by this before the softmax (Wang et al. 2020, section 4.1).
TEMPERATURE = 200.0


def flow(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score w * (H g), g and H gradient and Hessian of the mean cross-entropy of the logits over 200.

    Wang et al. 2020, Picking Winning Tickets Before Training by Preserving Gradient Flow, equation 8: their
    score is -w * (H g), and the highest are removed. The same images for both; batch normalisation uses
    a batch's statistics, so sum(w * H g) = -sum(g * g) for one batch. H g is the gradient of g . stop(g).
    """
    import torch
    from torch.nn import functional as F

    from lthbench.masks import prunable

    del generator
    weights = prunable(model)
    shown = list(batches)
    count = sum(len(labels) for _, labels in shown)

    def slopes(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = F.cross_entropy(model(images) / TEMPERATURE, labels, reduction="sum") / count
        return torch.autograd.grad(loss, list(weights.values()), create_graph=True)

    kept = slopes(*shown[0]) if len(shown) == 1 else None  # one batch needs no second forward pass
    parts = [kept] if kept else [tuple(g.detach() for g in slopes(*batch)) for batch in shown]
    whole = [torch.stack([g.detach() for g in layer]).sum(0) for layer in zip(*parts, strict=True)]
    curved = [torch.zeros_like(w) for w in weights.values()]
    for batch in shown:
        own = kept or slopes(*batch)
        product = torch.stack([(a * b).sum() for a, b in zip(own, whole, strict=True)]).sum()
        for sofar, h in zip(curved, torch.autograd.grad(product, list(weights.values())), strict=True):
            sofar += h
    return {name: w.detach() * h for (name, w), h in zip(weights.items(), curved, strict=True)}


FLOW = Criterion("grasp", 1, flow, per_class=10, passes=10.0)


def ticket(cell: Cell) -> Train:
    """Score at initialisation on ten training images of each class, prune once, train."""
    return trained(cell, cell.init, cell.prune(cell.init, FLOW))


METHOD = Method(
    name="grasp",
    title="GraSP (gradient flow at initialisation)",
    formula="keep the largest w * (H g) at initialisation, all layers together; train from initialisation",
    source="Wang et al. 2020, Picking Winning Tickets Before Training by Preserving Gradient Flow",
    cost="a gradient and a Hessian-vector product for each mask; one training for each sparsity and seed",
    ticket=ticket,
    criterion=FLOW,
    variants=CONTROLS,
    family="init",
    criteria=SHUFFLED,
)
