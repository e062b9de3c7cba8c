"""Network slimming: remove filters whose scales of batch normalisation were pushed to zero in training."""

from __future__ import annotations

from dataclasses import replace

from lthbench.kinds import Cell, Method
from lthbench.methods import filter, finetune
from lthbench.spec import Weights

#: What multiplies the sum of |gamma| in the loss. Liu et al. 2017, section 4.2, have 1e-4 for VGG, and 1e-5
#: for ResNets; scales begin at 0.5 there, and at 1 here. In all it moves a scale by this times the sum of the
#: learning rates of all steps / (1 - momentum), at most: 6.6 in 160 epochs of theirs, 0.02 in 408 steps of
#: the digits, where it is hardly felt.
PENALTY = 1e-4


def ticket(cell: Cell) -> Weights:
    """Train with the penalty, remove the filters with the smallest scales of all layers, and train on."""
    parent = cell.train(cell.init, recipe=replace(cell.recipe, scale_penalty=PENALTY))
    mask = cell.prune(parent, filter.CRITERIA["bn"], allocation="pooled")
    return cell.train(parent, mask, cell.finetune)


def unfit(cell: Cell) -> str:
    """Needs batch normalisation, filters that can be removed, and a recipe to fine-tune with."""
    if cell.architecture.family == "transformer":
        return f"{cell.architecture.name} has no batch normalisation; use filter."
    return filter.unfit(cell) or finetune.unfit(cell)


METHOD = Method(
    name="slimming",
    title="network slimming (structured)",
    formula="train with 1e-4 times the sum of |gamma| added to the loss; remove the filters with the "
    "smallest |gamma|, the scale of batch normalisation, all layers together; train on",
    source="Liu et al. 2017, Learning Efficient Convolutional Networks through Network Slimming; their "
    "scales begin at 0.5 and theirs is a training of 160 epochs: in a short one the penalty is hardly felt",
    cost="one training with the penalty for each seed, and one fine-tuning for each sparsity and seed",
    ticket=ticket,
    criterion=filter.CRITERIA["bn"],
    unfit=unfit,
    family="structured",
)
