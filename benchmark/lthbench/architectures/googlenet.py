"""GoogLeNet for images of 224 pixels, without auxiliary classifiers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import googlenet, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

STEM = (64, 64, 192)
MODULES = (  # 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pooled
    (64, 96, 128, 16, 32, 32),
    (128, 128, 192, 32, 96, 64),
    (192, 96, 208, 16, 48, 64),
    (160, 112, 224, 24, 64, 64),
    (128, 128, 256, 24, 64, 64),
    (112, 144, 288, 32, 64, 64),
    (256, 160, 320, 32, 128, 128),
    (256, 160, 320, 32, 128, 128),
    (384, 192, 384, 48, 128, 128),
)
WIDTHS = (*STEM, *(width for widths in MODULES for width in widths))


def count(network: Network) -> Counts:
    """The size of the network."""
    return googlenet(network, widths_of(network, WIDTHS))


def build(network: Network) -> nn.Module:
    """The network with normal weights from the global generator."""
    from lthbench.networks.googlenet import GoogLeNet

    return GoogLeNet(network, widths_of(network, WIDTHS))


ARCHITECTURE = Architecture(
    name="googlenet",
    version=1,
    title="GoogLeNet with batch normalisation, no auxiliary classifiers",
    source="Szegedy et al. 2015, Going Deeper with Convolutions, table 1; as in torchvision",
    widths=WIDTHS,
    size=224,
    layer="inception5b",
    smallest=15,
    count=count,
    build=build,
)
