"""Prune by squared magnitude: the same masks as by magnitude, and so a method to start from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.spec import Train

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores


def scores(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score w**2; the highest are kept."""
    from lthbench.masks import prunable

    return {name: weight.detach() ** 2 for name, weight in prunable(model).items()}


SQUARED = Criterion("squared", version=1, score=scores)


def ticket(cell: Cell) -> Train:
    """Prune the trained parent once, rewind, train."""
    return cell.train(cell.rewound, cell.prune(cell.dense, SQUARED))


METHOD = Method(
    name="squared",
    title="squared magnitude, one shot",
    formula="keep the largest w**2 of the trained network; rewind; train",
    source="an example of lthbench",
    cost="one training for each sparsity and seed",
    ticket=ticket,
    criterion=SQUARED,
)
