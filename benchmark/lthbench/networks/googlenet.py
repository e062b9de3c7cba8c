"""GoogLeNet of Szegedy et al. 2015 with batch normalisation, as torchvision has it.

It computes what torchvision's does, and its parameters have the same names, so that the weights of one load
into the other (``normalize`` apart). As there, the branch that was 5x5 in the paper is 3x3. The auxiliary
classifiers of the paper, which only training uses, are left out. torchvision's published weights expect
pixels normalised with mean and standard deviation 0.5.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from lthbench.networks.normalize import Normalize
from lthbench.spec import Network

MODULES = tuple(f"inception{name}" for name in ("3a", "3b", "4a", "4b", "4c", "4d", "4e", "5a", "5b"))
#: The modules before which maps are max-pooled with stride 2, and the size of the window.
POOLED = {"inception3a": 3, "inception4a": 3, "inception5a": 2}


class Convolution(nn.Module):
    """A convolution, batch normalisation and ReLU."""

    def __init__(self, before: int, after: int, kernel: int, stride: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(before, after, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(after, eps=0.001)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, before, H, W]`` to ``[N, after, H / stride, W / stride]``."""
        return F.relu(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 and 3x3, twice; max-pooling and 1x1."""

    def __init__(self, before: int, widths: Sequence[int]):
        super().__init__()
        plain, reduced3, conv3, reduced5, conv5, pooled = widths
        self.branch1 = Convolution(before, plain, 1)
        self.branch2 = nn.Sequential(Convolution(before, reduced3, 1), Convolution(reduced3, conv3, 3))
        self.branch3 = nn.Sequential(Convolution(before, reduced5, 1), Convolution(reduced5, conv5, 3))
        self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), Convolution(before, pooled, 1))
        self.after = plain + conv3 + conv5 + pooled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[N, before, H, W]`` to ``[N, after, H, W]``."""
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class GoogLeNet(nn.Module):
    """The whole network: pixels in [0, 1] to logits.

    ``widths`` are those of the three convolutions of the stem, then of the nine modules, six each: 1x1, 3x3
    reduction, 3x3, 5x5 reduction, 5x5, pooled. All weights start normal with a standard deviation of 0.01,
    as in torchvision, which cuts this at 200 standard deviations.
    """

    def __init__(self, network: Network, widths: Sequence[int]):
        super().__init__()
        stem, rows = widths[:3], [widths[i : i + 6] for i in range(3, len(widths), 6)]
        self.normalize = Normalize(network.mean, network.std)
        self.conv1 = Convolution(network.channels, stem[0], 7, 2)
        self.conv2 = Convolution(stem[0], stem[1], 1)
        self.conv3 = Convolution(stem[1], stem[2], 3)
        before = stem[2]
        for name, row in zip(MODULES, rows, strict=True):
            module = Inception(before, row)
            self.add_module(name, module)
            before = module.after
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(before, network.classes)
        for part in self.modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                nn.init.normal_(part.weight, 0.0, 0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, classes]`` of pixels ``[N, channels, H, W]`` in [0, 1]."""
        x = F.max_pool2d(self.conv1(self.normalize(x)), 3, 2, ceil_mode=True)
        x = self.conv3(self.conv2(x))
        for name in MODULES:
            if name in POOLED:
                x = F.max_pool2d(x, POOLED[name], 2, ceil_mode=True)
            x = self.get_submodule(name)(x)
        return self.fc(self.dropout(x.mean((2, 3))))  # type: ignore[no-any-return]
