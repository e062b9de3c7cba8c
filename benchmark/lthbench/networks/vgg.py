"""The VGG networks of Simonyan and Zisserman 2015 with batch normalisation, for small images.

``features`` are torchvision's, with parameters of the same names. They are pooled over all pixels, and one
linear layer stands in for the three of the original.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from lthbench.networks.normalize import Normalize
from lthbench.spec import Network


class VGG(nn.Module):
    """The whole network: pixels in [0, 1] to logits.

    ``stages`` are the numbers of 3x3 convolutions between max-poolings, ``widths`` those of all convolutions.
    Convolutions start He-normal by fan-out, the linear layer with a standard deviation of 0.01.
    """

    def __init__(self, network: Network, widths: Sequence[int], stages: Sequence[int]):
        super().__init__()
        layers: list[nn.Module] = []
        before, left = network.channels, iter(widths)
        for count in stages:
            for _ in range(count):
                after = next(left)
                layers += [nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), nn.ReLU()]
                before = after
            layers.append(nn.MaxPool2d(2))
        self.normalize = Normalize(network.mean, network.std)
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(before, network.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[N, classes]`` of pixels ``[N, channels, H, W]`` in [0, 1], H and W at least 32."""
        return self.classifier(self.features(self.normalize(x)).mean((2, 3)))  # type: ignore[no-any-return]
