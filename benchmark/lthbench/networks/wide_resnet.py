"""The wide residual networks of Zagoruyko and Komodakis 2016, without dropout.

A 3x3 convolution, three stages of blocks that normalise and activate before each convolution, a last
normalisation, global average pooling and one linear layer: depth 6 * blocks + 4. Where a block changes the
shape, its shortcut is a 1x1 convolution that reads the activated input, without normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lthbench.networks.normalize import Normalize
from lthbench.spec import Network


class Block(nn.Module):
    """Two 3x3 convolutions, each after normalisation and ReLU, and the shortcut around them."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        changes = stride != 1 or before != after
        self.shortcut = nn.Conv2d(before, after, 1, stride, bias=False) if changes else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One residual step, ``[N, before, H, W]`` to ``[N, after, H / stride, W / stride]``."""
        active = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        return out + (x if self.shortcut is None else self.shortcut(active))  # type: ignore[no-any-return]


class WideResNet(nn.Module):
    """The whole network: pixels in [0, 1] to logits. ``widths`` are those of the stem and of the stages.

    Convolutions start He-normal by fan-out, the bias of the linear layer at zero. ``relu`` yields the maps
    that are pooled.
    """

    def __init__(self, network: Network, widths: Sequence[int], blocks: int):
        super().__init__()
        self.normalize = Normalize(network.mean, network.std)
        self.conv1 = nn.Conv2d(network.channels, widths[0], 3, 1, 1, bias=False)
        stages, before = [], widths[0]
        for i, width in enumerate(widths[1:]):
            layers = []
            for j in range(blocks):
                layers.append(Block(before, width, 2 if i > 0 and j == 0 else 1))
                before = width
            stages.append(nn.Sequential(*layers))
        self.layer1, self.layer2, self.layer3 = stages
        self.bn = nn.BatchNorm2d(before)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(before, network.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.fc.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, classes]`` of pixels ``[N, channels, H, W]`` in [0, 1]."""
        x = self.layer3(self.layer2(self.layer1(self.conv1(self.normalize(x)))))
        return self.fc(self.relu(self.bn(x)).mean((2, 3)))  # type: ignore[no-any-return]
