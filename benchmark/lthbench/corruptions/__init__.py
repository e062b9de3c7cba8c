"""Common corruptions, vectorised: each takes a batch in [0, 1] and returns it corrupted.

The kinds and their strengths at severities 1 to 5 are those of Hendrycks & Dietterich 2019 for CIFAR-C
(ImageNet-C has other strengths), with pixels in [0, 1]. Random kinds draw from the generator they are
given, so a set of images is corrupted alike for every network. Results are cut down to whole grey levels,
as in the published arrays.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from lthbench.errors import unknown

if TYPE_CHECKING:
    import torch

Corrupt = Callable[["torch.Tensor", int, "torch.Generator"], "torch.Tensor"]

#: The modules that hold the kinds; one family each.
FAMILIES = ("noise", "blur", "weather", "digital")


@dataclass(frozen=True)
class Corruption:
    """One kind: ``apply(images, severity, generator)`` on float ``[N, C, H, W]`` in [0, 1], severity 1..5."""

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
