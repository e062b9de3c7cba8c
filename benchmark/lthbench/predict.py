"""One pass of a network over a set of images: clean, corrupted or attacked. Logits in float32.

Whatever changes the logits that a step yields, by more than rounding, must raise ``spec.PREDICT_VERSION``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import nn

from lthbench import data
from lthbench.attacks import ATTACKS
from lthbench.corrupted import BATCH, as_pixels, at_once, batches, corrupted, starts
from lthbench.inference import folded
from lthbench.kinds import Images, Logits
from lthbench.spec import Inputs
from lthbench.train import generator


def predict(model: nn.Module, inputs: Inputs, places: tuple[Path, ...], kept: Path | None = None) -> Logits:
    """The logits ``[images, classes]``, with a leading axis for the strengths of a view that has them.

    ``notes`` count, for an attack, the images whose input gradient is zero everywhere (not attacked).
    ``kept`` is where corrupted images are kept for the next network (see ``corrupted``).
    """
    images = data.subset(data.load(inputs.data.name, inputs.split, places), inputs.images)
    device = next(model.parameters()).device
    notes: dict[str, float] = {}
    if inputs.view == "clean":
        values = _forward(folded(model), batches(images), device)
    elif inputs.view in ATTACKS:
        attacked = [_attacked(model, images, inputs, s, device) for s in inputs.strengths]
        values = np.stack([logits for logits, _ in attacked])
        notes["zero_gradients"] = max(zeros for _, zeros in attacked)
    else:
        fast = folded(model)
        values = np.stack(
            [_forward(fast, corrupted(inputs, s, places, kept), device) for s in inputs.strengths]
        )
    return Logits(values, images.labels, notes)


def ready(model: nn.Module, device: torch.device) -> nn.Module:
    """The network as it is scored: on the device, in evaluation mode, weights without gradients."""
    model = model.to(device).to(memory_format=torch.channels_last)
    return model.eval().requires_grad_(False)


@torch.no_grad()
def _forward(model: nn.Module, batches: Iterator[np.ndarray], device: torch.device) -> np.ndarray:
    outputs = []
    for batch in batches:
        x = as_pixels(batch, device)
        parts = [model(part) for part in torch.split(x, at_once(device, *x.shape[2:]))]
        outputs.append(torch.cat(parts).float().cpu().numpy())
    return np.concatenate(outputs)


def _attacked(
    model: nn.Module, images: Images, inputs: Inputs, strength: int, device: torch.device
) -> tuple[np.ndarray, int]:
    """Logits on attacked images, and how many images had no gradient to attack by."""
    attack, outputs, zeros = ATTACKS[inputs.view], [], 0
    for start, pixels in zip(starts(images), batches(images), strict=True):
        x = as_pixels(pixels, device)
        labels = torch.from_numpy(images.labels[start : start + BATCH]).to(device)
        draw = generator("attack", inputs.view, strength, start)
        attacked, zero = attack(model, x, labels, strength / 255.0, draw)
        zeros += int(zero.sum())
        with torch.no_grad():
            outputs.append(model(attacked).float().cpu().numpy())
    return np.concatenate(outputs), zeros
