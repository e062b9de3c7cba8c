"""Rounded activations have the derivatives of the straight-through estimator, forwards as backwards."""

import pytest
import torch
from torch.func import jvp

from lthbench.functional.directional_curvature import second_derivative
from lthbench.inference.rounding import by_token, to_levels

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch makes ready what it then says is old
SCALE, ZERO, LEVELS = 0.1, 7, 15
X = torch.linspace(-1.2, 1.3, 26)
INSIDE = (X / SCALE).round().add(ZERO).sub(LEVELS / 2).abs() <= LEVELS / 2


def rounded(x):
    return to_levels(x, SCALE, ZERO, LEVELS)


def test_levels_are_those_of_pytorch_and_derivatives_pass_where_nothing_is_clamped():
    value, forwards = jvp(rounded, (X,), (torch.ones_like(X),))[:2]
    assert torch.allclose(value, torch.fake_quantize_per_tensor_affine(X, SCALE, ZERO, 0, LEVELS), atol=1e-6)
    x = X.clone().requires_grad_()
    (backwards,) = torch.autograd.grad(rounded(x).sum(), x)
    assert torch.equal(forwards, backwards)
    assert torch.equal(forwards, INSIDE.float())
    assert 0 < int(INSIDE.sum()) < len(X)


def test_second_derivatives_are_those_without_rounding():
    direction = torch.linspace(1, 2, len(X))
    found = second_derivative(lambda t: rounded(X + t * direction).square(), X)
    assert torch.allclose(found, 2 * direction.square() * INSIDE)
    found = second_derivative(lambda t: by_token((X + t * direction)[None]).square(), X)
    assert torch.allclose(found[0], 2 * direction.square())
