"""The residual networks for small images of He et al. 2016, section 4.2, with shortcuts of option A.

A 3x3 convolution, three stages of ``blocks`` basic blocks with 16, 32 and 64 channels, global average
pooling and one linear layer: depth 6 * blocks + 2. Where a stage halves the size, the shortcut takes
every second pixel and pads the new channels with zeros, half on each side, so it has no parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lthbench.networks.normalize import Normalize
from lthbench.spec import Network


class Shortcut(nn.Module):
    """Option A: every ``stride``-th pixel, ``extra`` zero channels shared out on both sides."""

    def __init__(self, stride: int, extra: int):
        super().__init__()
        self.stride, self.before, self.after = stride, extra // 2, extra - extra // 2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Downsample ``[N, C, H, W]``."""
        # Taken with the channels last, as they lie in memory, gradients come back in the layout of all
        # others. In another one the sum and the ReLU before take four times as long.
        taken = x.permute(0, 2, 3, 1)[:, :: self.stride, :: self.stride].permute(0, 3, 1, 2)
        return F.pad(taken, (0, 0, 0, 0, self.before, self.after))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, and the shortcut around them."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        changes = stride != 1 or before != after
        self.shortcut = Shortcut(stride, after - before) if changes else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One residual step on ``[N, C, H, W]``."""
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.shortcut(x))


class ResNet(nn.Module):
    """The whole network: pixels in [0, 1] to logits. ``widths`` are those of the stem and of the stages."""

    def __init__(self, blocks: int, network: Network, widths: Sequence[int]):
        super().__init__()
        self.normalize = Normalize(network.mean, network.std)
        self.conv1 = nn.Conv2d(network.channels, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        stages, before = [], widths[0]
        for i, width in enumerate(widths[1:]):
            layers = []
            for j in range(blocks):
                layers.append(BasicBlock(before, width, 2 if i > 0 and j == 0 else 1))
                before = width
            stages.append(nn.Sequential(*layers))
        self.layer1, self.layer2, self.layer3 = stages
        self.fc = nn.Linear(widths[-1], network.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, classes]`` of pixels ``[N, channels, H, W]`` in [0, 1]."""
        x = F.relu(self.bn1(self.conv1(self.normalize(x))))
        x = self.layer3(self.layer2(self.layer1(x)))
        # Over the pixels, with the channels last as in the shortcut.
        return self.fc(x.permute(0, 2, 3, 1).mean((1, 2)))  # type: ignore[no-any-return]
