"""Saliency maps: vanilla gradient, integrated gradients and Grad-CAM, by captum.

All are for a class's logit, of pixels in [0, 1] (normalisation is part of the network). The channel reduction
changes maps more than pruning does, so it is part of a map's name (``kinds.Maps``). Sources: Simonyan et al.
2014 (gradients, the largest over channels); Sundararajan et al. 2017 (integrated gradients from black, 50
Gauss-Legendre points: other rules leave gaps of per cents); Selvaraju et al. 2017 (Grad-CAM: ReLU, on the
grid of the layer).

Whatever changes the maps that a step yields must raise ``spec.EXPLAIN_VERSION``.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lthbench.compute.room import no_room
from lthbench.errors import StepFailed
from lthbench.inference.batches import as_pixels, with_gradients
from lthbench.kinds import Images, Maps

#: Points of the quadrature of integrated gradients.
STEPS = 50
#: Below this change in the logit, shares of it say nothing: relative to the larger of the two logits.
FLAT = 1e-4

Arrays = dict[str, NDArray[np.float32] | NDArray[np.int64]]


def explain(model: nn.Module, layer: str, images: Images, classes: NDArray[np.int64]) -> Arrays:
    """Maps for the labels of all images, and for ``classes`` where these are others.

    ``model`` is used up: activations that work in place are made not to. Where ``layer`` is no module of it,
    or has no grid, Grad-CAM's maps are NaN, on a grid of one pixel. ``maps.unpacked`` makes ``Maps`` of the
    result.
    """
    for module in model.modules():
        if getattr(module, "inplace", False):
            module.inplace = False  # type: ignore[assignment]
    found = _maps(model, layer, images, images.labels)
    differ = np.flatnonzero(classes != images.labels).astype(np.int64)
    arrays: Arrays = {f"labels.{name}": array for name, array in found._asdict().items()}
    arrays["differ"] = differ
    if len(differ):
        again = _maps(model, layer, Images(images.pixels[differ], classes[differ]), classes[differ])
        arrays |= {f"reference.{name}": array for name, array in again._asdict().items()}
    return arrays


def _maps(model: nn.Module, layer: str, images: Images, classes: NDArray[np.int64]) -> Maps:
    device = next(model.parameters()).device
    size = with_gradients(*images.pixels.shape[2:])
    parts = []
    for start in range(0, len(classes), size):
        x = as_pixels(np.ascontiguousarray(images.pixels[start : start + size]), device)
        parts.append(
            _batch(model, layer, x, torch.from_numpy(classes[start : start + size]).to(device), size)
        )
    return Maps(*(_finite(np.concatenate(fields)) for fields in zip(*parts, strict=True)))


def _batch(
    model: nn.Module, layer: str, x: torch.Tensor, classes: torch.Tensor, size: int
) -> tuple[NDArray[np.float32], ...]:
    """The fields of ``Maps`` for one batch ``[N, C, H, W]`` in [0, 1]."""
    from captum.attr import IntegratedGradients, Saliency

    x = x.requires_grad_()
    slopes = Saliency(model).attribute(x, target=classes, abs=True)
    method = IntegratedGradients(model, multiply_by_inputs=True)
    integrated = method.attribute(
        x,
        baselines=0.0,
        target=classes,
        n_steps=STEPS,
        method="gausslegendre",
        internal_batch_size=size,
    )
    with torch.no_grad():
        ends = [model(end).double().gather(1, classes[:, None])[:, 0] for end in (x, torch.zeros_like(x))]
    change = ends[0] - ends[1]
    flat = FLAT * torch.maximum(ends[0].abs(), ends[1].abs())
    gaps = (integrated.double().sum((1, 2, 3)) - change).abs() / torch.maximum(change.abs(), flat)
    fields = (
        slopes.amax(1),
        slopes.sum(1),
        integrated.abs().sum(1),
        integrated.sum(1),
        _gradcam_or_none(model, layer, x, classes),
        gaps,
    )
    return tuple(field.detach().float().cpu().numpy() for field in fields)


def _gradcam_or_none(model: nn.Module, layer: str, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """The other maps need no layer: a network without one has these, and it is counted for Grad-CAM."""
    try:
        return gradcam(model, layer, x, classes)
    except StepFailed:
        return torch.full((len(x), 1, 1), float("nan"))


def gradcam(model: nn.Module, layer: str, x: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Grad-CAM with its ReLU, ``[N, h, w]`` on the layer's own grid. Raises StepFailed where it has none."""
    from captum.attr import LayerGradCam

    try:
        module = model.get_submodule(layer)
    except AttributeError as error:
        raise StepFailed(f"the network has no layer {layer!r} for Grad-CAM") from error
    try:
        cam = LayerGradCam(model, module).attribute(x, target=classes, relu_attributions=True)
    except (AssertionError, RuntimeError, IndexError) as error:
        if isinstance(error, torch.AcceleratorError) or no_room(error):
            raise
        raise StepFailed(f"layer {layer!r} cannot be explained by Grad-CAM: {error}") from error
    if not isinstance(cam, torch.Tensor) or cam.dim() != 4:
        raise StepFailed(f"layer {layer!r} has no grid: Grad-CAM needs one")
    return cam[:, 0]


def _finite(array: NDArray[np.float32]) -> NDArray[np.float32]:
    """A map with any value that is not finite becomes NaN all over: it is counted, and the rest goes on."""
    wrong = ~np.isfinite(array).reshape(len(array), -1).all(1)
    array[wrong] = np.nan
    return array
