"""ResNet-18 for images of 160 pixels and more."""

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
    return resnet(network, widths_of(network, WIDTHS), BLOCKS, bottleneck=False, large=True)


def build(network: Network) -> nn.Module:
    """The network with He-normal (fan-out) convolutions from the global generator."""
    from lthbench.networks.resnet import ResNet

    return ResNet(network, widths_of(network, WIDTHS), BLOCKS, bottleneck=False, large=True)


ARCHITECTURE = Architecture(
    name="resnet18-img",
    version=1,
    title="ResNet-18, widths 64-128-256-512, stem 7x7 and max-pooling",
    source="He et al. 2016, Deep Residual Learning, table 1; as in torchvision",
    widths=WIDTHS,
    size=224,
    layer="layer4",
    count=count,
    build=build,
)
