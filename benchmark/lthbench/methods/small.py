"""The small dense network: as many weights as the sparse one, in fewer channels."""

from __future__ import annotations

import dataclasses
from functools import lru_cache

from lthbench.kinds import Architecture, Cell, Method
from lthbench.spec import Init, Network, Train

#: Published widths are taken where they have the number of weights asked for, to within this share.
NEAR = 0.02


def ticket(cell: Cell) -> Train:
    """Train a network of smaller widths from its own initialisation."""
    network = shrunk(cell.architecture, cell.network, cell.density)
    return cell.train(Init(network, cell.seed))


@lru_cache(maxsize=256)
def shrunk(architecture: Architecture, network: Network, density: float) -> Network:
    """The network with widths for about ``density`` times its prunable weights.

    Published widths if they come near; else all widths times one factor, rounded, with the number of
    weights nearest to what is asked for.
    """

    def size(widths: tuple[int, ...]) -> int:
        return architecture.count(dataclasses.replace(network, widths=widths)).prunable

    wanted = density * architecture.count(network).prunable
    for published in architecture.small:
        if abs(size(published) / wanted - 1.0) <= NEAR:
            return dataclasses.replace(network, widths=published)
    full = network.widths or architecture.widths
    factors = (i / 1000.0 for i in range(1, 1001))
    scaled = {tuple(max(1, round(w * factor)) for w in full) for factor in factors}
    best = min(sorted(scaled), key=lambda widths: abs(size(widths) - wanted))
    return dataclasses.replace(network, widths=best)


def unfit(cell: Cell) -> str:
    """The architecture must be able to change its widths."""
    if cell.architecture.widths:
        return ""
    return f"the widths of {cell.architecture.name} are fixed; use a task with another network."


METHOD = Method(
    name="small",
    title="small dense network, about as many weights",
    formula="widths scaled to density * prunable weights (published widths where they fit); train",
    source="the small-dense baseline of Chen et al. 2022, figure 11",
    cost="one training of a smaller network for each sparsity and seed",
    ticket=ticket,
    unfit=unfit,
    family="dense",
)
