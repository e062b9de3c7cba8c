"""Iterative magnitude pruning with rewinding (IMP): the lottery ticket procedure."""

from __future__ import annotations

from lthbench.kinds import Cell, Method
from lthbench.methods.omp import MAGNITUDE, NM, pattern, unfit
from lthbench.methods.random import CONTROLS, SHUFFLED, trained
from lthbench.spec import Weights


def ticket(cell: Cell) -> Weights:
    """Train, prune a share of what remains, rewind, and again, until the density is reached.

    Every round hangs from the one before, so a chain of n rounds costs n trainings, whichever of its
    sparsities are asked for. As ``nm``, each round takes one more weight of each group.
    """
    network: Weights = cell.dense
    found = pattern(cell.density) if cell.variant == "nm" else None
    if found:
        n, m = found
        rounds = [(left / m, f"{left}:{m}") for left in range(m - 1, n - 1, -1)]
    else:
        rounds = [(density, "") for density in cell.levels]
    for density, allocation in rounds:
        mask = cell.prune(network, MAGNITUDE, density, allocation)
        if cell.variant == "untrained" and density == cell.density:
            return cell.untrained(network, mask)
        if cell.variant in CONTROLS and density == cell.density:
            return trained(cell, cell.rewound, mask)
        network = cell.train(cell.rewound, mask)
    return network


METHOD = Method(
    name="imp",
    title="iterative magnitude pruning (lottery ticket)",
    formula="repeat: keep the largest |w| of what remains, all layers together; rewind to epoch k; train",
    source="Frankle & Carbin 2019; rewinding: Frankle et al. 2020; as LTH in Chen et al. 2022",
    cost="one training for each round down to the largest sparsity, and seed, beside the dense one",
    ticket=ticket,
    criterion=MAGNITUDE,
    aliases=("lth",),
    variants={
        **CONTROLS,
        "nm": f"{NM}; each round takes one more of each group",
        "untrained": "the network of the round before with its mask, without the training of the last",
    },
    unfit=unfit,
    family="after",
    criteria=SHUFFLED,
)
