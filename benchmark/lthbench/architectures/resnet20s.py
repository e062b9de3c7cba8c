"""ResNet-20 for 32-pixel images, shortcuts of option A."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn


def build(network: Network) -> nn.Module:
    """The network with He-normal weights from the global generator."""
    from lthbench.networks.resnet_cifar import ResNet

    return ResNet(3, network.classes, network.channels, network.mean, network.std)


ARCHITECTURE = Architecture(
    name="resnet20s",
    version=1,
    title="ResNet-20, widths 16-32-64, parameter-free shortcuts (option A)",
    source="He et al. 2016, Deep Residual Learning, section 4.2; as in Chen et al. 2022",
    parameters=269_722,
    prunable=267_696,
    macs=40_551_040,
    size=32,
    layer="layer3",
    build=build,
)
