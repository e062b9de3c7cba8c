"""Second derivatives of the loss: exact traces by first-order passes, and the largest eigenvalue.

In evaluation mode a network of convolutions, linear layers, fixed normalisation, ReLU and pooling is
piecewise linear in each single weight and in each single pixel. Almost everywhere the diagonal of its
Hessian is then that of the Gauss-Newton matrix, so with p the softmax and the K columns
b_k = sqrt(p_k) (e_k - p), for which sum b_k b_k' = diag(p) - p p', the trace of an image's Hessian is
sum_k |J' b_k|^2: K ordinary backward passes, without sampling. With many classes, random signs of the b_k
keep it unbiased in a few passes.

Where a network is curved, as with GELU, softmax or layer normalisation, that is not its trace: it is then
estimated, see ``directional_curvature``. So it is where a layer is of another kind or used more than once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from lthbench.compute.rng import generator
from lthbench.errors import StepFailed
from lthbench.functional.directional_curvature import estimated
from lthbench.functional.piecewise_linear import curved, differentiable, uses
from lthbench.inference.batches import with_gradients
from lthbench.masks import Mask

#: Up to so many classes the trace is exact; beyond, it is the mean over this many random combinations.
EXACT_CLASSES = 20
PROBES = 10
#: Images in one pass: at most so many, and no more gradient values of one layer than this.
CHUNK, CHUNK_VALUES = 16, 64_000_000
#: The same on a GPU, where a pass of few images takes as long as to launch it. These are the gradient values
#: of one layer and of all activations; in float32 they take at most this share of the device.
GPU_CHUNK, GPU_VALUES, GPU_SHARE = 128, 2_000_000_000, 0.25


class Traces(NamedTuple):
    """For each image, the trace of the Hessian of its cross-entropy, float64 ``[images]``.

    ``weights`` over the surviving parameters; ``scaled`` the same with each term times the parameter
    squared, which no rescaling of layers changes; ``pixels`` over the image in units of [0, 1].
    """

    weights: NDArray[np.float64]
    scaled: NDArray[np.float64]
    pixels: NDArray[np.float64]


class _NoExactTrace(StepFailed):
    """The exact way does not hold for a network."""


def traces(
    model: nn.Module, images: torch.Tensor, mask: Mask | None, labels: torch.Tensor | None = None
) -> Traces:
    """The traces for images ``[N, C, H, W]`` in [0, 1]; ``mask`` leaves out pruned parameters.

    Those of a network that has no exact ones (see ``no_exact_trace``) are estimates, and need ``labels``:
    raises StepFailed without these.
    """
    why = no_exact_trace(model, images[:1])
    if why:
        if labels is None:
            raise StepFailed(why)
        estimates = estimated(model, images, labels, mask or {})
        return Traces(*(values.cpu().numpy() for values in estimates))
    layers = _layers(model)
    largest = max(p.numel() for p in model.parameters()) * max(EXACT_CLASSES // 2, PROBES)
    size = max(1, min(CHUNK, CHUNK_VALUES // largest))
    # In whole chunks of a CPU: signs are drawn for each of them, and are the same on both.
    at_once = max(1, _on_gpu(model, layers, images[:1]) // size) if images.is_cuda else 1
    found = [
        _chunk(model, layers, part, mask or {}, place * at_once, size)
        for place, part in enumerate(torch.split(images, size * at_once))
    ]
    weights, scaled, pixels = (torch.cat(sums).cpu().numpy() for sums in zip(*found, strict=True))
    return Traces(weights, scaled, pixels)


@torch.no_grad()
def no_exact_trace(model: nn.Module, image: torch.Tensor) -> str:
    """Why a network has no exact trace of the Hessian, by what it does to an image; "" where it has one.

    It has if it is piecewise linear and its layers with parameters are convolutions, linear layers and batch
    normalisation, each used once, and by its layer: it is then linear in each parameter. Subclasses and hooks
    may be there as long as a layer puts out what its kind does of the same input.
    """
    bends = curved(model, image)
    if bends:
        return f"a network with {', '.join(bends)} has no exact trace of the Hessian"
    try:
        layers = _layers(model)
        inputs, outputs, _ = _watched(model, layers, image)
        for name, features in inputs.items():
            _prepared(layers[name], features)
            _check_plain(name, layers[name], features, outputs[name])
    except _NoExactTrace as error:
        return str(error)
    for name, count in uses(model, image).items():
        # A layer that is called uses its own; whatever else is done with them has slopes of its own.
        if count > (name.rpartition(".")[0] in inputs):
            return f"{name} is used outside of its layer, too: the Hessian has no exact trace"
    return ""


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    layers: dict[str, nn.Module] = {}
    owners: dict[nn.Parameter, str] = {}
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is None:
            continue
        if not isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            raise _NoExactTrace(f"layer {name} ({type(module).__name__}) has no exact trace of the Hessian")
        for parameter in module.parameters(recurse=False):
            if owners.setdefault(parameter, name) != name:
                raise _NoExactTrace(
                    f"layers {owners[parameter]} and {name} share parameters: the Hessian has no exact trace"
                )
        layers[name] = module
    return layers


def _check_plain(name: str, layer: nn.Module, features: torch.Tensor, made: torch.Tensor) -> None:
    """Raise if a layer puts out something else than its kind does, as a subclass or a hook may."""
    match layer:
        case nn.Conv2d():
            weight, bias = layer.weight, layer.bias
            plain = nn.Conv2d._conv_forward(layer, features.to(weight.dtype), weight, bias)
        case nn.BatchNorm2d():
            plain = nn.BatchNorm2d.forward(layer, features)
        case nn.Linear():
            plain = nn.Linear.forward(layer, features.to(layer.weight.dtype))
        case _:
            return
    if plain.shape != made.shape or (plain - made).abs().max() > 1e-3 * plain.abs().max():
        raise _NoExactTrace(
            f"layer {name} ({type(layer).__name__}) puts out something else than its kind does: the Hessian "
            "has no exact trace"
        )


def _on_gpu(model: nn.Module, layers: dict[str, nn.Module], image: torch.Tensor) -> int:
    """How many images a GPU passes at once, by what gradients of one image take."""
    _, outputs, logits = _watched(model, layers, image)
    classes = logits.shape[1]
    largest = max(p.numel() for p in model.parameters())
    each = largest + image.numel() + sum(made.numel() for made in outputs.values())
    each *= classes if classes <= EXACT_CLASSES else PROBES
    room = GPU_SHARE * torch.cuda.get_device_properties(image.device).total_memory / 4
    return int(min(GPU_CHUNK, min(GPU_VALUES, room) // each))


def _watched(
    model: nn.Module, layers: dict[str, nn.Module], x: torch.Tensor
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], torch.Tensor]:
    """What layers read and put out by name, and the logits."""
    inputs: dict[str, torch.Tensor] = {}
    outputs: dict[str, torch.Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, arguments: tuple[torch.Tensor, ...], made: torch.Tensor) -> torch.Tensor:
            if name in outputs:
                raise _NoExactTrace(
                    f"layer {name} is called more than once in a pass: the Hessian has no exact trace"
                )
            inputs[name], outputs[name] = arguments[0].detach(), made
            # What follows may work in place: on a copy, so that slopes are those by the layer's own output.
            return made.clone()

        return hook

    hooks = [layer.register_forward_hook(keep(name)) for name, layer in layers.items()]
    try:
        return inputs, outputs, model(x)
    finally:
        for hook in hooks:
            hook.remove()


def _chunk(
    model: nn.Module,
    layers: dict[str, nn.Module],
    images: torch.Tensor,
    mask: Mask,
    first: int,
    size: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The traces of some images; ``size`` of them have signs of a number, from ``first`` on."""
    x = images.clone().requires_grad_(True)
    inputs, outputs, logits = _watched(model, layers, x)
    directions = _directions(logits.detach(), first, size).to(logits)
    pulls = [
        torch.autograd.grad(logits, [*outputs.values(), x], direction, retain_graph=True)
        for direction in directions
    ]
    pixels = sum_of_squares([pull[-1] for pull in pulls])
    weights = torch.zeros_like(pixels)
    scaled = torch.zeros_like(pixels)
    for place, name in enumerate(outputs):
        layer, ready = layers[name], _prepared(layers[name], inputs[name])
        slopes = torch.stack([pull[place] for pull in pulls], 1)  # [N, K, ...]
        for parameter, gradients in _per_image(layer, ready, slopes):
            value = getattr(layer, parameter).detach().reshape(-1)
            kept = (
                mask[f"{name}.{parameter}"].reshape(-1).to(value) if f"{name}.{parameter}" in mask else None
            )
            alive = torch.ones_like(value) if kept is None else kept
            # One product sums the squares twice: as they are, and times the squared parameters.
            both = gradients.flatten(2).square_() @ torch.stack([alive, alive * value.square()], 1)
            totals = both.double().sum(1)
            weights += totals[:, 0]
            scaled += totals[:, 1]
    return weights, scaled, pixels


