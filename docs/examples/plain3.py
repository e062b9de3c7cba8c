"""An architecture: three convolutions, and a linear layer over the mean of each channel."""

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import widths_of

WIDTHS = (16, 32, 64)


def layers(network):
    """The channels that go in and out of each convolution."""
    widths = widths_of(network, WIDTHS)
    return list(zip((network.channels, *widths), widths, strict=False))


def count(network):
    """Parameters, prunable weights, multiply-adds for an image, and prunable weights with a filter each."""
    size, prunable, parameters, macs = network.size, 0, 0, 0
    for inside, outside in layers(network):
        weights = 9 * inside * outside
        prunable += weights
        parameters += weights + 2 * outside
        macs += weights * size * size
        size = -(-size // 2)
    linear = layers(network)[-1][1] * network.classes
    floor = 9 * (network.channels + len(layers(network)) - 1)
    return Counts(parameters + linear + network.classes, prunable, macs + linear, floor)


def build(network):
    """The network, with PyTorch's own initialisation from the global generator."""
    from torch import nn

    from lthbench.networks.normalize import Normalize

    made = [Normalize(network.mean, network.std)]
    for place, (inside, outside) in enumerate(layers(network)):
        stride = 1 if place == 0 else 2
        made += [nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()]
    made += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(outside, network.classes)]
    return nn.Sequential(*made)


ARCHITECTURE = Architecture(
    name="plain3",
    version=1,
    title="three convolutions, widths 16-32-64",
    source="an example",
    widths=WIDTHS,
    size=8,
    layer="9",
    count=count,
    build=build,
)
