"""ResNet-50 for images of 224 pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import resnet, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (64, 64, 128, 256, 512)
BLOCKS = (3, 4, 6, 3)


def count(network: Network) -> Counts:
    """The size of the network."""
    return resnet(network, widths_of(network, WIDTHS), BLOCKS, bottleneck=True, large=True)


def build(network: Network) -> nn.Module:
    """The network with He-normal (fan-out) convolutions from the global generator."""
    from lthbench.networks.resnet import ResNet

    return ResNet(network, widths_of(network, WIDTHS), BLOCKS, bottleneck=True, large=True)


ARCHITECTURE = Architecture(
    name="resnet50",
    version=1,
    title="ResNet-50, bottleneck widths 64-128-256-512 (times 4), stem 7x7 and max-pooling",
    source="He et al. 2016, Deep Residual Learning, table 1; stride in the 3x3, as in torchvision",
    widths=WIDTHS,
    size=224,
    layer="layer4",
    count=count,
    build=build,
    small=((64, 47, 96, 196, 348),),  # Chen et al. 2022, the small-dense baseline
)
