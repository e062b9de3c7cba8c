"""Images in batches, as networks see them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from lthbench.data.streaming import Stream, ahead
from lthbench.kinds import Images
from lthbench.kinds.images import BATCH as BATCH


def batches(images: Images) -> Iterator[np.ndarray]:
    """The pixels of each batch; those of a stream are decoded while the batch before is used."""
    made = (images.pixels[start : start + BATCH] for start in starts(images))
    return ahead(made) if isinstance(images.pixels, Stream) else made


def starts(images: Images) -> range:
    """Where the batches begin."""
    return range(0, len(images.labels), BATCH)


def at_once(device: torch.device, height: int, width: int) -> int:
    """How many images go through a network together where that is free to choose.

    On a processor few, so that activations stay in its cache (a quarter faster than 250 at 32 pixels), but
    enough to be worth the calls (512 of 8 pixels are done in half the time that batches of 32 take).
    """
    pixels = height * width
    if device.type == "cuda":
        return max(1, min(1000, 1000 * 64 * 64 // pixels))
    return max(1, min(max(32, 32 * 32 * 32 // pixels), 1000 * 64 * 64 // pixels))


def with_gradients(height: int, width: int) -> int:
    """How many images go through a network together where a gradient keeps all that they make: 250 of up to
    64 x 64 pixels, fewer of larger ones.
    """
    return max(1, min(BATCH, BATCH * 64 * 64 // (height * width)))


def pinned(made: Iterator[np.ndarray], device: torch.device) -> Iterator[torch.Tensor]:
    """Batches in memory from which a GPU fetches them by itself."""
    for batch in made:
        with torch.cuda.device(device):  # a thread of its own begins with the first
            tensor = torch.from_numpy(np.ascontiguousarray(batch)).pin_memory()
        yield tensor


def as_pixels(batch: np.ndarray | torch.Tensor, device: torch.device) -> torch.Tensor:
    """A batch of uint8 as float32 in [0, 1], channels last, on the device."""
    if isinstance(batch, torch.Tensor):
        tensor = batch
    else:  # PyTorch warns of an array that cannot be written to, so that a copy is made of it
        tensor = torch.from_numpy(np.require(batch, requirements=("C", "W")))
    # First to the device, then to floats: a quarter of the bytes travel. Nothing waits for those that are
    # pinned: what follows on the stream comes after the copy, and PyTorch gives such memory to nobody before.
    tensor = tensor.to(device, non_blocking=True).to(torch.float32).div_(255.0)
    return tensor.contiguous(memory_format=torch.channels_last)
