"""Activations rounded as quantised networks round them: fake quantisation, in float32.

Gradients pass through the rounding as if it were not there, and not through what is clamped (the
straight-through estimator), as in training under fake quantisation.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

#: The ways of rounding: what a layer puts out, by a scale; what it reads, each token by its largest number.
OUTPUT, TOKENS = "output", "tokens"
#: torchao's scale is the largest number over half the range of int8, and at least float32's epsilon.
_HALF, _EPSILON = 127.5, torch.finfo(torch.float32).eps


def round_activations(model: nn.Module, ways: Iterable[tuple[str, str, float, int, int]]) -> None:
    """Make layers round their activations: ``(name, way, scale, zero, levels)``, for each of them.

    Outputs go to the integers from 0 to ``levels``, ``scale`` apart, with ``zero`` for zero. Parameters keep
    their names. Graphs of the network have the layers' operations, and not the layers.
    """
    for name, way, *numbers in ways:
        layer: Any = model.get_submodule(name)
        layer.__class__ = _rounding(type(layer), way)
        layer.rounding = tuple(numbers)


def _rounding(kind: type[nn.Module], way: str) -> type[nn.Module]:
    """A kind of layer that rounds; of another module than torch's, so that graphs look into it."""

    def forward(self: Any, x: torch.Tensor, *more: Any) -> torch.Tensor:
        if way == TOKENS:
            return kind.forward(self, by_token(x), *more)  # type: ignore[no-any-return]
        scale, zero, levels = self.rounding
        return to_levels(kind.forward(self, x, *more), scale, zero, levels)

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": __name__})


def to_levels(x: torch.Tensor, scale: float, zero: int, levels: int) -> torch.Tensor:
    """``x`` rounded to the integers from 0 to ``levels``, ``scale`` apart, with ``zero`` for zero."""
    try:
        return torch.fake_quantize_per_tensor_affine(x, scale, zero, 0, levels)
    except NotImplementedError:  # forward derivatives, which PyTorch's own has not
        value = x.detach()
        place = (value / scale).round() + zero
        passed = torch.where((place >= 0) & (place <= levels), x, value)
        return passed + ((place.clamp(0, levels) - zero) * scale - passed.detach())


def by_token(x: torch.Tensor) -> torch.Tensor:
    """``[..., features]`` rounded to 8 bits, by a scale for each row."""
    scale = (x.detach().abs().amax(-1, keepdim=True) / _HALF).clamp(min=_EPSILON)
    levels = (x.detach() * (1.0 / scale)).round().clamp(-128, 127)
    return x + (levels * scale - x.detach())
