"""Structured pruning: whole filters go, and all that reads their channels."""

from __future__ import annotations

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.omp import magnitude
from lthbench.spec import Train

FILTERS = Criterion("filter-magnitude", 1, magnitude, unit="filter")


def ticket(cell: Cell) -> Train:
    """Remove filters of the trained dense network once, rewind what is left, and train it again."""
    return cell.train(cell.rewound, cell.prune(cell.dense, FILTERS))


def unfit(cell: Cell) -> str:
    """A network can lose only filters whose channels are not added to others."""
    counts = cell.size(cell.init.network)
    floor = counts.floor / counts.prunable
    if floor >= 1.0:
        return f"no filter of {cell.architecture.name} can be removed; connection removes kernels instead."
    if cell.density < floor:
        return (
            f"in {cell.architecture.name}, channels that are added to or put beside others stay, so filters "
            f"can go up to sparsity {1 - floor:.4f} at most; connection has no such limit."
        )
    return ""


METHOD = Method(
    name="filter",
    title="filter pruning (structured)",
    formula="remove the filters with the smallest sum of |w|, the same share of each layer; rewind; train",
    source="Li et al. 2017, Pruning Filters for Efficient ConvNets",
    cost="one training for each sparsity and seed, beside the dense one",
    ticket=ticket,
    criterion=FILTERS,
    unfit=unfit,
    family="structured",
)
