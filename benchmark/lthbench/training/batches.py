"""The batches of several trainings at once, from the same draws as those of one alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from lthbench.compute.rng import generator
from lthbench.data import augment
from lthbench.data.streaming import Stream, ahead
from lthbench.kinds import Images
from lthbench.spec import Recipe


class Feed:
    """The images of trainings that differ by their ``seeds``, on the device where they are not streamed.

    A training's batches are, to the bit, those of ``epoch_of``. ``steps`` is how many an epoch has.
    """

    def __init__(self, images: Images, recipe: Recipe, seeds: Sequence[int], device: torch.device):
        self.recipe, self.seeds, self.device = recipe, tuple(seeds), device
        self.pixels, self.labels = padded(images, recipe.crop_padding, device)
        self.steps = math.ceil(len(self.labels) / recipe.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of all trainings: float ``[k, B, C, H, W]`` in [0, 1], labels ``[k, B]``.

        H and W are those of ``Recipe.size_at``. Each member's part is in channels_last layout; the last
        batch may be shorter.
        """
        if isinstance(self.pixels, Stream) or self.recipe.resized_crop is not None:
            return self._gathered(epoch)
        return self._cut(self.pixels, epoch)

    def _cut(self, pixels: torch.Tensor, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One gather for all trainings: what is drawn for an epoch travels to the device once."""
        count, size = len(self.labels), pixels.shape[1] - 2 * self.recipe.crop_padding
        smaller = self.recipe.size_at(epoch)
        drawn = torch.empty(4, len(self.seeds), count, dtype=torch.int64)
        for i, seed in enumerate(self.seeds):
            draw = generator("epoch", seed, epoch)
            order = drawn[0, i] = torch.randperm(count, generator=draw)
            flips = flips_of(self.recipe, seed, epoch, count)
            drawn[1:, i] = augment.shifts(count, self.recipe, draw, None if flips is None else flips[order])
        for chosen, *places in torch.split(drawn.to(self.device), self.recipe.batch_size, dim=2):
            batch = augment.cut(pixels, chosen, torch.stack(places), size).permute(0, 1, 4, 2, 3)
            yield augment.shrunk(batch.to(torch.float32).div_(255.0), smaller), self.labels[chosen]

    def _gathered(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        made = [epoch_of(self.pixels, self.labels, self.recipe, seed, epoch) for seed in self.seeds]
        for parts in zip(*made, strict=True):
            if len(parts) == 1:
                yield parts[0][0][None], parts[0][1][None]
                continue
            batch = torch.stack([pixels.permute(0, 2, 3, 1) for pixels, _ in parts])
            yield batch.permute(0, 1, 4, 2, 3), torch.stack([labels for _, labels in parts])


def padded(images: Images, padding: int, device: torch.device) -> tuple[torch.Tensor | Stream, torch.Tensor]:
    """The images on the device as uint8 ``[N, H, W, C]`` with a black border, and the labels.

    A stream stays as it is: its batches are padded when they are decoded.
    """
    labels = torch.from_numpy(images.labels).to(device)
    if isinstance(images.pixels, Stream):
        return images.pixels, labels
    return augment.pad(torch.from_numpy(images.pixels).to(device), padding), labels


def flips_of(recipe: Recipe, seed: int, epoch: int, count: int) -> torch.Tensor | None:
    """Which of so many images are flipped in an epoch, where they alternate: bool ``[count]``; else None."""
    if not recipe.alternate_flips:
        return None
    return augment.first_flips(count, generator("flips", seed)) ^ (epoch % 2 == 1)


def epoch_of(
    pixels: torch.Tensor | Stream, labels: torch.Tensor, recipe: Recipe, seed: int, epoch: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of shuffled, randomly cropped and flipped batches: float ``[B, C, H, W]`` in [0, 1], labels.

    ``pixels`` are as from ``padded``. Order, crops and flips of a batch are drawn on the CPU, so they are
    the same whatever the device. H and W are those of ``Recipe.size_at``. Batches come out in channels_last
    layout; the last one may be shorter.
    """
    draw, device, smaller = generator("epoch", seed, epoch), labels.device, recipe.size_at(epoch)
    order = torch.split(torch.randperm(len(labels), generator=draw), recipe.batch_size)
    cut = augment.shifted if recipe.resized_crop is None else augment.resized
    made = cut(pixels, order, recipe, draw, flips_of(recipe, seed, epoch, len(labels)))
    for chosen, batch in zip(order, ahead(made) if isinstance(pixels, Stream) else made, strict=True):
        ready = batch.to(device).permute(0, 3, 1, 2).to(torch.float32)
        ready = ready.contiguous(memory_format=torch.channels_last)
        yield augment.shrunk(ready.div_(255.0), smaller), labels[chosen.to(device)]
