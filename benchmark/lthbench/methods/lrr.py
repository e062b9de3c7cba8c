"""Learning rate rewinding (LRR): weights keep their trained values, and the learning rate begins again."""

from __future__ import annotations

from lthbench.kinds import Cell, Method
from lthbench.methods.omp import MAGNITUDE
from lthbench.spec import Weights


def ticket(cell: Cell) -> Weights:
    """Prune a share of what remains and train on by the epochs that imp would repeat; or all at once."""
    network: Weights = cell.dense
    for density in (cell.density,) if cell.variant == "oneshot" else cell.levels:
        mask = cell.prune(network, MAGNITUDE, density)
        network = cell.train(network, mask, from_epoch=cell.rewind_epoch)
    return network


METHOD = Method(
    name="lrr",
    title="magnitude pruning with learning rate rewinding (LRR)",
    formula="repeat: keep the largest |w| of what remains, all layers together; train on from epoch k",
    source="Renda et al. 2020, Comparing Rewinding and Fine-tuning in Neural Network Pruning, section 2",
    cost="one training for each round down to the largest sparsity, and seed, beside the dense one",
    ticket=ticket,
    criterion=MAGNITUDE,
    variants={"oneshot": "prune once, to the sparsity asked for, and train on once"},
    family="after",
)
