"""Weather: brightness."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.corruptions import Corruption

if TYPE_CHECKING:
    import torch


def brightness(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Raise the value of hue-saturation-value by c, at most to 1.

    Hue and saturation stay as they are, so all channels of a pixel grow by the same factor; black becomes
    grey. One channel is its own value.
    """
    import torch

    del generator
    c = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    value = images.amax(1, keepdim=True)
    raised = (value + c).clamp(max=1.0)
    return torch.where(value > 0, images * (raised / value.clamp(min=1e-12)), raised)


CORRUPTIONS = (Corruption("brightness", 1, "weather", brightness),)
