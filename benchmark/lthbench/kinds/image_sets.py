"""What a set of images is that a metric asks for by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ImageSet:
    """A set of images of the task's data set: ``split``, the first ``count`` of its fixed random order.

    ``count`` is a number, or the name of the field of a budget's evaluation that says it (``test_images``;
    0: all). ``perturb(model, images, labels, generator)`` changes images, float32 ``[N, C, H, W]`` in [0, 1]
    on the device, for a network in evaluation mode; it returns as many of the same kind. It may ask for
    gradients. ``generator`` is seeded, on the CPU. None: the images as they are. ``passes`` is what making
    and showing an image costs, in forward passes. A metric lists sets of its own in ``sets``: their names are
    its own, and its file's hash is part of their keys.
    """

    name: str
    split: str = "test"
    count: int | str = "test_images"
    perturb: Callable[[torch.nn.Module, torch.Tensor, torch.Tensor, torch.Generator], torch.Tensor] | None = (
        None
    )
    passes: float = 1.0
