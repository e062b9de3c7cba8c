"""Traces of the Hessian of any network, estimated from second derivatives along random directions.

Hutchinson 1989: for signs v drawn at random, E v' H v = trace H. The derivative of second order along v is
found for all images of a batch at once: of a smooth network by central differences in float64, of one that
also has kinks, which differences must not step over, by forward differentiation, twice.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.func import functional_call, jvp
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from lthbench.compute.rng import generator
from lthbench.compute.tracing import called
from lthbench.errors import StepFailed
from lthbench.masks import Mask

#: Directions for each batch, and images in one: each batch draws its own, over weights once for its images.
PROBES, BATCH = 5, 16
#: The step of differences, in units of the direction: their error is then below 1e-5 of the derivative.
STEP = 1e-4
#: Functions without kinks, and those that only move numbers. What is not among them may have kinks.
_SMOOTH = frozenset(
    (
        *("linear", "conv2d", "gelu", "silu", "sigmoid", "tanh", "softplus", "softmax", "layer_norm", "erf"),
        *(
            "group_norm",
            "batch_norm",
            "matmul",
            "__matmul__",
            "scaled_dot_product_attention",
            "add",
            "__add__",
        ),
        *(
            "__radd__",
            "sub",
            "__sub__",
            "__rsub__",
            "mul",
            "__mul__",
            "__rmul__",
            "div",
            "__truediv__",
            "mean",
        ),
        *("sum", "cat", "stack", "flatten", "unflatten", "reshape", "view", "expand", "permute", "transpose"),
        *("contiguous", "unbind", "chunk", "split", "__getitem__", "__get__", "size", "dim", "dropout"),
        *("squeeze", "unsqueeze", "adaptive_avg_pool2d", "avg_pool2d", "mish", "exp", "movedim", "clone"),
    )
)


#: Finds the second derivative at zero of a function of one number.
Way = Callable[[Callable[[torch.Tensor], torch.Tensor], torch.Tensor], torch.Tensor]


class _WrittenOut(TorchFunctionMode):
    """Normalises by means and roots: PyTorch's own ways are wrong at the second derivative (2.14).

    Of a gated linear unit it has none.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func is F.layer_norm:
            return _layer_norm(*args, **named)
        if func is F.group_norm:
            return _group_norm(*args, **named)
        if func is F.glu:
            return _glu(*args, **named)
        if func is F.instance_norm:
            raise StepFailed("a network with instance normalisation has no trace of the Hessian here")
        return func(*args, **named)


def _glu(input: torch.Tensor, dim: int = -1) -> torch.Tensor:
    values, gates = input.chunk(2, dim)
    return values * gates.sigmoid()


