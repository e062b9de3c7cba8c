"""LAMP against its definition, written as loops, and its property that no layer is emptied."""

import pytest
import torch
from torch import nn

from lthbench import masks
from lthbench.compute.rng import generator
from lthbench.methods import lamp
from lthbench.planning import plan, request
from lthbench.spec import Rewind


def by_loops(weights):
    """Equation 1: of two equal weights the earlier one has the lower index, so it counts the later one."""
    flat = weights.reshape(-1).tolist()
    scores = []
    for i, w in enumerate(flat):
        larger = sum(v * v for j, v in enumerate(flat) if v * v > w * w or (v * v == w * w and j >= i))
        scores.append(w * w / larger)
    return torch.tensor(scores, dtype=torch.float64).reshape(weights.shape)


@pytest.fixture
def layers():
    """Two convolutions, one of much smaller weights, with equal weights and zeros among them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Conv2d(3, 4, 1))
    with torch.no_grad():
        model[1].weight.mul_(1e-3)
        model[0].weight[0] = model[0].weight[1]
        model[0].weight[2, 0] = 0.0
    return model


def test_a_score_is_that_of_the_definition(layers):
    scores = lamp.relative(layers, iter(()), generator())
    for name, weight in masks.prunable(layers).items():
        assert torch.allclose(scores[name], by_loops(weight.detach().double()), rtol=1e-12, atol=0.0)
        assert scores[name].max() == 1.0


def test_no_layer_is_emptied_where_magnitude_empties_one(layers):
    kept = masks.count(masks.top(lamp.relative(layers, iter(()), generator()), 0.2))
    assert all(k > 0 for k, _ in kept.values())
    by_size = {n: w.detach().abs() for n, w in masks.prunable(layers).items()}
    assert masks.collapsed(masks.top(by_size, 0.2)) == ["1.weight"]


def test_it_prunes_once_or_in_rounds(tiny_task):
    asked = request.ask(tiny_task, ["lamp", "lamp:iterative"], rounds=[2], seeds=1, metrics=["accuracy"])
    dense, once, often = (e.network for e in plan.plan(asked, (), data_needed=False).entries)
    assert once.mask.given == dense
    assert isinstance(once.start, Rewind)
    assert once.start.train == dense
    assert often.start == once.start
    assert often.mask.given.mask.given == dense
    assert often.mask.density < often.mask.given.mask.density
