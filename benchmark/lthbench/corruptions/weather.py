"""Weather: brightness, snow, frost, fog, spatter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lthbench.corruptions import Corruption, strength, strengths
from lthbench.corruptions._filters import blurred, cut, grey, smeared, zoomed
from lthbench.corruptions._liquid import drops
from lthbench.corruptions._textures import crystals, plasma

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

#: Pale turquoise and brown.
WATER, MUD = (175 / 255, 238 / 255, 238 / 255), (63 / 255, 42 / 255, 20 / 255)


def brightness(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Raise the value of hue-saturation-value by c, at most to 1.

    Hue and saturation stay as they are, so all channels of a pixel grow by the same factor; black becomes
    grey. One channel is its own value.
    """
    import torch

    del generator
    c = strength(images.shape[2], severity, (0.05, 0.1, 0.15, 0.2, 0.3), (0.1, 0.2, 0.3, 0.4, 0.5))
    value = images.amax(1, keepdim=True)
    raised = (value + c).clamp(max=1.0)
    return torch.where(value > 0, images * (raised / value.clamp(min=1e-12)), raised)


def snow(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Whiten the image, and lay flakes over it that fall within 45 degrees of straight down."""
    import torch

    numbers = strengths(
        images.shape[2],
        severity,
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    )
    noise = torch.randn((len(images), 1, *images.shape[2:]), generator=generator).to(images)
    draw = torch.rand(len(images), generator=generator, dtype=torch.float64)
    return snowed(images, noise, 90.0 * draw - 135.0, numbers)


def snowed(
    images: torch.Tensor, noise: torch.Tensor, degrees: torch.Tensor, numbers: Sequence[float]
) -> torch.Tensor:
    """Snow out of standard normal ``noise`` ``[N, 1, H, W]``, falling along the angles.

    ``numbers``: mean and deviation of the noise, its magnification, the least that is a flake, radius and
    width of the smear, the share of the image that stays as it is.
    """
    mean, deviation, factor, least, radius, sigma, kept = numbers
    flakes = zoomed(mean + deviation * noise, factor)
    flakes = flakes.masked_fill(flakes < least, 0.0)
    flakes = smeared(cut(flakes) / 255.0, radius, sigma, degrees)
    white = kept * images + (1.0 - kept) * images.maximum(grey(images) * 1.5 + 0.5)
    return (white + flakes + flakes.flip(2, 3)).clamp(0.0, 1.0)


def frost_procedural(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Mix with frost. The mixture is the published one; the frost is not, see ``crystals``."""
    own, added = strengths(
        images.shape[2],
        severity,
        ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1.0, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    )
    frost = crystals(len(images), images.shape[2], generator).to(images)
    return (own * images + added * (grey(frost) if images.shape[1] == 1 else frost)).clamp(0.0, 1.0)


def fog(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Add plasma, then darken so that the brightest that can be is what was the brightest."""
    import torch

    thickness, decay = strengths(
        images.shape[2],
        severity,
        ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75)),
        ((1.5, 2.0), (2.0, 2.0), (2.5, 1.7), (2.5, 1.5), (3.0, 1.4)),
    )
    size = images.shape[2]
    whole = 1 << (size - 1).bit_length()
    draws = 2.0 * torch.rand((len(images), whole, whole), generator=generator, dtype=torch.float64) - 1.0
    return fogged(images, plasma(draws.to(images.device), decay)[:, None, :size, :size], thickness)


def fogged(images: torch.Tensor, heights: torch.Tensor, thickness: float) -> torch.Tensor:
    """Fog as thick as ``thickness`` times the heights, ``[N, 1, H, W]`` in [0, 1]."""
    brightest = images.amax((1, 2, 3), keepdim=True)
    foggy = images + thickness * heights.to(images)
    return (foggy * (brightest / (brightest + thickness))).clamp(0.0, 1.0)


def spatter(images: torch.Tensor, severity: int, generator: torch.Generator) -> torch.Tensor:
    """Drops of water (severities 1 to 3) or spots of mud (4 and 5)."""
    import torch

    numbers = strengths(
        images.shape[2],
        severity,
        (
            (0.62, 0.1, 0.7, 0.7, 0.5),
            (0.65, 0.1, 0.8, 0.7, 0.5),
            (0.65, 0.3, 1.0, 0.69, 0.5),
            (0.65, 0.1, 0.7, 0.69, 0.6),
            (0.65, 0.1, 0.5, 0.68, 0.6),
        ),
        (
            (0.65, 0.3, 4.0, 0.69, 0.6),
            (0.65, 0.3, 3.0, 0.68, 0.6),
            (0.65, 0.3, 2.0, 0.68, 0.5),
            (0.65, 0.3, 1.0, 0.65, 1.5),
            (0.67, 0.4, 1.0, 0.65, 1.5),
        ),
    )
    noise = torch.randn((len(images), 1, *images.shape[2:]), generator=generator).to(images)
    return spattered(images, noise, numbers, mud=severity >= 4)


def spattered(
    images: torch.Tensor, noise: torch.Tensor, numbers: Sequence[float], *, mud: bool
) -> torch.Tensor:
    """Spatter out of standard normal ``noise`` ``[N, 1, H, W]``.

    ``numbers``: mean and deviation of the noise, the width it is smoothed by, the least that is liquid, and
    the strength of water or the width that mud is smoothed by.
    """
    mean, deviation, width, least, last = numbers
    liquid = blurred(mean + deviation * noise, width)
    colour = images.new_tensor(MUD if mud else WATER)[None, :, None, None]
    colour = grey(colour) if images.shape[1] == 1 else colour
    if mud:
        spots = blurred((liquid > least).to(images), last)
        spots = spots.masked_fill(spots < 0.8, 0.0)
        return (images * (1.0 - spots) + colour * spots).clamp(0.0, 1.0)
    water = drops(cut(liquid.masked_fill(liquid < least, 0.0)))
    return (images + last * water * colour).clamp(0.0, 1.0)


CORRUPTIONS = (
    Corruption("snow", 2, "weather", snow),
    Corruption("frost_procedural", 1, "weather", frost_procedural),
    Corruption("fog", 1, "weather", fog),
    Corruption("brightness", 1, "weather", brightness),
    Corruption("spatter", 1, "weather", spatter),
)
