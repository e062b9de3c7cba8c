"""The dense parent: what every sparse network of the same seed is held against."""

from lthbench.kinds import Cell, Method
from lthbench.spec import Weights


def ticket(cell: Cell) -> Weights:
    """The network trained without a mask, or the pretrained one that stands for it."""
    return cell.dense


METHOD = Method(
    name="dense",
    title="dense parent",
    formula="dense = Train(Init(network, seed), recipe)",
    source="the reference of every comparison",
    cost="one training for each seed",
    ticket=ticket,
)
