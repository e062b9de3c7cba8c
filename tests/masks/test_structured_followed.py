"""What channels are followed through, on networks of two layers."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lthbench.masks import structured


class Chain(nn.Module):
    """Two convolutions with something between them, and perhaps a linear layer on flattened maps."""

    def __init__(self, between, head=False):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.between = between
        self.second = nn.Linear(6 * 16, 2) if head else nn.Conv2d(6, 2, 1)

    def forward(self, x):
        return self.second(self.between(self.first(x)))


class Do(nn.Module):
    """A function as a module that tracing looks into."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "possible"),
    [
        (lambda x: F.dropout(x.relu(), 0.5, False), True),
        (lambda x: x.mean((2, 3), keepdim=True), True),
        (lambda x: torch.mean(x, dim=(-1, -2), keepdim=True), True),
        (lambda x: x.mean(3, keepdim=True), True),
        (lambda x: x + x.mean(1, keepdim=True), False),
        (lambda x: x.mean(1, keepdim=True), False),
        (lambda x: torch.mean(x, (1, 2, 3)), False),
        (lambda x: x.mean(), False),
        (lambda x: x.flip(1), False),
        (lambda x: x * x.sigmoid(), False),
        (lambda x: torch.cat([x[:, :3], x[:, 3:]], 1), False),
    ],
)
def test_channels_are_followed_through_what_keeps_them_apart(function, possible):
    assert [c.producer for c in structured.cuts(Chain(Do(function)))] == ["first"] * possible


@pytest.mark.parametrize(
    "flatten", [nn.Flatten(), Do(lambda x: x.flatten(1)), Do(lambda x: torch.flatten(x, start_dim=1))]
)
def test_a_linear_layer_loses_all_pixels_of_a_channel(flatten):
    model = Chain(flatten, head=True)
    (cut,) = structured.cuts(model)
    mask = structured.mask_without(model, [cut], {"first": torch.arange(6) != 2})
    gone = (~mask["second.weight"]).nonzero()
    assert set(gone[:, 0].tolist()) == {0, 1}
    assert set(gone[:, 1].tolist()) == set(range(32, 48))


def test_flattening_that_moves_channels_is_not_followed():
    assert structured.cuts(Chain(nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (-1, 96))), head=True)) == []
    assert structured.cuts(Chain(Do(lambda x: x.flatten(2)))) == []


def test_grouped_convolutions_stay():
    model = nn.Sequential(nn.Conv2d(3, 6, 1), nn.Conv2d(6, 6, 1, groups=3), nn.Conv2d(6, 2, 1))
    assert structured.cuts(model) == []


def test_finding_cuts_leaves_the_network_as_it_is():
    model = Chain(nn.Sequential(nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout()))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    training = structured.cuts(model)
    assert all(m.training for m in model.modules())
    assert structured.cuts(model.eval()) == training == [structured.Cut("first", ("between.0",), ("second",))]
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
