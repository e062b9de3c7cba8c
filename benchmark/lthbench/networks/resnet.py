"""The residual networks of He et al. 2016, section 4.1, with 1x1 convolutions where a shortcut changes shape.

They compute what torchvision's do, and their parameters have the same names, so that the weights of one
load into the other (``normalize`` apart). Unlike there, each stage can have any width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lthbench.networks.normalize import Normalize
from lthbench.spec import Network


def _downsample(before: int, after: int, stride: int) -> nn.Sequential | None:
    """What makes a block's input the shape of its output; None where it has that shape."""
    if stride == 1 and before == after:
        return None
    return nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, and the shortcut around them."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _downsample(before, width, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One residual step, ``[N, before, H, W]`` to ``[N, width, H / stride, W / stride]``."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions, the last to four times the width; the 3x3 one has the stride."""

    expansion = 4

    def __init__(self, before: int, width: int, stride: int):
        super().__init__()
        after = self.expansion * width
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, after, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(after)
        self.downsample = _downsample(before, after, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """One residual step, ``[N, before, H, W]`` to ``[N, 4 * width, H / stride, W / stride]``."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    """The whole network: pixels in [0, 1] to logits.

    ``widths`` are those of the stem and of the four stages of ``blocks`` blocks. The stem of a network for
    ``large`` images is a 7x7 convolution of stride 2 and a max-pooling, otherwise a 3x3 convolution.
    """

    def __init__(
        self,
        network: Network,
        widths: Sequence[int],
        blocks: Sequence[int],
        *,
        bottleneck: bool = False,
        large: bool = False,
    ):
        super().__init__()
        block = Bottleneck if bottleneck else BasicBlock
        kernel, stride = (7, 2) if large else (3, 1)
        self.normalize = Normalize(network.mean, network.std)
        self.conv1 = nn.Conv2d(network.channels, widths[0], kernel, stride, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.maxpool = nn.MaxPool2d(3, 2, 1) if large else nn.Identity()
        stages, before = [], widths[0]
        for i, (width, count) in enumerate(zip(widths[1:], blocks, strict=True)):
            layers: list[nn.Module] = []
            for j in range(count):
                layers.append(block(before, width, 2 if i > 0 and j == 0 else 1))
                before = width * block.expansion
            stages.append(nn.Sequential(*layers))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(before, network.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, classes]`` of pixels ``[N, channels, H, W]`` in [0, 1]."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(self.normalize(x)))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]
