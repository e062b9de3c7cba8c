"""The size of networks, from their widths alone: imports no torch, so that planning can use it."""

from __future__ import annotations

from collections.abc import Sequence

from lthbench.kinds import Counts
from lthbench.spec import Network


class Tally:
    """Adds up layers. ``least`` counts the same network with one filter where filters can be removed."""

    def __init__(self) -> None:
        self.parameters = self.prunable = self.macs = self.least = 0

    def convolution(
        self, before: int, after: int, kernel: int, size: int, least: int, *, bias: bool = False
    ) -> None:
        """A convolution that makes maps of ``size`` pixels, ``least`` of whose weights must stay."""
        weights = before * after * kernel**2
        self.parameters += weights + after * bias
        self.prunable += weights
        self.macs += weights * size**2
        self.least += least

    def norm(self, channels: int) -> None:
        """A batch normalisation."""
        self.parameters += 2 * channels

    def linear(self, before: int, after: int) -> None:
        """A linear layer with bias."""
        self.parameters += before * after + after
        self.macs += before * after

    def counts(self) -> Counts:
        """What was added up."""
        return Counts(self.parameters, self.prunable, self.macs, self.least)


def resnet_cifar(blocks: int, network: Network, widths: Sequence[int]) -> Counts:
    """A ``networks.resnet_cifar.ResNet``: in each block, the filters of the first convolution can go."""
    tally, size, before = Tally(), network.size, widths[0]
    tally.convolution(network.channels, before, 3, size, 9 * network.channels * before)
    tally.norm(before)
    for stage, width in enumerate(widths[1:]):
        for block in range(blocks):
            if stage > 0 and block == 0:
                size = (size + 1) // 2
            tally.convolution(before, width, 3, size, 9 * before)
            tally.convolution(width, width, 3, size, 9 * width)
            tally.norm(width)
            tally.norm(width)
            before = width
    tally.linear(before, network.classes)
    return tally.counts()
