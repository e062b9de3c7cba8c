"""One-shot magnitude pruning (OMP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.spec import Train

if TYPE_CHECKING:
    import torch

    from lthbench.kinds import Batches, Scores


def magnitude(model: torch.nn.Module, batches: Batches, generator: torch.Generator) -> Scores:
    """Score |w|: Han et al. 2015, Learning both Weights and Connections. Looks at no data."""
    from lthbench.masks import prunable

    del batches, generator
    return {name: weight.detach().abs() for name, weight in prunable(model).items()}


MAGNITUDE = Criterion("magnitude", 1, magnitude)


def ticket(cell: Cell) -> Train:
    """Prune the trained dense network once, rewind what is left, and train it again."""
    return cell.train(cell.rewound, cell.prune(cell.dense, MAGNITUDE, allocation=cell.variant))


METHOD = Method(
    name="omp",
    title="one-shot magnitude pruning",
    formula="keep the largest |w| of the trained network, all layers together; rewind to epoch k; train",
    source="Han et al. 2015; as OMP in Chen et al. 2022, section 3",
    cost="one training for each sparsity and seed, beside the dense one",
    ticket=ticket,
    criterion=MAGNITUDE,
    variants={
        "uniform": "the same share of each layer",
        "erk": "shares by the Erdos-Renyi-Kernel rule of Evci et al. 2020",
    },
    family="after",
)
