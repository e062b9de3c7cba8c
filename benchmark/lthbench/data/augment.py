"""Random crops of a batch: of the images' own size, or of any size and scaled back; and scaling down.

Everything is drawn on the CPU from one generator, so it is the same whatever the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from lthbench.data.streaming import DRAWS, Stream, crop_box
from lthbench.spec import Recipe


def pad(pixels: torch.Tensor, padding: int) -> torch.Tensor:
    """Images ``[N, C, H, W]`` as ``[N, H, W, C]`` with a black border."""
    return F.pad(pixels.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding)).contiguous()


def shifted(
    pixels: torch.Tensor | Stream,
    batches: Sequence[torch.Tensor],
    recipe: Recipe,
    draw: torch.Generator,
    flips: torch.Tensor | None = None,
) -> Iterator[torch.Tensor]:
    """Crops of the images' own size, flipped at random: uint8 ``[B, H, W, C]``.

    ``pixels`` are padded images ``[N, H, W, C]`` on any device, or a stream; ``batches`` number them.
    ``flips`` are bool ``[N]``, or None where they are drawn.
    """
    padding = recipe.crop_padding
    size = pixels.size if isinstance(pixels, Stream) else pixels.shape[1] - 2 * padding
    turned = None if flips is None else flips[torch.cat(tuple(batches))]
    places = shifts(sum(map(len, batches)), recipe, draw, turned)
    start = 0
    for chosen in batches:
        place = places[:, start : start + len(chosen)]
        start += len(chosen)
        if isinstance(pixels, Stream):
            decoded = pad(torch.from_numpy(pixels[chosen.numpy()]), padding)
            yield cut(decoded, torch.arange(len(chosen)), place, size)
        else:
            yield cut(pixels, chosen.to(pixels.device), place.to(pixels.device), size)


def first_flips(count: int, draw: torch.Generator) -> torch.Tensor:
    """Which of so many images are flipped in the first epoch, where they alternate: bool ``[count]``."""
    return torch.randint(0, 2, (count,), generator=draw, dtype=torch.bool)


def shifts(
    count: int, recipe: Recipe, draw: torch.Generator, flips: torch.Tensor | None = None
) -> torch.Tensor:
    """Where so many crops are taken: int64 ``[3, count]``, their top, left, and 1 where flipped.

    ``flips`` are bool ``[count]``, or None where they are drawn.
    """
    corners = torch.randint(0, 2 * recipe.crop_padding + 1, (2, count), generator=draw)
    if flips is None:
        flips = torch.randint(0, 2, (count,), generator=draw, dtype=torch.bool) & recipe.flip
    return torch.cat((corners, flips[None].to(corners.dtype)))


def cut(pixels: torch.Tensor, chosen: torch.Tensor, places: torch.Tensor, size: int) -> torch.Tensor:
    """Crops ``[..., size, size, C]`` of images ``[N, H, W, C]``, all on one device.

    ``chosen`` ``[...]`` numbers the images, ``places`` ``[3, ...]`` are as from ``shifts``.
    """
    top, left, flip = places[..., None]
    across = torch.arange(size, device=pixels.device)
    rows = (top + across)[..., :, None]
    columns = (left + torch.where(flip > 0, across.flip(0), across))[..., None, :]
    return pixels[chosen[..., None, None], rows, columns]


def shrunk(batch: torch.Tensor, size: int | None) -> torch.Tensor:
    """Images ``[..., C, H, W]`` of any layout scaled down to ``size`` pixels a side; None leaves them.

    Each pixel is the mean of those that its square touches (``interpolate(..., mode="area")``), so that each
    image is to the bit what it is alone. The last four axes come out in channels_last layout.
    """
    if size is None:
        return batch
    small = F.adaptive_avg_pool2d(batch.flatten(0, -4), size).contiguous(memory_format=torch.channels_last)
    return small.view(*batch.shape[:-2], size, size)


def resized(
    pixels: torch.Tensor | Stream,
    batches: Sequence[torch.Tensor],
    recipe: Recipe,
    draw: torch.Generator,
    flips: torch.Tensor | None = None,
) -> Iterator[torch.Tensor]:
    """Crops of random area and aspect, scaled to the images' size and flipped at random: ``[B, H, W, C]``.

    ``flips`` are bool ``[N]``, or None where they are drawn. Values are 0..255: uint8 from a stream, which
    cuts while it decodes; float32 from images in memory.
    """
    share = recipe.resized_crop or 1.0
    for chosen in batches:
        draws = torch.rand(len(chosen), DRAWS, generator=draw, dtype=torch.float64).numpy()
        if flips is None:
            turned = torch.randint(0, 2, (len(chosen),), generator=draw, dtype=torch.bool) & recipe.flip
        else:
            turned = flips[chosen]
        if isinstance(pixels, Stream):
            cut = pixels.crops(chosen.numpy(), draws, share, turned.numpy())
            yield torch.from_numpy(cut).permute(0, 2, 3, 1)
        else:
            height, width = pixels.shape[1:3]
            boxes = np.array([crop_box(width, height, d, share) for d in draws])
            yield scaled(pixels[chosen.to(pixels.device)], torch.from_numpy(boxes), turned)


def scaled(batch: torch.Tensor, boxes: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
    """The boxes (left, top, width, height) of images ``[B, H, W, C]``, scaled to H x W: float32.

    Bilinear with antialiasing, as ``interpolate(..., antialias=True)`` on each cut-out; two matrix products
    for the whole batch, one along each side.
    """
    count, height, width, channels = batch.shape
    boxes, flips = boxes.to(batch.device), flips.to(batch.device)
    down = _weights(boxes[:, 1], boxes[:, 3], height, torch.zeros_like(flips))
    across = _weights(boxes[:, 0], boxes[:, 2], width, flips)
    lines = torch.bmm(down, batch.to(torch.float32).reshape(count, height, width * channels))
    turned = lines.reshape(count, height, width, channels).transpose(1, 2).reshape(count, width, -1)
    done = torch.bmm(across, turned).reshape(count, width, height, channels)
    return done.transpose(1, 2).contiguous()


def _weights(start: torch.Tensor, length: torch.Tensor, size: int, flips: torch.Tensor) -> torch.Tensor:
    """How much each pixel takes from each of its line, ``[B, size, size]``; rows sum to one."""
    at = torch.arange(size, device=start.device)
    place = torch.where(flips[:, None], at.flip(0), at)
    scale = length[:, None] / size
    centres = (start[:, None] + (place + 0.5) * scale)[:, :, None]
    reach = scale.clamp(min=1.0)[:, :, None]
    inside = (at >= start[:, None]) & (at < (start + length)[:, None])
    weights = (1.0 - ((at + 0.5) - centres).abs() / reach).clamp_(min=0.0) * inside[:, None, :]
    return weights / weights.sum(2, keepdim=True)
