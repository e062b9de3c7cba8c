"""ResNet-18 with a stem for 32-pixel images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import resnet, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (64, 64, 128, 256, 512)
BLOCKS = (2, 2, 2, 2)


def count(network: Network) -> Counts:
    """The size of the network."""
    return resnet(network, widths_of(network, WIDTHS), BLOCKS, bottleneck=False, large=False)


def build(network: Network) -> nn.Module:
    """The network with He-normal (fan-out) convolutions from the global generator."""
    from lthbench.networks.resnet import ResNet

    return ResNet(network, widths_of(network, WIDTHS), BLOCKS, bottleneck=False, large=False)


ARCHITECTURE = Architecture(
    name="resnet18",
    version=1,
    title="ResNet-18, widths 64-128-256-512, stem 3x3 without max-pooling",
    source="He et al. 2016, Deep Residual Learning, table 1; stem as in Chen et al. 2022",
    widths=WIDTHS,
    size=32,
    layer="layer4",
    count=count,
    build=build,
    small=((64, 32, 77, 132, 215),),  # Chen et al. 2022, the small-dense baseline
)
