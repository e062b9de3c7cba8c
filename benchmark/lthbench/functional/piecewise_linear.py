"""Whether a network is piecewise linear in each single weight and in each single pixel.

It is told by the functions that it calls. Those that are known to be so are listed: any other may be curved,
and is taken to be. Of a product, no two factors may depend on the image.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

#: Piecewise linear in all arguments together: what moves numbers, adds them up or chooses among them.
_LINEAR = frozenset(
    (
        *("get", "getitem", "setitem", "size", "dim", "numel", "len", "shape", "stride", "contiguous"),
        *("clone", "detach", "to", "type", "type_as", "float", "double", "half", "bfloat16", "cpu"),
        *("cuda", "reshape", "reshape_as", "view", "view_as", "expand", "expand_as", "permute"),
        *("transpose", "t", "movedim", "moveaxis", "swapaxes", "swapdims", "flatten", "unflatten"),
        *("squeeze", "unsqueeze", "unfold", "fold", "im2col", "repeat", "repeat_interleave", "tile"),
        *("roll", "flip", "chunk", "split", "tensor_split", "unbind", "select", "narrow"),
        *("index_select", "gather", "take", "take_along_dim", "cat", "concat", "concatenate", "stack"),
        *("hstack", "vstack", "diagonal", "tril", "triu", "masked_fill", "masked_select", "pad"),
        *("constant_pad_nd", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle"),
        *("native_channel_shuffle", "interpolate", "upsample", "identity", "add", "radd", "iadd"),
        *("sub", "rsub", "isub", "subtract", "neg", "positive", "sum", "mean", "nansum", "nanmean"),
        *("cumsum", "diff", "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d"),
        *("adaptive_avg_pool2d", "adaptive_avg_pool3d", "max_pool1d", "max_pool2d", "max_pool3d"),
        *("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
        *("max_pool1d_with_indices", "max_pool2d_with_indices", "max_pool3d_with_indices"),
        *("max_unpool1d", "max_unpool2d", "max_unpool3d", "relu", "relu6", "leaky_relu", "rrelu"),
        *("threshold", "hardtanh", "hardshrink", "softshrink", "abs", "absolute", "clamp", "clip"),
        *("clamp_min", "clamp_max", "maximum", "minimum", "max", "min", "amax", "amin", "median"),
        *("sort", "topk", "where", "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"),
        *("feature_alpha_dropout", "feature_dropout", "fake_quantize_per_tensor_affine"),
        *("fake_quantize_per_channel_affine", "round", "floor", "ceil", "sign", "heaviside", "eq"),
        *("ne", "lt", "le", "gt", "ge", "isnan", "isfinite", "argmax", "argmin", "argsort"),
        *("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty"),
        *("new_full",),
    )
)
#: Linear in each factor by itself: products, and layers with their weights.
_PRODUCTS = frozenset(
    (
        *("mul", "rmul", "imul", "multiply", "linear", "conv1d", "conv2d", "conv3d"),
        *("conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "batch_norm", "prelu"),
    )
)
#: Linear in what is divided.
_QUOTIENTS = frozenset(("div", "truediv", "itruediv", "true_divide", "divide"))


class _Bends(TorchFunctionMode):
    """Records the names of functions that may be curved in what requires gradients.

    And how many functions take each parameter, by its ``id``: those that make something of it, which a
    look at its shape or a comparison does not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.uses: Counter[int] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name, named = getattr(func, "__name__", "").strip("_"), kwargs or {}
        moving = [t for t in _tensors((args, named)) if t.requires_grad]
        if moving and not _straight(name, moving, args, named):
            self.names.add(name)
        made = func(*args, **named)
        leaves = [id(t) for t in moving if t.is_leaf]
        if leaves and any(t.requires_grad and id(t) not in leaves for t in _tensors(made)):
            self.uses.update(leaves)
        return made


def _straight(name: str, moving: list[torch.Tensor], args: Any, named: dict[str, Any]) -> bool:
    """Whether a function is piecewise linear in each of the numbers that move."""
    if name in _LINEAR:
        return True
    if name in _QUOTIENTS:
        return not any(t.requires_grad for t in _tensors((args[1:], named)))
    if name == "batch_norm" and (args[5] if len(args) > 5 else named.get("training")):
        return False  # by the statistics of the batch itself
    # Parameters are leaves; two factors that were computed may depend on the same pixel or weight.
    computed = sum(not t.is_leaf for t in moving)
    return name in _PRODUCTS and computed <= 1 and len({id(t) for t in moving}) == len(moving)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


@contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Lets a network's parameters require gradients meanwhile."""
    before = [(p, p.requires_grad) for p in model.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(True)
        yield
    finally:
        for parameter, required in before:
            parameter.requires_grad_(required)


def curved(model: nn.Module, images: torch.Tensor) -> list[str]:
    """What a network does to images ``[N, C, H, W]`` that may bend it between kinks: names of functions.

    None where it is piecewise linear in each single weight and pixel, as long as it uses each weight once.
    """
    return sorted(_seen(model, images).names)


def uses(model: nn.Module, images: torch.Tensor) -> dict[str, int]:
    """How many functions take each parameter of a network in a pass, by its name."""
    seen = _seen(model, images)
    return {name: seen.uses[id(parameter)] for name, parameter in model.named_parameters()}


@torch.enable_grad()
def _seen(model: nn.Module, images: torch.Tensor) -> _Bends:
    seen = _Bends()
    with differentiable(model):
        shown = images.detach().requires_grad_(True).clone()  # no leaf, as parameters are
        with seen:
            model(shown)
    return seen
