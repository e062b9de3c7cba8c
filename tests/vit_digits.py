"""The smallest vision transformer that the tests train: two blocks of two heads on digits of 8 x 8 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import vision_transformer, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (8, 32)
DEPTH, HEADS, PATCH = 2, 2, 2


def count(network: Network) -> Counts:
    """The size of the network."""
    return vision_transformer(network, widths_of(network, WIDTHS), DEPTH, HEADS, PATCH)


def build(network: Network) -> nn.Module:
    """The network with normal weights from the global generator."""
    from lthbench.networks.vision_transformer import VisionTransformer

    return VisionTransformer(network, widths_of(network, WIDTHS), DEPTH, HEADS, PATCH)


ARCHITECTURE = Architecture(
    name="vit-digits",
    version=1,
    title="two blocks of two heads",
    source="the tests of lthbench",
    widths=WIDTHS,
    size=8,
    layer="grid",
    family="transformer",
    count=count,
    build=build,
)
