"""The batches of several trainings at once, from the same draws as those of one alone."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from lthbench import crops
from lthbench.kinds import Images
from lthbench.spec import Recipe
from lthbench.stream import Stream
from lthbench.train import epoch_of, generator, padded


class Feed:
    """The images of trainings that differ by their ``seeds``, on the device where they are not streamed.

    A training's batches are, to the bit, those of ``train.epoch_of``. ``steps`` is how many an epoch has.
    """

    def __init__(self, images: Images, recipe: Recipe, seeds: Sequence[int], device: torch.device):
        self.recipe, self.seeds, self.device = recipe, tuple(seeds), device
        self.pixels, self.labels = padded(images, recipe.crop_padding, device)
        self.steps = math.ceil(len(self.labels) / recipe.batch_size)

    def epoch(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Batches of all trainings: float ``[k, B, C, H, W]`` in [0, 1], labels ``[k, B]``.

        Each member's part is in channels_last layout; the last batch may be shorter.
        """
        if isinstance(self.pixels, Stream) or self.recipe.resized_crop is not None:
            return self._gathered(epoch)
        return self._cut(self.pixels, epoch)

    def _cut(self, pixels: torch.Tensor, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One gather for all trainings: what is drawn for an epoch travels to the device once."""
        count, size = len(self.labels), pixels.shape[1] - 2 * self.recipe.crop_padding
        drawn = torch.empty(4, len(self.seeds), count, dtype=torch.int64)
        for i, seed in enumerate(self.seeds):
            draw = generator("epoch", seed, epoch)
            drawn[0, i] = torch.randperm(count, generator=draw)
            drawn[1:, i] = crops.shifts(count, self.recipe, draw)
        for chosen, *places in torch.split(drawn.to(self.device), self.recipe.batch_size, dim=2):
            batch = crops.cut(pixels, chosen, torch.stack(places), size).permute(0, 1, 4, 2, 3)
            yield batch.to(torch.float32).div_(255.0), self.labels[chosen]

    def _gathered(self, epoch: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        made = [epoch_of(self.pixels, self.labels, self.recipe, seed, epoch) for seed in self.seeds]
        for parts in zip(*made, strict=True):
            batch = torch.stack([pixels.permute(0, 2, 3, 1) for pixels, _ in parts])
            yield batch.permute(0, 1, 4, 2, 3), torch.stack([labels for _, labels in parts])
