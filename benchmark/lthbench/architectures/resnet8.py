"""ResNet-8 for images of 8 pixels and more: the smallest member of the same family."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import resnet_cifar, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (16, 16, 32, 64)


def count(network: Network) -> Counts:
    """The size of the network."""
    return resnet_cifar(1, network, widths_of(network, WIDTHS))


def build(network: Network) -> nn.Module:
    """The network with He-normal weights from the global generator."""
    from lthbench.networks.resnet_cifar import ResNet

    return ResNet(1, network, widths_of(network, WIDTHS))


ARCHITECTURE = Architecture(
    name="resnet8",
    version=1,
    title="ResNet-8, widths 16-32-64, parameter-free shortcuts (option A)",
    source="He et al. 2016, Deep Residual Learning, section 4.2, with n = 1",
    widths=WIDTHS,
    size=8,
    layer="layer3",
    stages=("layer1", "layer2", "layer3"),
    count=count,
    build=build,
)
