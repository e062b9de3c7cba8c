"""VGG-11 with batch normalisation and one linear layer, for 32-pixel images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import vgg, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (64, 128, 256, 256, 512, 512, 512, 512)
STAGES = (1, 1, 2, 2, 2)


def count(network: Network) -> Counts:
    """The size of the network."""
    return vgg(network, widths_of(network, WIDTHS), STAGES)


def build(network: Network) -> nn.Module:
    """The network with He-normal (fan-out) convolutions from the global generator."""
    from lthbench.networks.vgg import VGG

    return VGG(network, widths_of(network, WIDTHS), STAGES)


ARCHITECTURE = Architecture(
    name="vgg11",
    version=1,
    title="VGG-11 with batch normalisation, global average pooling and one linear layer",
    source="Simonyan and Zisserman 2015, table 1, column A; features as in torchvision",
    widths=WIDTHS,
    size=32,
    layer="features.27",
    smallest=32,
    count=count,
    build=build,
)
