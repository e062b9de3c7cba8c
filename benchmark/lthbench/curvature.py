"""Second derivatives of the loss: exact traces by first-order passes, and the largest eigenvalue.

In evaluation mode a network of convolutions, linear layers, fixed normalisation, ReLU and pooling is
piecewise linear in each single weight and in each single pixel. Almost everywhere the diagonal of its
Hessian is then that of the Gauss-Newton matrix, so with p the softmax and the K columns
b_k = sqrt(p_k) (e_k - p), for which sum b_k b_k' = diag(p) - p p', the trace of an image's Hessian is
sum_k |J' b_k|^2: K ordinary backward passes, without sampling. With many classes, random signs of the b_k
keep it unbiased in a few passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from lthbench.errors import StepFailed
from lthbench.masks import Mask
from lthbench.train import generator

#: Up to so many classes the trace is exact; beyond, it is the mean over this many random combinations.
EXACT_CLASSES = 20
PROBES = 10
#: Images in one pass: the unfolded inputs of all convolutions are held at once.
CHUNK = 16


class Traces(NamedTuple):
    """For each image, the trace of the Hessian of its cross-entropy, float64 ``[images]``.

    ``weights`` over the surviving parameters; ``scaled`` the same with each term times the parameter
    squared, which no rescaling of layers changes; ``pixels`` over the image in units of [0, 1].
    """

    weights: NDArray[np.float64]
    scaled: NDArray[np.float64]
    pixels: NDArray[np.float64]


def traces(model: nn.Module, images: torch.Tensor, mask: Mask | None) -> Traces:
    """The traces for images ``[N, C, H, W]`` in [0, 1]; ``mask`` leaves out pruned parameters.

    Raises StepFailed for a layer with parameters that is no convolution, linear layer or batch
    normalisation.
    """
    layers = _layers(model)
    found = [
        _chunk(model, layers, part, mask or {}, start * CHUNK)
        for start, part in enumerate(torch.split(images, CHUNK))
    ]
    weights, scaled, pixels = (torch.cat(sums).cpu().numpy() for sums in zip(*found, strict=True))
    return Traces(weights, scaled, pixels)


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    layers = {}
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is None:
            continue
        plain = isinstance(module, nn.Linear | nn.BatchNorm2d)
        if not plain and not (isinstance(module, nn.Conv2d) and module.groups == 1):
            raise StepFailed(f"layer {name} ({type(module).__name__}) has no exact trace of the Hessian")
        layers[name] = module
    return layers


def _chunk(
    model: nn.Module, layers: dict[str, nn.Module], images: torch.Tensor, mask: Mask, first: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, given: tuple[torch.Tensor, ...], made: torch.Tensor) -> None:
            inputs[name], outputs[name] = given[0].detach(), made

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        x = images.clone().requires_grad_(True)
        logits = model(x)
    finally:
        for hook in hooks:
            hook.remove()
    sums = [torch.zeros(len(images), dtype=torch.float64, device=images.device) for _ in range(3)]
    ready = {name: _prepared(layers[name], inputs[name]) for name in layers}
    for direction, share in _directions(logits.detach(), first):
        *slopes, pull = torch.autograd.grad(
            logits, [*outputs.values(), x], direction.to(logits), retain_graph=True
        )
        sums[2] += share * pull.flatten(1).double().square().sum(1)
        for name, slope in zip(outputs, slopes, strict=True):
            for parameter, gradient in _per_image(layers[name], ready[name], slope):
                weight = getattr(layers[name], parameter).detach()
                held = mask.get(f"{name}.{parameter}")
                if held is not None:
                    gradient = gradient * held.to(gradient.device)
                sums[0] += share * gradient.flatten(1).square().sum(1, dtype=torch.float64)
                sums[1] += share * (gradient * weight).flatten(1).square().sum(1, dtype=torch.float64)
    return sums[0], sums[1], sums[2]


def _directions(logits: torch.Tensor, first: int) -> Iterator[tuple[torch.Tensor, float]]:
    """The b_k ``[N, K]``, or random combinations of them, with the weight of each in the sum."""
    p = logits.double().softmax(1)
    count, classes = p.shape
    if classes <= EXACT_CLASSES:
        for k in range(classes):
            yield p[:, k : k + 1].sqrt() * (F.one_hot(torch.tensor(k, device=p.device), classes) - p), 1.0
        return
    for probe in range(PROBES):
        draw = generator("curvature", first, probe)
        signs = torch.randint(0, 2, (count, classes), generator=draw).to(p) * 2.0 - 1.0
        root = p.sqrt() * signs
        yield root - p * root.sum(1, keepdim=True), 1.0 / PROBES


def _prepared(layer: nn.Module, given: torch.Tensor) -> torch.Tensor:
    """What a layer's parameter gradients need of its input; the same for all directions."""
    if isinstance(layer, nn.Conv2d):
        if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
            raise StepFailed("convolutions with padding by name or by other values have no exact trace")
        return F.unfold(given, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    if isinstance(layer, nn.BatchNorm2d):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        shape = (1, -1, 1, 1)
        spread = (layer.running_var + layer.eps).rsqrt().reshape(shape)
        return (given - layer.running_mean.reshape(shape)) * spread
    return given


def _per_image(
    layer: nn.Module, ready: torch.Tensor, slope: torch.Tensor
) -> Iterator[tuple[str, torch.Tensor]]:
    """The gradient of each parameter for each image: ``[N, *parameter.shape]``."""
    n = len(slope)
    if isinstance(layer, nn.Conv2d):
        flat = slope.reshape(n, slope.shape[1], -1)
        yield "weight", torch.bmm(flat, ready.transpose(1, 2)).reshape(n, *layer.weight.shape)
        if layer.bias is not None:
            yield "bias", flat.sum(2)
    elif isinstance(layer, nn.BatchNorm2d):
        if layer.affine:
            yield "weight", (slope * ready).sum((2, 3))
            yield "bias", slope.sum((2, 3))
    elif isinstance(layer, nn.Linear):
        yield "weight", slope[:, :, None] * ready[:, None, :]
        if layer.bias is not None:
            yield "bias", slope


def top_eigenvalue(model: nn.Module, images: torch.Tensor, labels: torch.Tensor, mask: Mask | None) -> float:
    """The largest eigenvalue of the Hessian of the mean cross-entropy over the surviving parameters.

    Lanczos iteration on products with the Hessian (one backward pass of the kept graph of the gradient for
    each), to a relative residual of 1 %. Raises StepFailed if it does not converge.
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    named = dict(model.named_parameters())
    before = {name: p.requires_grad for name, p in named.items()}
    for parameter in named.values():
        parameter.requires_grad_(True)
    try:
        loss = F.cross_entropy(model(images), labels)
        parameters = list(named.values())
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        whole_mask = [(mask or {}).get(n, torch.ones_like(p, dtype=torch.bool)) for n, p in named.items()]
        held = torch.cat([m.reshape(-1).cpu() for m in whole_mask])
        sizes = [p.numel() for p in parameters]
        alive = held.nonzero()[:, 0]

        def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            whole = torch.zeros(len(held))
            whole[alive] = torch.from_numpy(np.asarray(vector, dtype=np.float32).reshape(-1))
            parts = torch.split(whole.to(loss.device), sizes)
            shaped = [v.reshape(p.shape) for v, p in zip(parts, parameters, strict=True)]
            made = torch.autograd.grad(
                gradients, parameters, shaped, retain_graph=True, materialize_grads=True
            )
            flat = torch.cat([m.reshape(-1).cpu() for m in made])[alive]
            result: NDArray[np.float64] = flat.double().numpy()
            return result

        start = torch.randn(len(alive), generator=generator("eigenvalue"), dtype=torch.float64).numpy()
        operator = LinearOperator((len(alive), len(alive)), matvec=product, dtype=np.float64)
        try:
            (value,) = eigsh(
                operator, k=1, which="LA", v0=start, ncv=8, tol=1e-2, maxiter=20, return_eigenvectors=False
            )
        except ArpackNoConvergence as error:
            raise StepFailed("the largest eigenvalue of the Hessian did not converge") from error
        return float(value)
    finally:
        for name, parameter in named.items():
            parameter.requires_grad_(before[name])