def sum_of_squares(parts: list[torch.Tensor]) -> torch.Tensor:
    """For each image, the sum over all parts and entries; float64."""
    return torch.stack([p.flatten(1).double().square().sum(1) for p in parts]).sum(0)


def _directions(logits: torch.Tensor, first: int, size: int) -> torch.Tensor:
    """The b_k ``[K, N, K]``, or a few random combinations of them, scaled to the same sum of squares."""
    p = logits.double().softmax(1)
    count, classes = p.shape
    if classes <= EXACT_CLASSES:
        signs = torch.eye(classes, dtype=p.dtype, device=p.device)[:, None, :].expand(-1, count, -1)
        scale = 1.0
    else:
        drawn = [
            torch.cat(
                [
                    torch.randint(0, 2, (len(part), classes), generator=generator("curvature", place, probe))
                    for place, part in enumerate(torch.split(p, size), first)
                ]
            )
            for probe in range(PROBES)
        ]
        signs = torch.stack(drawn).to(p) * 2 - 1
        scale = PROBES**-0.5
    root = p.sqrt() * signs * scale
    return root - p * root.sum(2, keepdim=True)


def _prepared(layer: nn.Module, features: torch.Tensor) -> torch.Tensor:
    """What a layer's parameter gradients need of its input; the same for all directions."""
    if isinstance(layer, nn.Conv2d):
        if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
            raise _NoExactTrace("convolutions with padding by name or by other values have no exact trace")
        return F.unfold(features, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    if isinstance(layer, nn.BatchNorm2d):
        assert layer.running_mean is not None
        assert layer.running_var is not None
        shape = (1, -1, 1, 1)
        spread = (layer.running_var + layer.eps).rsqrt().reshape(shape)
        return (features - layer.running_mean.reshape(shape)) * spread
    if features.dim() > 2:
        raise _NoExactTrace("linear layers that are applied at several places have no exact trace")
    return features


def _per_image(
    layer: nn.Module, ready: torch.Tensor, slopes: torch.Tensor
) -> Iterator[tuple[str, torch.Tensor]]:
    """The gradient of each parameter for each image and direction: ``[N, K, *parameter.shape]``.

    ``slopes`` are those by the layer's output, ``[N, K, *output.shape]``.
    """
    n, k = slopes.shape[:2]
    if isinstance(layer, nn.Conv2d):
        flat, g = slopes.flatten(3), layer.groups
        places = flat.shape[3]
        by_group = flat.reshape(n, k, g, -1, places).transpose(1, 2).reshape(n * g, -1, places)
        product = torch.bmm(by_group, ready.reshape(n * g, -1, places).transpose(1, 2))
        yield "weight", product.reshape(n, g, k, -1).transpose(1, 2).reshape(n, k, *layer.weight.shape)
        if layer.bias is not None:
            yield "bias", flat.sum(3)
    elif isinstance(layer, nn.BatchNorm2d):
        if layer.affine:
            yield "weight", (slopes * ready[:, None]).sum((3, 4))
            yield "bias", slopes.sum((3, 4))
    elif isinstance(layer, nn.Linear):
        yield "weight", slopes[:, :, :, None] * ready[:, None, None, :]
        if layer.bias is not None:
            yield "bias", slopes.clone()


def top_eigenvalue(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, mask: Mask | None
) -> tuple[float, dict[str, torch.Tensor]]:
    """The largest eigenvalue of the Hessian of the mean cross-entropy over the surviving parameters, and its
    eigenvector, by parameter.

    Lanczos iteration on products with the Hessian (one backward pass of the graph of the gradient for each),
    to a relative residual of 1 %. The graph is kept; that of large images is made anew for each product, of
    a few images at a time. Raises StepFailed if it does not converge, or where PyTorch lacks a derivative.
    """
    try:
        # PyTorch's faster ways of attention have no second derivative.
        with differentiable(model), sdpa_kernel(SDPBackend.MATH):
            return _top_eigenvalue(model, images, labels, mask or {})
    except RuntimeError as error:
        if "not implemented" not in str(error):
            raise
        raise StepFailed(f"the Hessian of this network cannot be found: {error}") from error


def _top_eigenvalue(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, mask: Mask
) -> tuple[float, dict[str, torch.Tensor]]:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    named = dict(model.named_parameters())
    parameters = list(named.values())
    few = with_gradients(*images.shape[2:])
    parts = list(zip(torch.split(images, few), torch.split(labels, few), strict=True))

    def gradient(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = F.cross_entropy(model(x), y) * (len(y) / len(labels))
        return torch.autograd.grad(loss, parameters, create_graph=True)

    kept = gradient(*parts[0]) if len(parts) == 1 else None
    whole_mask = [mask.get(n, torch.ones_like(p, dtype=torch.bool)) for n, p in named.items()]
    held = torch.cat([m.reshape(-1).cpu() for m in whole_mask])
    sizes = [p.numel() for p in parameters]
    alive = held.nonzero()[:, 0]

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        whole = torch.zeros(len(held))
        whole[alive] = torch.from_numpy(np.asarray(vector, dtype=np.float32).reshape(-1))
        pieces = torch.split(whole.to(images.device), sizes)
        shaped = [v.reshape(p.shape) for v, p in zip(pieces, parameters, strict=True)]
        total = torch.zeros(len(alive), dtype=torch.float64)
        for part in parts:
            made = torch.autograd.grad(
                kept or gradient(*part),
                parameters,
                shaped,
                retain_graph=kept is not None,
                materialize_grads=True,
            )
            total += torch.cat([m.reshape(-1) for m in made]).cpu()[alive]
        result: NDArray[np.float64] = total.numpy()
        return result

    start = torch.randn(len(alive), generator=generator("eigenvalue"), dtype=torch.float64).numpy()
    operator = LinearOperator((len(alive), len(alive)), matvec=product, dtype=np.float64)
    try:
        (value,), vectors = eigsh(operator, k=1, which="LA", v0=start, ncv=8, tol=1e-2, maxiter=20)
    except ArpackNoConvergence as error:
        raise StepFailed("the largest eigenvalue of the Hessian did not converge") from error
    whole = torch.zeros(len(held))
    whole[alive] = torch.from_numpy(vectors[:, 0]).float()
    shaped = zip(named.items(), torch.split(whole, sizes), strict=True)
    return float(value), {n: v.reshape(p.shape).to(images.device) for (n, p), v in shaped}
