"""SynFlow: pruning at initialisation without data, by conserved synaptic flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.random import CONTROLS, SHUFFLED, trained
from lthbench.spec import Train

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores


def flow(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score w * dR/dw of the network of absolute weights, R the sum of its logits for an image of ones.

    Tanaka et al. 2020, Pruning Neural Networks Without Any Data by Iteratively Conserving Synaptic Flow,
    section 5, with their 100 rounds to density**(k / 100). In float64, since R overflows float32 in deep
    networks; batch normalisation in evaluation mode; the normalisation of pixels is left out, so that ones
    reach the first convolution.
    """
    import torch

    from lthbench.masks import prunable

    del generator
    images, _ = next(batches)
    model.double().eval()
    model.normalize = torch.nn.Identity()
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            tensor.abs_()
    weights = prunable(model)
    total = model(images.double()).sum()
    gradients = torch.autograd.grad(total, list(weights.values()))
    return {name: (w * g).detach() for (name, w), g in zip(weights.items(), gradients, strict=True)}


def unfit(cell: Cell) -> str:
    """What is conserved is the flow of networks that are homogeneous in each layer."""
    if cell.architecture.family != "transformer":
        return ""
    return (
        "the flow that its score conserves passes through no softmax or layer normalisation, which "
        f"{cell.architecture.name} has; no such score is published for these: use snip, grasp or force."
    )


FLOW = Criterion("synflow", 1, flow, rounds=100, passes=3.0)


def ticket(cell: Cell) -> Train:
    """Prune at initialisation in 100 rounds, train."""
    return trained(cell, cell.init, cell.prune(cell.init, FLOW))


METHOD = Method(
    name="synflow",
    title="SynFlow (synaptic flow, without data)",
    formula="100 times: keep the largest |w| * dR/d|w|, R the sum of logits of the |w| network; train",
    source="Tanaka et al. 2020, Pruning Neural Networks Without Any Data, algorithm 1",
    cost="100 passes of one image for each mask; one training for each sparsity and seed",
    ticket=ticket,
    criterion=FLOW,
    unfit=unfit,
    variants=CONTROLS,
    family="init",
    criteria=SHUFFLED,
)