def _layer_norm(
    input: torch.Tensor,
    normalized_shape: Sequence[int],
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    axes = tuple(range(-len(normalized_shape), 0))
    centred = input - input.mean(axes, keepdim=True)
    found = centred * (centred.square().mean(axes, keepdim=True) + eps).rsqrt()
    found = found if weight is None else found * weight
    return found if bias is None else found + bias


def _group_norm(
    input: torch.Tensor,
    num_groups: int,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    apart = input.reshape(len(input), num_groups, -1, *input.shape[2:])
    found = _layer_norm(apart, apart.shape[2:], None, None, eps).reshape(input.shape)
    shape = (1, -1, *[1] * (input.dim() - 2))
    found = found if weight is None else found * weight.reshape(shape)
    return found if bias is None else found + bias.reshape(shape)


def estimated(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, mask: Mask
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each image the traces over weights, over weights in units of themselves, and over its pixels.

    Each is float64 ``[N]``, the mean over ``PROBES`` directions; see ``curvature.Traces``.
    """
    way = second_derivative
    if called(model, images[:1]) <= _SMOOTH:
        model, images, way = deepcopy(model).double(), images.double(), second_difference
    parts = [
        _batch(model, images[start : start + BATCH], labels[start : start + BATCH], mask, start // BATCH, way)
        for start in range(0, len(labels), BATCH)
    ]
    weights, scaled, pixels = (torch.cat(found) for found in zip(*parts, strict=True))
    return weights, scaled, pixels


def along(
    model: nn.Module, images: torch.Tensor, labels: torch.Tensor, direction: dict[str, torch.Tensor]
) -> torch.Tensor:
    """For each image, the second derivative of its cross-entropy along a direction of the parameters.

    Float64 ``[N]``. Along an eigenvector of the mean Hessian their mean is the eigenvalue; by how much the
    eigenvalue changes with the weight of an image is how far its derivative is from the mean.
    """
    values = {name: p.detach() for name, p in model.named_parameters()}

    def part(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        def loss(t: torch.Tensor) -> torch.Tensor:
            moved = {n: values[n] + t * v for n, v in direction.items()}
            return F.cross_entropy(_called(model, moved, x), y, reduction="none")

        return second_derivative(loss, x).double()

    pairs = zip(torch.split(images, BATCH), torch.split(labels, BATCH), strict=True)
    return torch.cat([part(x, y) for x, y in pairs])


def _batch(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, mask: Mask, place: int, way: Way
) -> tuple[torch.Tensor, ...]:
    values = {name: p.detach() for name, p in model.named_parameters()}
    totals = torch.zeros(3, len(y), dtype=torch.float64, device=x.device)

    def bends(weights: dict[str, torch.Tensor], pixels: torch.Tensor | None = None) -> torch.Tensor:
        def loss(t: torch.Tensor) -> torch.Tensor:
            moved = {n: values[n] + t * v for n, v in weights.items()}
            seen = x if pixels is None else x + t * pixels
            return F.cross_entropy(_called(model, moved, seen), y, reduction="none")

        return way(loss, x).double()

    for probe in range(PROBES):
        draw = generator("directions", place, probe)
        signs = {n: _signs(p, draw) for n, p in values.items()}
        for name, keep in mask.items():
            if name in signs:
                signs[name] = signs[name] * keep.to(signs[name].device)
        totals[0] += bends(signs)
        totals[1] += bends({n: v * values[n] for n, v in signs.items()})
        totals[2] += bends({}, _signs(x, draw))
    return tuple(totals / PROBES)


def _called(model: nn.Module, values: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """The logits with other values of parameters, by the names of ``named_parameters``.

    A layer has them once though it stands in a network twice, which PyTorch's own names for what is shared
    do not see to: it would be left with them.
    """
    names: dict[nn.Parameter, str] = {}
    put = {}
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(prefix=path, recurse=False):
            known = names.setdefault(parameter, name)
            if known in values:
                put[name] = values[known]
    logits: torch.Tensor = functional_call(model, put, (images,), tie_weights=False)
    return logits


@torch.no_grad()
def second_difference(function: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """``second_derivative`` of a smooth function, by a central difference; for float64."""
    step = torch.full((), STEP, dtype=like.dtype, device=like.device)
    ends = function(step) + function(-step)
    return (ends - 2.0 * function(torch.zeros_like(step))) / STEP**2


def second_derivative(function: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor) -> torch.Tensor:
    """The second derivative at zero of a function of one number, which has the type and place of ``like``."""
    zero = torch.zeros((), dtype=like.dtype, device=like.device)
    one = torch.ones_like(zero)

    def first(t: torch.Tensor) -> torch.Tensor:
        slope: torch.Tensor = jvp(function, (t,), (one,))[1]
        return slope

    with warnings.catch_warnings(), _WrittenOut(), sdpa_kernel(SDPBackend.MATH):
        warnings.simplefilter("ignore")  # PyTorch makes ready what it then says is old
        found: torch.Tensor = jvp(first, (zero,), (one,))[1]
    return found


def _signs(like: torch.Tensor, draw: torch.Generator) -> torch.Tensor:
    """Signs at random in the shape of a tensor, drawn on the CPU."""
    return (torch.randint(0, 2, like.shape, generator=draw) * 2 - 1).to(like)
