"""Random pruning at initialisation: the control that a real method must beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.spec import Train

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
