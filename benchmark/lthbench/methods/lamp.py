"""Layer-adaptive magnitude pruning (LAMP): magnitudes made comparable between layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.random import CONTROLS, SHUFFLED, trained
from lthbench.spec import Weights

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores


def relative(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score w^2 over the sum of v^2 of the weights of its layer that are at least as large.

    Lee et al. 2021, Layer-adaptive Sparsity for the Magnitude-based Pruning, equation 1. Of equals, the
    earlier one counts as the smaller, so the largest of each layer scores 1. Looks at no data.
    """
    import torch

    from lthbench.masks import prunable

    del batches, generator
    scores = {}
    for name, weight in prunable(model).items():
        squares, order = torch.sort(weight.detach().double().square().reshape(-1), stable=True)
        surviving = squares.flip(0).cumsum(0).flip(0)
        score = torch.empty_like(squares)
        score[order] = squares / surviving.clamp_min(torch.finfo(torch.float64).tiny)
        scores[name] = score.reshape(weight.shape)
    return scores


RELATIVE = Criterion("lamp", 1, relative)


def ticket(cell: Cell) -> Weights:
    """Prune the trained dense network once, rewind what is left, and train it again; or do so in rounds."""
    network: Weights = cell.dense
    if cell.variant == "untrained":
        return cell.untrained(network, cell.prune(network, RELATIVE))
    if cell.variant in CONTROLS:
        return trained(cell, cell.rewound, cell.prune(network, RELATIVE))
    for density in cell.levels if cell.variant == "iterative" else (cell.density,):
        network = cell.train(cell.rewound, cell.prune(network, RELATIVE, density))
    return network


METHOD = Method(
    name="lamp",
    title="layer-adaptive magnitude pruning (LAMP)",
    formula="keep the largest w^2 / sum of all v^2 >= w^2 of its layer, all layers together; rewind; train",
    source="Lee et al. 2021, Layer-adaptive Sparsity for the Magnitude-based Pruning, equation 1",
    cost="one training for each sparsity and seed, beside the dense one",
    ticket=ticket,
    criterion=RELATIVE,
    variants={
        **CONTROLS,
        "iterative": "in rounds of training and pruning, as imp",
        "untrained": "the trained network with its mask, without rewinding or training after it",
    },
    family="after",
    criteria=SHUFFLED,
)
