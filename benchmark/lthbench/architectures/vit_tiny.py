"""ViT-Tiny for images of 32 pixels, by the sizes that are usual for training on few images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.kinds import Architecture, Counts
from lthbench.networks.counting import vision_transformer, widths_of
from lthbench.spec import Network

if TYPE_CHECKING:
    from torch import nn

WIDTHS = (16, 384)
DEPTH, HEADS, PATCH = 9, 12, 4


def count(network: Network) -> Counts:
    """The size of the network."""
    return vision_transformer(network, widths_of(network, WIDTHS), DEPTH, HEADS, PATCH)


def build(network: Network) -> nn.Module:
    """The network with normal weights from the global generator."""
    from lthbench.networks.vision_transformer import VisionTransformer

    return VisionTransformer(network, widths_of(network, WIDTHS), DEPTH, HEADS, PATCH)


ARCHITECTURE = Architecture(
    name="vit-tiny",
    version=2,
    title="ViT-Tiny, 9 blocks of 12 heads, width 192, patches of 4 x 4 pixels",
    source="Lee et al. 2021, Vision Transformer for Small-Size Datasets, section 4.1: their plain ViT",
    widths=WIDTHS,
    size=32,
    layer="grid",
    family="transformer",
    resizes=False,
    count=count,
    build=build,
)
