"""ResNet-18 for photographs with a quarter of its channels: what one core of a CPU trains in minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.architectures.resnet18_img import BLOCKS
from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import resnet, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (16, 16, 32, 64, 128)


def count(network: Network) -> Counts:
    """The size of the network."""
    return resnet(network, widths_of(network, WIDTHS), BLOCKS, bottleneck=False, large=True)


def build(network: Network) -> nn.Module:
    """The network with He-normal (fan-out) convolutions from the global generator."""
    from lthbench.networks.resnet import ResNet

    return ResNet(network, widths_of(network, WIDTHS), BLOCKS, bottleneck=False, large=True)


ARCHITECTURE = Architecture(
    name="resnet18-img16",
    version=1,
    title="ResNet-18, widths 16-32-64-128, stem 7x7 and max-pooling",
    source="He et al. 2016, Deep Residual Learning, table 1, with a quarter of the channels",
    widths=WIDTHS,
    size=160,
    layer="layer4",
    stages=("layer1", "layer2", "layer3", "layer4"),
    count=count,
    build=build,
)
