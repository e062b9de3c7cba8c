"""Random pruning at initialisation: the control that a real method must beat, and controls of its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.spec import Prune, Train, Weights

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores


def uniform(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score each weight by an independent uniform number; masks of one seed nest over densities."""
    import torch

    from lthbench.masks import prunable

    del batches
    return {
        name: torch.rand(weight.shape, generator=generator, dtype=torch.float64)
        for name, weight in prunable(model).items()
    }


RANDOM = Criterion("random", 1, uniform)


#: Variants that take one part away from a network that a method found: what is lost, that part was worth.
CONTROLS = {
    "reinit": "its mask with initial weights that are drawn anew, trained from the start, without epochs as "
    "a dense network; Frankle & Carbin 2019, The Lottery Ticket Hypothesis",
    "shuffled": "as many weights of each layer as its mask keeps, at places drawn at random; Frankle et al. "
    "2021, Pruning Neural Networks at Initialization: Why Are We Missing the Mark?",
}
#: What the control that shuffles prunes by.
SHUFFLED = {"shuffled": RANDOM}


def trained(cell: Cell, start: Weights, mask: Prune) -> Train:
    """Training of what a method found, or of the control that the cell's variant asks for."""
    if cell.variant == "reinit":
        return cell.train(cell.redrawn, mask)
    if cell.variant == "shuffled":
        mask = cell.prune(cell.init, RANDOM, layers_of=mask)
    return cell.train(start, mask)


def ticket(cell: Cell) -> Train:
    """Draw the mask at initialisation and train."""
    return cell.train(cell.init, cell.prune(cell.init, RANDOM, allocation=cell.variant))


METHOD = Method(
    name="random",
    title="random pruning at initialisation",
    formula="keep a uniformly drawn subset of all prunable weights; train from initialisation",
    source="RP in Chen et al. 2022, section 3",
    cost="one training for each sparsity and seed",
    ticket=ticket,
    criterion=RANDOM,
    aliases=("rp",),
    variants={
        "uniform": "the same share of each layer",
        "erk": "shares by the Erdos-Renyi-Kernel rule of Evci et al. 2020",
    },
    family="init",
)
