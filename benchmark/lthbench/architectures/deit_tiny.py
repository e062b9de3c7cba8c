"""DeiT-Ti for images of 224 pixels, as in timm (deit_tiny_patch16_224)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import vision_transformer, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (64, 768)
DEPTH, HEADS, PATCH = 12, 3, 16


def count(network: Network) -> Counts:
    """The size of the network."""
    return vision_transformer(network, widths_of(network, WIDTHS), DEPTH, HEADS, PATCH)


def build(network: Network) -> nn.Module:
    """The network with normal weights from the global generator."""
    from lthbench.networks.vision_transformer import VisionTransformer

    return VisionTransformer(network, widths_of(network, WIDTHS), DEPTH, HEADS, PATCH)


ARCHITECTURE = Architecture(
    name="deit-tiny",
    version=2,
    title="DeiT-Ti, 12 blocks of 3 heads, width 192, patches of 16 x 16 pixels",
    source="Touvron et al. 2021, Training data-efficient image transformers, table 1; as in timm",
    widths=WIDTHS,
    size=224,
    layer="grid",
    family="transformer",
    resizes=False,
    count=count,
    build=build,
)
