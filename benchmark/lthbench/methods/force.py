"""FORCE and Iterative SNIP: pruning at initialisation in rounds, by connection sensitivity after pruning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.random import CONTROLS, SHUFFLED, trained
from lthbench.methods.snip import gradients, sensitivity
from lthbench.spec import Train

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores

#: De Jorge et al. 2021, section 5: rounds, with as many weights in each as an exponential decay leaves.
ROUNDS = 60


def foresight(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score |g * w|, g the gradient of the mean cross-entropy of the network as it is pruned so far.

    De Jorge et al. 2021, Progressive Skeletonization, section 4: w is the weight before pruning, so that one
    that is pruned has a score too, and may come back. The same images in each round, where their code draws
    new ones; batch normalisation uses the statistics of a batch, as at the start of training.
    """
    from lthbench.masks import whole

    del generator
    slopes = gradients(model, batches)
    return {name: (slopes[name] * weight).abs() for name, weight in whole(model).items()}


FORESIGHT = Criterion("force", 1, foresight, per_class=10, rounds=ROUNDS, passes=3.0, regrows=True)
CRITERIA = {
    "iterative-snip": Criterion("iterative-snip", 1, sensitivity, per_class=10, rounds=ROUNDS, passes=3.0)
}


def ticket(cell: Cell) -> Train:
    """Prune at initialisation in rounds, train."""
    return trained(cell, cell.init, cell.prune(cell.init, CRITERIA.get(cell.variant, FORESIGHT)))


METHOD = Method(
    name="force",
    title="FORCE (foresight connection sensitivity at initialisation)",
    formula="60 times: keep the density**(t / 60) largest |dL/dw * w|, dL/dw of the network pruned so far, w "
    "of the unpruned one, all layers together; train from initialisation",
    source="de Jorge et al. 2021, Progressive Skeletonization: Trimming more fat from a network at "
    "initialization",
    cost="60 forward and backward passes for each mask; one training for each sparsity and seed",
    ticket=ticket,
    criterion=FORESIGHT,
    variants={
        "iterative-snip": "Iterative SNIP of the same paper: what is pruned stays pruned",
        **CONTROLS,
    },
    family="init",
    criteria={**CRITERIA, **SHUFFLED},
)
