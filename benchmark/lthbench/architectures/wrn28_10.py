"""Wide ResNet-28-10 for 32-pixel images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import wide_resnet, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (16, 160, 320, 640)
BLOCKS = 4


def count(network: Network) -> Counts:
    """The size of the network."""
    return wide_resnet(network, widths_of(network, WIDTHS), BLOCKS)


def build(network: Network) -> nn.Module:
    """The network with He-normal (fan-out) convolutions from the global generator."""
    from lthbench.networks.wide_resnet import WideResNet

    return WideResNet(network, widths_of(network, WIDTHS), BLOCKS)


ARCHITECTURE = Architecture(
    name="wrn28-10",
    version=1,
    title="Wide ResNet-28-10, widths 160-320-640, no dropout",
    source="Zagoruyko and Komodakis 2016, Wide Residual Networks, table 1; as in Chen et al. 2022",
    widths=WIDTHS,
    size=32,
    layer="relu",
    count=count,
    build=build,
    small=((16, 120, 170, 260),),  # Chen et al. 2022, the small-dense baseline
)
