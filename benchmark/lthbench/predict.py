"""One pass of a network over a set of images: clean, corrupted or attacked. Logits in float32.

Whatever changes the logits that a step yields must raise ``spec.PREDICT_VERSION``.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lthbench import corruptions, data
from lthbench.kinds import Images, Logits
from lthbench.spec import Inputs
from lthbench.train import generator

#: Images in one forward pass, and in one draw of a corruption's noise.
BATCH = 250
#: A corrupted set of up to this many bytes is kept for the next network of the process.
KEEP_BYTES = 32 << 20


def predict(model: nn.Module, inputs: Inputs, places: tuple[Path, ...]) -> Logits:
    """The logits ``[images, classes]``, with a leading axis for the strengths of a view that has them.

    ``notes`` count, for ``fgsm``, the images whose input gradient is zero everywhere (not attacked).
    """
    images = data.subset(data.load(inputs.data.name, inputs.split, places), inputs.images)
    device = next(model.parameters()).device
    notes: dict[str, float] = {}
    if inputs.view == "clean":
        values = _forward(model, (images.pixels[i : i + BATCH] for i in _starts(images)), device)
    elif inputs.view == "fgsm":
        attacked = [_attacked(model, images, s / 255.0, device) for s in inputs.strengths]
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
    small = inputs.images and inputs.images * 3 * 32 * 32 * len(inputs.strengths) <= KEEP_BYTES
    if small:
        whole = _corrupted_whole(inputs, severity, places)
        return (whole[i : i + BATCH] for i in range(0, len(whole), BATCH))
    return _corrupted(inputs, severity, places)


@lru_cache(maxsize=128)
def _corrupted_whole(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> np.ndarray:
    return np.concatenate(list(_corrupted(inputs, severity, places)))


def _corrupted(inputs: Inputs, severity: int, places: tuple[Path, ...]) -> Iterator[np.ndarray]:
    images = data.subset(data.load(inputs.data.name, inputs.split, places), inputs.images)
    kind = corruptions.get(inputs.view)
    for start in _starts(images):
        draw = generator("corruption", kind.name, severity, start)
        batch = _pixels(images.pixels[start : start + BATCH], torch.device("cpu"))
        done = kind.apply(batch, severity, draw).clamp_(0.0, 1.0)
        # Cut down, not rounded, as the published arrays are; the margin keeps whole levels whole.
        yield (done * 255.0 + 1e-3).to(torch.uint8).numpy()


def _starts(images: Images) -> range:
    return range(0, len(images.labels), BATCH)


def _pixels(batch: np.ndarray, device: torch.device) -> torch.Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(batch)).to(device, torch.float32).div_(255.0)
    return tensor.contiguous(memory_format=torch.channels_last)


@torch.no_grad()
def _forward(model: nn.Module, batches: Iterator[np.ndarray], device: torch.device) -> np.ndarray:
    return np.concatenate([model(_pixels(b, device)).float().cpu().numpy() for b in batches])


def _attacked(
    model: nn.Module, images: Images, epsilon: float, device: torch.device
) -> tuple[np.ndarray, int]:
    """Logits on ``clip(x + epsilon * sign(gradient of the cross-entropy))``: Goodfellow et al. 2015, FGSM.

    The sign does not change with the gradient's length, so the gradient at the logits is taken in float64
    and scaled to a largest entry of one: a confident network cannot hide behind underflow.
    """
    outputs, zeros = [], 0
    for start in _starts(images):
        x = _pixels(images.pixels[start : start + BATCH], device).requires_grad_(True)
        labels = torch.from_numpy(images.labels[start : start + BATCH]).to(device)
        logits = model(x)
        (gradient,) = torch.autograd.grad(logits, x, loss_direction(logits.detach(), labels).to(logits))
        zeros += int((gradient.flatten(1).abs().amax(1) == 0).sum())
        with torch.no_grad():
            attacked = (x + epsilon * gradient.sign()).clamp_(0.0, 1.0)
            outputs.append(model(attacked).float().cpu().numpy())
    return np.concatenate(outputs), zeros


def loss_direction(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The direction, at the logits ``[N, K]``, in which each image's cross-entropy grows; float64, max 1.

    With q the softmax over the wrong classes alone, the gradient is (1 - p of the label) * (q - label): the
    factor, which underflows or is lost in rounding where the network is sure, is left out.
    """
    wide = logits.double()
    truth = torch.nn.functional.one_hot(labels, wide.shape[1]).to(wide)
    return wide.masked_fill(truth.bool(), -torch.inf).softmax(1) - truth
