"""The dense parent: what every sparse network of the same seed is held against."""

from lthbench.kinds import Cell, Method
from lthbench.spec import Train


def ticket(cell: Cell) -> Train:
    """The network trained without a mask."""
    return cell.dense


METHOD = Method(
    name="dense",
    title="dense parent",
    formula="dense = Train(Init(network, seed), recipe)",
    source="the reference of every comparison",
    cost="one training for each seed",
    ticket=ticket,
)
