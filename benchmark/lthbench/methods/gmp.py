"""Gradual magnitude pruning (GMP): the network is pruned while it trains."""

from __future__ import annotations

from lthbench.kinds import Cell, Method
from lthbench.methods.omp import MAGNITUDE
from lthbench.spec import Rewire, Train

#: The share of training in which weights are pruned; the rest is trained under the last mask.
UNTIL = 0.75
#: Steps between two prunings, of which there are at least so many: Zhu & Gupta 2017 have 100 to 1000 steps.
EVERY, TIMES = 100, 20


def ticket(cell: Cell) -> Train:
    """Train from initialisation, with ever fewer weights."""
    steps = UNTIL * cell.recipe.epochs * cell.steps_per_epoch
    every = min(EVERY, max(1, int(steps / TIMES)))
    pooled = "all" if cell.variant == "global" else None
    rewire = Rewire(0.0, 0.0, every, UNTIL, density=cell.density, pooled=pooled)
    return cell.train(cell.init, rewire=rewire)


METHOD = Method(
    name="gmp",
    title="gradual magnitude pruning (while training)",
    formula="every 100 steps, or 20 times, keep the largest |w| of each layer up to a density of "
    "d + (1 - d) * (1 - t / T)**3, T three quarters of training; what is pruned stays pruned",
    source="Zhu & Gupta 2017, To prune, or not to prune, section 3, equation 1",
    cost="one training for each sparsity and seed",
    ticket=ticket,
    criterion=MAGNITUDE,
    variants={"global": "all layers are ranked together"},
    family="during",
)
