"""SET: sparse from start to end, with a mask that moves at random."""

from __future__ import annotations

import dataclasses

from lthbench.kinds import Cell, Method
from lthbench.methods.random import RANDOM
from lthbench.methods.rigl import RIGL
from lthbench.spec import Train

#: As RigL in all but what grows: the comparison of Evci et al. 2020, section 4.
SET = dataclasses.replace(RIGL, grow="random")


def ticket(cell: Cell) -> Train:
    """Train from initialisation under a random ERK mask that is rewired on the way."""
    return cell.train(cell.init, cell.prune(cell.init, RANDOM, allocation="erk"), rewire=SET)


METHOD = Method(
    name="set",
    title="SET (sparse evolutionary training)",
    formula="ERK mask; every 100 steps drop each layer's smallest |w|, grow as many at random, from zero",
    source="Mocanu et al. 2018, Scalable training of artificial neural networks with adaptive sparse "
    "connectivity, algorithm 1; schedule and share dropped as in Evci et al. 2020",
    cost="one training for each sparsity and seed",
    ticket=ticket,
    criterion=RANDOM,
    family="during",
)
