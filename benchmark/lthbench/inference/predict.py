"""Passes of networks over a set of images: clean, corrupted or attacked. Logits in float32.

Whatever changes the logits that a step yields, by more than rounding, must raise ``spec.PREDICT_VERSION``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import fx, nn

from lthbench.compute.cuda_graphs import Forward, Passes, graphs
from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.data.streaming import ahead
from lthbench.inference import image_sets
from lthbench.inference.attacks import Attack, perturbed_by
from lthbench.inference.batches import BATCH, as_pixels, at_once, batches, pinned, starts, with_gradients
from lthbench.inference.corrupted import corrupted
from lthbench.inference.folding import folded
from lthbench.kinds import Images, Logits
from lthbench.spec import Inputs

#: What does the pass of networks over a batch.
Run = Callable[[torch.Tensor], torch.Tensor]


def predict(
    models: Sequence[nn.Module], inputs: Inputs, places: tuple[Path, ...], kept: Path | None = None
) -> list[Logits]:
    """Each network's logits ``[images, classes]``, with a leading axis for the strengths of a view that has
    them.

    The networks, on one device, see the same images, which are made or read once. ``notes`` count, for an
    attack, the images whose input gradient is zero everywhere (not attacked). ``kept`` is where corrupted
    images are kept for the next networks (see ``corrupted``).
    """
    device = next(models[0].parameters()).device
    if shared(inputs):
        return passed(fast(models), device, inputs, places, kept)
    images, found = loading.shown(inputs, places), []
    for model in models:
        attacked = [_attacked(model, images, inputs, s, device) for s in inputs.strengths or (0,)]
        notes = {"zero_gradients": float(max(zeros for _, zeros in attacked))}
        values = np.stack([logits for logits, _ in attacked])
        found.append(Logits(values if inputs.strengths else values[0], images.labels, notes))
    return found


def passed(
    run: Run, device: torch.device, inputs: Inputs, places: tuple[Path, ...], kept: Path | None = None
) -> list[Logits]:
    """The same on images that are ``shared``, by what passes batches through the networks on a device."""
    images = loading.shown(inputs, places)
    if inputs.view == "clean":
        values = _forward(run, batches(images), device)
    else:
        strengths = [_forward(run, corrupted(inputs, s, places, kept), device) for s in inputs.strengths]
        values = np.stack(strengths, axis=1)
    return [Logits(own, images.labels, {}) for own in values]


def shared(inputs: Inputs) -> bool:
    """Whether networks gain by seeing the images at the same time: not those that each are attacked by."""
    return image_sets.by_view(inputs.view) is None


def ready(model: nn.Module, device: torch.device) -> nn.Module:
    """The network as it is scored: on the device, in evaluation mode, weights without gradients."""
    model = model.to(device).to(memory_format=torch.channels_last)
    return model.eval().requires_grad_(False)


def fast(models: Sequence[nn.Module]) -> Run:
    """What gives networks' outputs ``[networks, B, classes]`` for a batch fastest, without gradients."""
    return passing([folded(model) for model in models], next(models[0].parameters()).device)


def passing(quick: Sequence[nn.Module], device: torch.device) -> Run:
    """The same for networks that are ``folded`` already."""
    passes = Passes(quick, device)
    # What cannot be traced may look at its values, which a graph cannot capture.
    return Forward(passes, graphs(device)) if device.type == "cuda" and fixed(quick) else passes


def fixed(quick: Sequence[nn.Module]) -> bool:
    """Whether all ``folded`` networks could be traced: each pass is then the same series of operations."""
    return all(isinstance(model, fx.GraphModule) for model in quick)


@torch.no_grad()
def _forward(run: Run, batches: Iterator[np.ndarray], device: torch.device) -> np.ndarray:
    """The logits ``[networks, images, classes]``."""
    outputs = []
    # A GPU works while the next are made.
    for batch in batches if device.type == "cpu" else ahead(pinned(batches, device)):
        x = as_pixels(batch, device)
        parts = [run(part) for part in torch.split(x, at_once(device, *x.shape[2:]))]
        outputs.append(torch.cat(parts, dim=1).float())
    logits: np.ndarray = torch.cat(outputs, dim=1).cpu().numpy()
    return logits


def _attacked(
    model: nn.Module, images: Images, inputs: Inputs, strength: int, device: torch.device
) -> tuple[np.ndarray, int]:
    """Logits on attacked images, and how many images had no gradient to attack by."""
    attack, outputs, zeros = _attack(inputs.view), [], 0
    for start, pixels in zip(starts(images), batches(images), strict=True):
        x = as_pixels(pixels, device)
        labels = torch.from_numpy(images.labels[start : start + BATCH]).to(device)
        draw = generator("attack", inputs.view, strength, start)
        attacked, zero = attack(model, x, labels, strength / 255.0, draw)
        zeros += int(zero.sum())
        with torch.no_grad():
            for part in torch.split(attacked, with_gradients(*x.shape[2:])):
                outputs.append(model(part).float().cpu().numpy())
    return np.concatenate(outputs), zeros


def _attack(view: str) -> Attack:
    """What makes the images of a view for a network."""
    changed = image_sets.by_view(view)
    if isinstance(changed, image_sets.Shipped) and changed.attack is not None:
        return changed.attack
    assert changed is not None
    return perturbed_by(changed)
