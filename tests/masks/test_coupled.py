"""Channels that go together: found where they are added or put beside others, masked, and cut out."""

import copy
import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lthbench import masks
from lthbench.kinds import Architecture
from lthbench.masks import coupled, structured
from lthbench.masks.compaction import compact
from lthbench.registry import get

#: Narrow networks, the size of their images, and how many groups and units more than alone can go.
NARROW = {
    "resnet8": ((8, 8, 12, 16), 8, 0, 0),
    "resnet18": ((4, 4, 6, 8, 10), 16, 4, 4 + 6 + 8 + 10),
    "resnet50": ((4, 4, 4, 6, 6), 32, 4, 4 * (4 + 4 + 6 + 6)),
    "wrn28-10": ((4, 6, 6, 8), 16, 3, 6 + 6 + 8),
    "googlenet": ((4, 3, 5, *((3, 4, 2, 3, 4, 2) * 9)), 32, 36, 9 * (3 + 2 + 4 + 2)),
    "vgg11": ((4, 4, 6, 6, 8, 8, 6, 6), 32, 0, 0),
}


def drawn(network, name):
    widths, size, *_ = NARROW[name]
    torch.manual_seed(0)
    own = dataclasses.replace(network, architecture=name, size=size, widths=widths)
    model = get(Architecture, name).build(own)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.05, 0.2)
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.1, 0.3)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_uniform_(module.weight, a=1.0)
    return model.double().eval(), torch.rand(2, own.channels, size, size).double()


@torch.no_grad()
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n in ("resnet50", "googlenet") else n for n in NARROW]
)
def test_outputs_without_them_are_those_of_the_masked_network(network, name):
    model, images = drawn(network, name)
    found, alone = coupled.channels(model), structured.cuts(model)
    _, _, groups, units = NARROW[name]
    assert len(found.groups) == len(alone) + groups
    assert found.count == units + sum(len(model.get_parameter(f"{c.producer}.weight")) for c in alone)
    scores = {n: w.abs() for n, w in masks.prunable(model).items()}
    total = sum(w.numel() for w in scores.values())
    mask = coupled.top_coupled(model, scores, 0.5)
    kept = sum(int(mask[n].sum()) for n in scores)
    assert kept / total == pytest.approx(0.5, abs=0.04)
    masked = copy.deepcopy(model)
    masks.apply(masked, mask)
    smaller = compact(masked, mask)
    assert torch.allclose(smaller(images), masked(images), rtol=1e-9, atol=1e-9)
    assert sum(w.numel() for w in masks.prunable(smaller).values()) == kept
    assert not torch.allclose(masked(images), model(images))


class Sum(nn.Module):
    """A layer is added to another, and both beside a third."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.third = (nn.Conv2d(1, 3, 3, padding=1) for _ in range(3))
        self.last = nn.Conv2d(6, 2, 1)

    def forward(self, x):
        made = F.relu(self.one(x) + self.other(x))
        return self.last(torch.cat([made, self.third(x)], 1)).mean((2, 3))


class Turned(Sum):
    """Their channels are turned round on the way."""

    def forward(self, x):
        return self.last(torch.cat([(self.one(x) + self.other(x)).flip(1), self.third(x)], 1)).mean((2, 3))


def test_what_is_added_is_one_unit_and_the_smallest_sum_goes_first():
    model = Sum()
    found = coupled.channels(model)
    assert [g.tolist() for g in found.groups] == [[0, 1, 2], [3, 4, 5]]
    assert torch.equal(found.made["one"], found.made["other"])
    assert found.reads["last"].tolist() == [0, 1, 2, 3, 4, 5]
    assert found.made["last"].tolist() == [-1, -1]
    with torch.no_grad():
        sizes = {"one": (5.0, 1.0, 3.0), "other": (1.0, 2.0, 2.0), "third": (1.0, 2.0, 3.0)}
        for layer, values in sizes.items():
            weight = torch.tensor(values).reshape(3, 1, 1, 1).expand(3, 1, 3, 3)
            model.get_parameter(f"{layer}.weight").copy_(weight)
    scores = {n: w.detach().abs() for n, w in masks.prunable(model).items()}
    mask = coupled.top_coupled(model, scores, 0.7)
    rows = {layer: mask[f"{layer}.weight"].flatten(1).all(1).tolist() for layer in ("one", "other", "third")}
    assert rows == {"one": [True, False, True], "other": [True, False, True], "third": [False, True, True]}
    assert mask["one.bias"].tolist() == [True, False, True]
    assert mask["last.weight"][0, :, 0, 0].tolist() == [True, False, True, False, True, True]


def test_what_may_move_channels_binds_them():
    found = coupled.channels(Turned())
    assert [g.tolist() for g in found.groups] == []
    assert found.made["one"].tolist() == [-1, -1, -1]


class Twice(nn.Module):
    """Two convolutions, and a linear layer over what a function makes of them."""

    def __init__(self, features, function):
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.last = nn.BatchNorm2d(8), nn.Linear(features, 4)
        self.function = function

    def forward(self, x):
        return self.last(self.function(self, F.relu(self.one(x))))


def _at(x, size):
    return F.adaptive_avg_pool2d(x, size).flatten(1)


#: What networks make of their first maps, their features, and whether any channel can go; none goes alone.
TWICE = {
    "put beside itself": (lambda m, x: torch.cat([x, x], 1).mean((2, 3)), 16, True),
    "flattened at two sizes": (lambda m, x: torch.cat([_at(x, 4), _at(m.other(x), 2)], 1), 160, False),
    "flattened at one pixel": (lambda m, x: torch.cat([_at(x, 1), _at(m.other(x), 1)], dim=1), 16, True),
    "called twice": (lambda m, x: m.other(F.relu(m.other(x))).mean((2, 3)), 8, False),
    "called twice, and added": (lambda m, x: (m.other(x) + m.other(m.other(x))).mean((2, 3)), 8, False),
    "normalised twice": (lambda m, x: m.norm(m.other(m.norm(x))).mean((2, 3)), 8, False),
}


@torch.no_grad()
@pytest.mark.parametrize("form", TWICE)
def test_what_is_used_twice_loses_nothing_that_a_second_use_needs(form):
    function, features, possible = TWICE[form]
    torch.manual_seed(0)
    model, images = Twice(features, function).double().eval(), torch.rand(3, 3, 8, 8).double()
    assert structured.cuts(model) == []
    assert bool(coupled.channels(model).groups) == possible
    if possible:
        mask = coupled.top_coupled(model, {n: w.abs() for n, w in masks.prunable(model).items()}, 0.5)
        masks.apply(model, mask)
        assert torch.allclose(compact(model, mask)(images), model(images), atol=1e-12)
