"""Common corruptions, vectorised: each takes a batch in [0, 1] and returns it corrupted.

The kinds are the 15 of Hendrycks & Dietterich 2019 and their 4 extra ones. Strengths at severities 1 to 5 are
those of CIFAR-10-C up to 32 pixels (``ImageNet-C/create_c/make_cifar_c.py`` of hendrycks/robustness,
ca36008) and those of ImageNet-C from 224 on (``ImageNet-C/imagenet_c/imagenet_c/corruptions.py``, 20caed9);
they differ in nearly every kind. Between, ``strength`` interpolates; that is ours, not published.

Random kinds draw from the generator they are given, on the CPU, so a set of images is corrupted alike for
every network. Results are cut down to whole grey levels by whoever asked for them, as in the published
arrays. One kind is not the published one: ``frost_procedural`` lays a texture of ours over the image where
``frost`` has photographs that are not ours to ship; ``frost`` itself is only among the published sets.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lthbench.errors import unknown

if TYPE_CHECKING:
    import torch

Corrupt = Callable[["torch.Tensor", int, "torch.Generator"], "torch.Tensor"]

#: The modules that hold the kinds; one family each.
FAMILIES = ("noise", "blur", "weather", "digital")

#: The 15 published kinds that models are compared on, and the 4 kept for validation.
FIFTEEN = (
    "gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression",
)  # fmt: skip
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")

#: What stands in for a published kind where it is generated.
STAND_INS = {"frost": "frost_procedural"}

#: The image sizes that strengths are published for.
SMALL, LARGE = 32, 224


@dataclass(frozen=True)
class Corruption:
    """One kind: ``apply(images, severity, generator)`` on float ``[N, C, H, W]`` in [0, 1], severity 1..5.

    Images are square, of one channel or three, on any device.
    """

    name: str
    version: int
    family: str
    apply: Corrupt


@cache
def every() -> dict[str, Corruption]:
    """All kinds by name."""
    modules = [importlib.import_module(f"lthbench.corruptions.{family}") for family in FAMILIES]
    return {c.name: c for module in modules for c in module.CORRUPTIONS}


def get(name: str) -> Corruption:
    """The kind of this name."""
    if name not in every():
        raise unknown("corruption", name, every())
    return every()[name]


def strength(size: int, severity: int, small: Sequence[float], large: Sequence[float]) -> float:
    """The strength of a severity at an image size, from those published for 32 and for 224 pixels.

    Straight in the logarithm of size, and of the strength too where both ends are positive. Below 32 and
    above 224 the nearer end holds.
    """
    low, high = small[severity - 1], large[severity - 1]
    share = math.log(max(size, SMALL) / SMALL) / math.log(LARGE / SMALL)
    if share == 0.0 or low == high:
        return low
    if share >= 1.0:
        return high
    if min(low, high) > 0.0:
        return math.exp((1.0 - share) * math.log(low) + share * math.log(high))
    return (1.0 - share) * low + share * high


def strengths(
    size: int, severity: int, small: Sequence[tuple[float, ...]], large: Sequence[tuple[float, ...]]
) -> list[float]:
    """The same for a kind whose severities have several numbers."""
    columns = zip(zip(*small, strict=True), zip(*large, strict=True), strict=True)
    return [strength(size, severity, lows, highs) for lows, highs in columns]
