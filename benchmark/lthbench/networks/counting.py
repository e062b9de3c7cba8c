"""The size of networks, from their widths alone: imports no torch, so that planning can use it.

Each function counts the network of the module of the same name. Channels are ``free`` where the filters
that make them can be removed, down to one, and ``coupled`` where they are added to or put beside others, so
that they go together or not at all; ``bound`` are those that always stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from lthbench.errors import BadInput
from lthbench.kinds import Counts
from lthbench.spec import Network


def widths_of(network: Network, usual: tuple[int, ...]) -> tuple[int, ...]:
    """The widths of a network: its own, if it has any, or else the ``usual`` ones of its architecture."""
    widths = network.widths or usual
    if len(widths) != len(usual):
        raise BadInput(f"{network.architecture} takes {len(usual)} widths, not {len(widths)}.")
    return widths


class Channels(NamedTuple):
    """The channels of a layer: how many, how many must stay, and how many if what is coupled can go."""

    width: int
    least: int
    fewest: int


def free(width: int) -> Channels:
    """Channels of which all but one can go."""
    return Channels(width, 1, 1)


def bound(width: int) -> Channels:
    """Channels that must all stay."""
    return Channels(width, width, width)


def coupled(width: int, fewest: int = 1) -> Channels:
    """Channels that stay, unless all that are coupled with them go, too; ``fewest`` stay even then."""
    return Channels(width, width, fewest)


def slid(size: int, kernel: int, stride: int, padding: int, *, ceil: bool = False) -> int:
    """The size of the maps that a sliding window makes of maps of ``size`` pixels.

    With ``ceil``, a last window may stick out of them.
    """
    room = size + 2 * padding - kernel
    return (-(-room // stride) if ceil else room // stride) + 1


class Tally:
    """Adds up layers."""

    def __init__(self) -> None:
        self.parameters = self.prunable = self.macs = self.least = self.fewest = self.activations = 0

    def convolution(
        self, before: Channels, after: Channels, kernel: int, size: int, *, bias: bool = False
    ) -> None:
        """A convolution that makes maps of ``size`` pixels."""
        weights = before.width * after.width * kernel**2
        self.parameters += weights + after.width * bias
        self.prunable += weights
        self.macs += weights * size**2
        self.activations += 2 * after.width * size**2  # for the normalisation behind it, and after its ReLU
        self.least += before.least * after.least * kernel**2
        self.fewest += before.fewest * after.fewest * kernel**2

    def norm(self, channels: Channels) -> None:
        """A batch normalisation."""
        self.parameters += 2 * channels.width

    def pool(self, width: int, size: int) -> None:
        """A maximum over windows that makes maps of ``size`` pixels; it keeps places, of eight bytes each."""
        self.activations += 3 * width * size**2

    def linear(self, before: Channels, after: int) -> None:
        """A linear layer with bias, after pooling over all pixels."""
        self.parameters += before.width * after + after
        self.macs += before.width * after

    def counts(self) -> Counts:
        """What was added up."""
        sizes = (self.parameters, self.prunable, self.macs, self.least, self.fewest)
        return Counts(*sizes, self.activations)


def resnet_cifar(blocks: int, network: Network, widths: Sequence[int]) -> Counts:
    """Basic blocks with shortcuts without parameters: the stem is bound, even where widths change."""
    tally, size, before = Tally(), network.size, bound(widths[0])
    tally.convolution(bound(network.channels), before, 3, size)
    tally.norm(before)
    for stage, width in enumerate(widths[1:]):
        inner, after = free(width), bound(width)
        for block in range(blocks):
            if stage > 0 and block == 0:
                size = slid(size, 3, 2, 1)
            tally.convolution(before, inner, 3, size)
            tally.norm(inner)
            tally.convolution(inner, after, 3, size)
            tally.norm(after)
            before = after
    tally.linear(before, network.classes)
    return tally.counts()


def resnet(
    network: Network, widths: Sequence[int], blocks: Sequence[int], *, bottleneck: bool, large: bool
) -> Counts:
    """Basic or bottleneck blocks; the stem is free where all that reads it are convolutions."""
    expansion = 4 if bottleneck else 1
    tally = Tally()
    before = (coupled if widths[0] == widths[1] * expansion else free)(widths[0])
    size = slid(network.size, 7, 2, 3) if large else network.size
    tally.convolution(bound(network.channels), before, 7 if large else 3, size)
    tally.norm(before)
    if large:
        size = slid(size, 3, 2, 1)
        tally.pool(before.width, size)
    for stage, (width, count) in enumerate(zip(widths[1:], blocks, strict=True)):
        inner, after = free(width), coupled(width * expansion)
        for block in range(count):
            halves = stage > 0 and block == 0
            fine, size = size, slid(size, 3, 2, 1) if halves else size
            if bottleneck:
                tally.convolution(before, inner, 1, fine)
                tally.norm(inner)
                tally.convolution(inner, inner, 3, size)
                tally.norm(inner)
                tally.convolution(inner, after, 1, size)
            else:
                tally.convolution(before, inner, 3, size)
                tally.norm(inner)
                tally.convolution(inner, after, 3, size)
            tally.norm(after)
            if halves or before.width != after.width:
                tally.convolution(before, after, 1, size)
                tally.norm(after)
            before = after
    tally.linear(before, network.classes)
    return tally.counts()


def wide_resnet(network: Network, widths: Sequence[int], blocks: int) -> Counts:
    """Blocks that normalise first; the stem is free where the first block changes the width."""
    tally, size = Tally(), network.size
    before = (coupled if widths[0] == widths[1] else free)(widths[0])
    tally.convolution(bound(network.channels), before, 3, size)
    for stage, width in enumerate(widths[1:]):
        inner, after = free(width), coupled(width)
        for block in range(blocks):
            halves = stage > 0 and block == 0
            if halves:
                size = slid(size, 3, 2, 1)
            tally.norm(before)
            tally.convolution(before, inner, 3, size)
            tally.norm(inner)
            tally.convolution(inner, after, 3, size)
            if halves or before.width != after.width:
                tally.convolution(before, after, 1, size)
            before = after
    tally.norm(before)
    tally.linear(before, network.classes)
    return tally.counts()


def vgg(network: Network, widths: Sequence[int], stages: Sequence[int]) -> Counts:
    """Convolutions in a row: all are free."""
    tally, size, before = Tally(), network.size, bound(network.channels)
    left = iter(widths)
    for count in stages:
        for _ in range(count):
            after = free(next(left))
            tally.convolution(before, after, 3, size, bias=True)
            tally.norm(after)
            before = after
        size //= 2
        tally.pool(before.width, size)
    tally.linear(before, network.classes)
    return tally.counts()


def vision_transformer(network: Network, widths: Sequence[int], depth: int, heads: int, patch: int) -> Counts:
    """A class token beside the patches: tokens are bound, the heads and the neurons of MLPs are free."""
    tally = Tally()
    width, hidden = heads * widths[0], widths[1]
    side = network.size // patch
    tokens = side**2 + 1
    embedding = network.channels * patch**2 * width
    attention, mlp = 4 * width**2, 2 * width * hidden
    norms, biases = 4 * width, 5 * width + hidden
    tally.parameters = embedding + width + (1 + tokens) * width + 2 * width
    tally.parameters += depth * (attention + mlp + norms + biases)
    tally.prunable = depth * (attention + mlp)
    tally.macs = embedding * side**2 + depth * (tokens * (attention + mlp) + 2 * tokens**2 * width)
    tally.least = tally.fewest = depth * (4 * width * widths[0] + 2 * width)
    # By token: what is normalised, queries, keys, values, and heads put together; neurons before and after
    # GELU; of each head the likenesses after the softmax.
    tally.activations = depth * tokens * (8 * width + 2 * hidden + heads * tokens)
    tally.linear(bound(width), network.classes)
    return tally.counts()


def googlenet(network: Network, widths: Sequence[int]) -> Counts:
    """Inception modules: the stem and 1x1 reductions are free, what the modules put together is coupled."""
    tally = Tally()

    def convolution(before: Channels, after: Channels, kernel: int, size: int) -> None:
        tally.convolution(before, after, kernel, size)
        tally.norm(after)

    first, second, before = (free(width) for width in widths[:3])
    size = slid(network.size, 7, 2, 3)
    convolution(bound(network.channels), first, 7, size)
    size = slid(size, 3, 2, 0, ceil=True)
    tally.pool(first.width, size)
    convolution(first, second, 1, size)
    convolution(second, before, 3, size)
    for i, place in enumerate(range(3, len(widths), 6)):
        plain, reduced3, conv3, reduced5, conv5, pooled = widths[place : place + 6]
        if i in (0, 2, 7):
            size = slid(size, 2 if i == 7 else 3, 2, 0, ceil=True)
            tally.pool(before.width, size)
        convolution(before, coupled(plain), 1, size)
        for reduced, after in ((free(reduced3), conv3), (free(reduced5), conv5)):
            convolution(before, reduced, 1, size)
            convolution(reduced, coupled(after), 3, size)
        tally.pool(before.width, size)
        convolution(before, coupled(pooled), 1, size)
        before = coupled(plain + conv3 + conv5 + pooled, 4)
    tally.linear(before, network.classes)
    return tally.counts()
