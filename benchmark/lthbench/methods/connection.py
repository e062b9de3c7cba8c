"""Connection sparsity: each filter loses input channels."""

from __future__ import annotations

from lthbench.kinds import Cell, Criterion, Method
from lthbench.methods.omp import magnitude
from lthbench.spec import Train

KERNELS = Criterion("kernel-magnitude", 1, magnitude, unit="kernel")


def ticket(cell: Cell) -> Train:
    """Remove kernels of the trained dense network once, rewind what is left, and train it again."""
    return cell.train(cell.rewound, cell.prune(cell.dense, KERNELS))


METHOD = Method(
    name="connection",
    title="connection pruning (input channels of each filter)",
    formula="keep the kernels with the largest mean |w|, all layers together; rewind to epoch k; train",
    source="von Rad & Seuffert 2024, connection sparsity; L1 norm",
    cost="one training for each sparsity and seed, beside the dense one",
    ticket=ticket,
    criterion=KERNELS,
    family="structured",
)
