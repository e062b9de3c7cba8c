"""Random crops of a batch: of the images' own size, or of any size and scaled back.

Everything is drawn on the CPU from one generator, so it is the same whatever the device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.nn import functional as F

from lthbench.spec import Recipe
from lthbench.stream import DRAWS, Stream, crop_box


def pad(pixels: torch.Tensor, padding: int) -> torch.Tensor:
    """Images ``[N, C, H, W]`` as ``[N, H, W, C]`` with a black border."""
    return F.pad(pixels.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding)).contiguous()


def shifted(
    pixels: torch.Tensor | Stream, batches: Sequence[torch.Tensor], recipe: Recipe, draw: torch.Generator
) -> Iterator[torch.Tensor]:
    """Crops of the images' own size, flipped at random: uint8 ``[B, H, W, C]``.

    ``pixels`` are padded images ``[N, H, W, C]`` on any device, or a stream; ``batches`` number them.
    """
    padding, count = recipe.crop_padding, sum(map(len, batches))
    size = pixels.size if isinstance(pixels, Stream) else pixels.shape[1] - 2 * padding
    corners = torch.randint(0, 2 * padding + 1, (2, count), generator=draw)
    flips = torch.randint(0, 2, (count,), generator=draw, dtype=torch.bool) & recipe.flip
    across = torch.arange(size)
    start = 0
    for chosen in batches:
        top, left = corners[:, start : start + len(chosen)]
        flip = flips[start : start + len(chosen), None]
        start += len(chosen)
        rows = (top[:, None] + across)[:, :, None]
        columns = (left[:, None] + torch.where(flip, across.flip(0), across))[:, None, :]
        if isinstance(pixels, Stream):
            decoded = pad(torch.from_numpy(pixels[chosen.numpy()]), padding)
            yield decoded[torch.arange(len(chosen))[:, None, None], rows, columns]
        else:
            device = pixels.device
            yield pixels[chosen.to(device)[:, None, None], rows.to(device), columns.to(device)]


def resized(
    pixels: torch.Tensor | Stream, batches: Sequence[torch.Tensor], recipe: Recipe, draw: torch.Generator
) -> Iterator[torch.Tensor]:
    """Crops of random area and aspect, scaled to the images' size and flipped at random: ``[B, H, W, C]``.

    Values are 0..255: uint8 from a stream, which cuts while it decodes; float32 from images in memory.
    """
    share = recipe.resized_crop or 1.0
    for chosen in batches:
        draws = torch.rand(len(chosen), DRAWS, generator=draw, dtype=torch.float64).numpy()
        flips = torch.randint(0, 2, (len(chosen),), generator=draw, dtype=torch.bool) & recipe.flip
        if isinstance(pixels, Stream):
            cut = pixels.crops(chosen.numpy(), draws, share, flips.numpy())
            yield torch.from_numpy(cut).permute(0, 2, 3, 1)
        else:
            height, width = pixels.shape[1:3]
            boxes = np.array([crop_box(width, height, d, share) for d in draws])
            yield scaled(pixels[chosen.to(pixels.device)], torch.from_numpy(boxes), flips)


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
