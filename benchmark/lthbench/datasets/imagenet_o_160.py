"""ImageNet-O at 160 x 160 pixels: out of distribution for Imagenette, at its size."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lthbench.datasets.imagenet_o import DATASET as AT_224
from lthbench.datasets.imagenet_o import load

DATASET = replace(
    AT_224,
    name="imagenet-o-160",
    title="ImageNet-O, photographs at 160 x 160 pixels (out of distribution for Imagenette)",
    size=160,
    load=partial(load, size=160),
)
