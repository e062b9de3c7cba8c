"""GraSP: pruning at initialisation that preserves the flow of gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.spec import Train

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores

#: The logits are divided by this before the softmax (Wang et al. 2020, section 4.1).
TEMPERATURE = 200.0


def flow(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score w * (H g), g and H gradient and Hessian of the mean cross-entropy of the logits over 200.

    Wang et al. 2020, Picking Winning Tickets Before Training by Preserving Gradient Flow, equation 8: their
    score is -w * (H g), and the highest are removed. One batch for both; batch normalisation uses the
    batch's statistics, so sum(w * H g) = -sum(g * g). H g is the gradient of g . stop(g).
    """
    import torch
    from torch.nn import functional as F

    from lthbench.masks import prunable

    del generator
    images, labels = next(batches)
    weights = prunable(model)
    loss = F.cross_entropy(model(images) / TEMPERATURE, labels)
    gradients = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
    product = sum(((g * g.detach()).sum() for g in gradients), start=torch.zeros((), device=loss.device))
    curved = torch.autograd.grad(product, list(weights.values()))
    return {name: w.detach() * h for (name, w), h in zip(weights.items(), curved, strict=True)}


FLOW = Criterion("grasp", 1, flow, per_class=10, passes=10.0)


def ticket(cell: Cell) -> Train:
    """Score at initialisation on ten training images of each class, prune once, train."""
    return cell.train(cell.init, cell.prune(cell.init, FLOW))


METHOD = Method(
    name="grasp",
    title="GraSP (gradient flow at initialisation)",
    formula="keep the largest w * (H g) at initialisation, all layers together; train from initialisation",
    source="Wang et al. 2020, Picking Winning Tickets Before Training by Preserving Gradient Flow",
    cost="a gradient and a Hessian-vector product for each mask; one training for each sparsity and seed",
    ticket=ticket,
    criterion=FLOW,
)
