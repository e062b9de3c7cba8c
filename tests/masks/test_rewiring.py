"""RigL: what is dropped, what grows, and that each layer keeps its number of weights."""

import dataclasses

import pytest
import torch
from torch import nn

from lthbench import masks
from lthbench.data import loading
from lthbench.kinds import Architecture
from lthbench.masks.rewiring import Rewiring
from lthbench.methods import rigl
from lthbench.registry import get
from lthbench.spec import Rewire
from lthbench.training import loop


def one_layer(weights, kept, gradients, rewire=None):
    """A layer as it is in training: weight, gradient, mask, and momentum 1 everywhere."""
    weight = nn.Parameter(torch.tensor(weights))
    weight.grad = torch.tensor(gradients)
    keep = torch.tensor(kept)
    optimizer = torch.optim.SGD([weight], lr=0.1, momentum=0.9)
    optimizer.state[weight]["momentum_buffer"] = torch.ones_like(weight)
    return Rewiring(rewire or Rewire(0.5, 0.0, 1, 1.0), [(weight, keep)], optimizer, 1000, 0), weight, keep


def test_the_smallest_go_and_the_steepest_grow_from_zero():
    wiring, weight, keep = one_layer(
        [0.5, -0.1, 0.9, 0.2, 0.0, 0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        [9.0, 0.3, 9.0, 0.1, -5.0, 0.2, 0.4, 0.0],
    )
    wiring.change(0)  # half of four go: -0.1 and 0.2; -5.0 and 0.4 pull hardest
    assert keep.tolist() == [1, 0, 1, 0, 1, 0, 1, 0]
    assert torch.equal(weight.detach(), torch.tensor([0.5, 0.0, 0.9, 0.0, 0.0, 0.0, 0.0, 0.0]))
    momentum = wiring.optimizer.state[weight]["momentum_buffer"]
    assert momentum.tolist() == [1, 0, 1, 0, 0, 0, 0, 0]


def test_what_grows_has_neither_moment_of_adamw():
    wiring, weight, _ = one_layer(
        [0.5, -0.1, 0.9, 0.2, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0, 0.0, 0.0], [9.0, 0.3, 9.0, 0.1, -5.0, 0.4]
    )
    wiring.optimizer = torch.optim.AdamW([weight], lr=0.1)
    state = wiring.optimizer.state[weight]
    moments = {"exp_avg": torch.ones_like(weight), "exp_avg_sq": torch.ones_like(weight)}
    state.update(moments, step=torch.tensor(7.0))
    wiring.change(0)  # -0.1 and 0.2 go, the last two grow
    assert state["exp_avg"].tolist() == state["exp_avg_sq"].tolist() == [1, 0, 1, 0, 0, 0]
    assert float(state["step"]) == 7.0


def published(weights, kept, gradients, momentum, share):
    """One update of a layer as the authors' ``generic_mask_update`` has it, ``reinit_when_same=False``."""
    keep = [i for i, k in enumerate(kept) if k]
    count = int(share * len(keep))
    stay = sorted(keep, key=lambda i: -abs(weights[i]))[: len(keep) - count]
    open_to_growth = [i for i in range(len(kept)) if i not in stay]
    grow = sorted(open_to_growth, key=lambda i: -abs(gradients[i]))[:count]
    mask = [float(i in stay or i in grow) for i in range(len(kept))]
    new = [i for i in grow if not kept[i]]
    clear = [mask[i] == 0 or i in new for i in range(len(kept))]
    return (
        mask,
        [0.0 if c else w for c, w in zip(clear, weights, strict=True)],
        [0.0 if c else m for c, m in zip(clear, momentum, strict=True)],
    )


def test_what_was_just_dropped_may_grow_again_and_keeps_its_value_and_momentum():
    wiring, weight, keep = one_layer([0.5, -0.1, 0.0], [1.0, 1.0, 0.0], [0.0, 7.0, 0.1])
    wiring.change(0)
    assert keep.tolist() == [1, 1, 0]
    assert torch.equal(weight.detach(), torch.tensor([0.5, -0.1, 0.0]))
    assert wiring.optimizer.state[weight]["momentum_buffer"].tolist() == [1, 1, 0]


def test_an_update_is_that_of_the_authors_code():
    draw = torch.Generator().manual_seed(0)
    regrown = 0
    for share in (0.1, 0.3, 0.5, 0.9):
        kept = (torch.rand(200, generator=draw) < 0.4).float()
        weights, gradients = (torch.randn(200, generator=draw) for _ in range(2))
        weights *= kept
        wiring, weight, keep = one_layer(
            weights.tolist(), kept.tolist(), gradients.tolist(), Rewire(share, share, 1, 1.0)
        )
        momentum = wiring.optimizer.state[weight]["momentum_buffer"]
        momentum.copy_(torch.randn(200, generator=draw) * kept)
        mask, values, moving = published(
            weights.tolist(), kept.tolist(), gradients.tolist(), momentum.tolist(), share
        )
        wiring.change(0)
        assert keep.tolist() == mask
        assert weight.tolist() == values
        assert momentum.tolist() == moving
        small = weights[kept > 0].abs().sort().values[int(share * int(kept.sum()))]
        regrown += int(((weight.detach() != 0) & (weights.abs() < small)).sum())
    assert regrown > 20, "the case in question should be among them"


def test_the_share_falls_along_a_cosine_to_its_end():
    wiring, _, _ = one_layer([0.0], [1.0], [0.0], Rewire(0.3, 0.1, 100, 0.75))
    assert wiring.fraction(0) == pytest.approx(0.3)
    assert wiring.fraction(375) == pytest.approx(0.2)
    assert wiring.fraction(750) == pytest.approx(0.1)
    assert [s for s in range(1000) if wiring.due(s)] == [100, 200, 300, 400, 500, 600, 700]
    wiring, _, _ = one_layer([0.0], [1.0], [0.0], Rewire(0.3, 0.1, 250, 0.75))
    assert [s for s in range(1000) if wiring.due(s)] == [250, 500], "the last is no longer one"


@pytest.mark.parametrize("change", [{}, {"optimizer": "adamw", "nesterov": False, "lr": 0.003}])
def test_a_training_moves_its_mask_and_keeps_every_layers_count(network, recipe, change):
    torch.manual_seed(0)
    model = get(Architecture, "resnet8").build(network)
    scores = {n: torch.rand(w.shape) for n, w in masks.prunable(model).items()}
    mask = masks.top(scores, 0.2, allocation="erk")
    images = loading.subset(loading.load("digits", "train", ()), 320)
    recipe = dataclasses.replace(recipe, epochs=4, **change)
    done = loop.train(model, images, recipe, 0, mask, rewire=Rewire(0.3, 0.0, 4, 0.75))
    assert masks.count(done.mask) == masks.count(mask)
    moved = sum(int((done.mask[n] & ~mask[n]).sum()) for n in mask)
    assert moved > 0.1 * sum(k for k, _ in masks.count(mask).values())
    for name, weight in masks.prunable(model).items():
        assert not weight[~done.mask[name]].any()
        for moments in (done.momentum, done.squares) if change else (done.momentum,):
            assert not moments[name][~done.mask[name]].any()


def test_the_erk_densities_of_resnet20_are_those_of_the_rule():
    """At 20.97 % density; the figures are from the rule of Evci et al. 2020 over convolutions alone."""
    widths = {
        "conv1": (16, 3),
        "layer1.0.conv1": (16, 16),
        "layer2.1.conv1": (32, 32),
        "layer3.2.conv2": (64, 64),
    }
    shapes = {"conv1": (16, 3, 3, 3)}
    for stage, (width, before) in enumerate(((16, 16), (32, 16), (64, 32)), 1):
        for block in range(3):
            first = before if block == 0 else width
            shapes[f"layer{stage}.{block}.conv1"] = (width, first, 3, 3)
            shapes[f"layer{stage}.{block}.conv2"] = (width, width, 3, 3)
    kept = masks.allocated(shapes, 0.8**7, "erk")
    assert sum(kept.values()) == round(0.8**7 * 267_696)
    expected = {"conv1": 1.0, "layer1.0.conv1": 0.654, "layer2.1.conv1": 0.301, "layer3.2.conv2": 0.144}
    for name, (after, before) in widths.items():
        assert kept[name] / (after * before * 9) == pytest.approx(expected[name], abs=6e-4)


def test_rigl_uses_the_published_constants():
    assert dataclasses.astuple(rigl.RIGL)[:4] == (0.3, 0.0, 100, 0.75)
