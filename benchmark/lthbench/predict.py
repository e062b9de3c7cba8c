"""One pass of a network over a set of images: clean, corrupted or attacked. Logits in float32.

Whatever changes the logits that a step yields must raise ``spec.PREDICT_VERSION``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lthbench import corruptions, data, registry
from lthbench.attacks import ATTACKS
from lthbench.corruptions import official
from lthbench.errors import BadInput
from lthbench.kinds import Dataset, Images, Logits
from lthbench.spec import Inputs
from lthbench.stream import Stream, ahead
from lthbench.train import generator

#: Images in one forward pass, and in one draw of a corruption's noise.
BATCH = 250
#: A corrupted set of up to this many bytes is kept for the next network of the process.
KEEP_BYTES = 32 << 20


def predict(model: nn.Module, inputs: Inputs, places: tuple[Path, ...]) -> Logits:
    """The logits ``[images, classes]``, with a leading axis for the strengths of a view that has them.

    ``notes`` count, for an attack, the images whose input gradient is zero everywhere (not attacked).
    """
    images = data.subset(data.load(inputs.data.name, inputs.split, places), inputs.images)
    device = next(model.parameters()).device
    notes: dict[str, float] = {}
    if inputs.view == "clean":
        values = _forward(model, _batches(images), device)
    elif inputs.view in ATTACKS:
        attacked = [_attacked(model, images, inputs, s, device) for s in inputs.strengths]
        values = np.stack([logits for logits, _ in attacked])
        notes["zero_gradients"] = max(zeros for _, zeros in attacked)
    else:
        values = np.stack(
            [_forward(model, corrupted(inputs, strength, places), device) for strength in inputs.strengths]
        )
    return Logits(values, images.labels, notes)


def ready(model: nn.Module, device: torch.device) -> nn.Module:
    """The network as it is scored: on the device, in evaluation mode, weights without gradients."""
    model = model.to(device).to(memory_format=torch.channels_last)
    return model.eval().requires_grad_(False)


def corrupted(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> Iterator[np.ndarray]:
    """The corrupted images in batches, as uint8; the same for every network."""
    image = math.prod(data.load(inputs.data.name, inputs.split, places).pixels.shape[1:])
    small = inputs.images and inputs.images * image * len(inputs.strengths) <= KEEP_BYTES
    if small:
        whole = _corrupted_whole(inputs, severity, places)
        return (whole[i : i + BATCH] for i in range(0, len(whole), BATCH))
    return _corrupted(inputs, severity, places)


@lru_cache(maxsize=128)
def _corrupted_whole(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> np.ndarray:
    return np.concatenate(list(_corrupted(inputs, severity, places)))


def _corrupted(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> Iterator[np.ndarray]:
    images = data.subset(data.load(inputs.data.name, inputs.split, places), inputs.images)
    if inputs.view.startswith(official.PREFIX):
        yield from _batches(_published(inputs, severity, places))
        return
    kind = corruptions.get(inputs.view)
    for start, pixels in zip(_starts(images), _batches(images), strict=True):
        draw = generator("corruption", kind.name, severity, start)
        batch = _pixels(pixels, torch.device("cpu"))
        done = kind.apply(batch, severity, draw).clamp_(0.0, 1.0)
        # Cut down, not rounded, as the published arrays are; the margin keeps whole levels whole.
        yield (done * 255.0 + 1e-3).to(torch.uint8).numpy()


def _published(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> Images:
    """The published images. Raises BadInput if they are not those of the test set, in its order."""
    dataset = registry.get(Dataset, inputs.data.name)
    kind = inputs.view.removeprefix(official.PREFIX)
    images = official.load(dataset, kind, severity, places)
    if not np.array_equal(images.labels, data.load(dataset.name, inputs.split, places).labels):
        raise BadInput(
            f"the published images of {kind} for {dataset.name} have other labels than its test images, or "
            "another order; use the test images in the order in which they were published."
        )
    return data.subset(images, inputs.images)


def _starts(images: Images) -> range:
    return range(0, len(images.labels), BATCH)


def _batches(images: Images) -> Iterator[np.ndarray]:
    """The pixels of each batch; those of a stream are decoded while the batch before is used."""
    made = (images.pixels[start : start + BATCH] for start in _starts(images))
    return ahead(made) if isinstance(images.pixels, Stream) else made


def _pixels(batch: np.ndarray, device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(device, torch.float32).div_(255.0)
    return tensor.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _forward(model: nn.Module, batches: Iterator[np.ndarray], device: torch.device) -> np.ndarray:
    return np.concatenate([model(_pixels(b, device)).float().cpu().numpy() for b in batches])


def _attacked(
    model: nn.Module, images: Images, inputs: Inputs, strength: int, device: torch.device
) -> tuple[np.ndarray, int]:
    """Logits on attacked images, and how many images had no gradient to attack by."""
    attack, outputs, zeros = ATTACKS[inputs.view], [], 0
    for start, pixels in zip(_starts(images), _batches(images), strict=True):
        x = _pixels(pixels, device)
        labels = torch.from_numpy(images.labels[start : start + BATCH]).to(device)
        draw = generator("attack", inputs.view, strength, start)
        attacked, zero = attack(model, x, labels, strength / 255.0, draw)
        zeros += int(zero.sum())
        with torch.no_grad():
            outputs.append(model(attacked).float().cpu().numpy())
    return np.concatenate(outputs), zeros
