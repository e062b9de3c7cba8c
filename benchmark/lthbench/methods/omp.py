"""One-shot magnitude pruning (OMP)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.random import CONTROLS, SHUFFLED, trained
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


#: Weights in a group of N:M sparsity. Hardware has 2:4; the others are those that are published.
GROUPS = (4, 8, 16)
NM = "N of every M weights, M = 4, 8 or 16 of them along input channels (2:4 at 50 %, 1:4 at 75 %); layers "
NM += "whose input channels are no multiple of M, such as the first, stay dense; Mishra et al. 2021, "
NM += "Accelerating Sparse Deep Neural Networks"


def pattern(density: float) -> tuple[int, int] | None:
    """The (N, M) of N:M sparsity that has this density, with the smallest M; None where there is none."""
    for m in GROUPS:
        n = round(density * m)
        if 0 < n < m and abs(density * m - n) < 1e-9:
            return n, m
    return None


def unfit(cell: Cell) -> str:
    """N:M sparsity has only the densities N / M."""
    if cell.variant != "nm" or pattern(cell.density):
        return ""
    nearest = min(max(round(16 * (1.0 - cell.density)), 1), 15) / 16
    return (
        "N:M sparsity keeps N of 4, 8 or 16 weights, so sparsities are multiples of 1/16 between 0 and 1. "
        f"The nearest is {nearest:g}; usual are 0.5, 0.75 and 0.875."
    )


def ticket(cell: Cell) -> Train:
    """Prune the trained dense network once, rewind what is left, and train it again."""
    if cell.variant == "untrained":
        return cell.untrained(cell.dense, cell.prune(cell.dense, MAGNITUDE))
    found = pattern(cell.density) if cell.variant == "nm" else None
    allocation = f"{found[0]}:{found[1]}" if found else "" if cell.variant in CONTROLS else cell.variant
    return trained(cell, cell.rewound, cell.prune(cell.dense, MAGNITUDE, allocation=allocation))


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
        "nm": NM,
        **CONTROLS,
        "untrained": "the trained network with its mask, without rewinding or training after it",
    },
    unfit=unfit,
    family="after",
    criteria=SHUFFLED,
)
