"""Noise: Gaussian, shot, impulse, and speckle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.corruptions import Corruption, strength

if TYPE_CHECKING:
    import torch


def gaussian_noise(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Add N(0, c^2) to every value."""
    import torch

    c = strength(images.shape[2], severity, (0.04, 0.06, 0.08, 0.09, 0.10), (0.08, 0.12, 0.18, 0.26, 0.38))
    return images + c * torch.randn(images.shape, generator=generator).to(images)


def shot_noise(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Poisson counts at c photons for white, divided by c."""
    import torch

    c = strength(images.shape[2], severity, (500.0, 250.0, 100.0, 75.0, 50.0), (60.0, 25.0, 12.0, 5.0, 3.0))
    return (torch.poisson(images.cpu() * c, generator=generator) / c).to(images)


def impulse_noise(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Set a share c of all values to 0 or 1, half each (salt and pepper, channel by channel)."""
    import torch

    c = strength(images.shape[2], severity, (0.01, 0.02, 0.03, 0.05, 0.07), (0.03, 0.06, 0.09, 0.17, 0.27))
    draw = torch.rand(images.shape, generator=generator).to(images.device)
    return images.masked_fill(draw < c / 2, 0.0).masked_fill(draw >= 1 - c / 2, 1.0)


def speckle_noise(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Add N(0, c^2) times the value itself."""
    import torch

    c = strength(images.shape[2], severity, (0.06, 0.1, 0.12, 0.16, 0.2), (0.15, 0.2, 0.35, 0.45, 0.6))
    return images + images * c * torch.randn(images.shape, generator=generator).to(images)


CORRUPTIONS = (
    Corruption("gaussian_noise", 1, "noise", gaussian_noise),
    Corruption("shot_noise", 1, "noise", shot_noise),
    Corruption("impulse_noise", 1, "noise", impulse_noise),
    Corruption("speckle_noise", 1, "noise", speckle_noise),
)
