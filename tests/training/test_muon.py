"""Muon's steps are those of its paper, and leave pruned weights alone."""

import dataclasses
import math
from copy import deepcopy

import pytest
import torch

from lthbench import masks
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.kinds import Architecture, Images
from lthbench.kinds.recipes import check_recipe
from lthbench.registry import get
from lthbench.spec import Rewire
from lthbench.training import batches, loop, optimization
from lthbench.training.muon import COEFFICIENTS, Muon, orthogonal

MUON = {"optimizer": "muon", "lr": 0.1, "nesterov": True}
MUON |= {"matrix_lr": 0.05, "matrix_momentum": 0.8, "matrix_decay": 0.2}


@pytest.fixture(scope="module")
def images():
    """Some digits."""
    return loading.subset(loading.load("digits", "train", ()), 160)


@pytest.fixture
def model(network):
    """A freshly drawn ResNet-8."""
    torch.manual_seed(0)
    return get(Architecture, "resnet8").build(network)


def random_mask(model, density):
    draw = torch.Generator().manual_seed(0)
    scores = {n: torch.rand(w.shape, generator=draw) for n, w in masks.prunable(model).items()}
    return masks.top(scores, density)


def by_singular_values(matrix):
    """The iteration on singular values alone: odd polynomials of a matrix change nothing else."""
    u, s, v = torch.linalg.svd(matrix, full_matrices=False)
    s = s / (s.square().sum().sqrt() + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(5):
        s = a * s + b * s**3 + c * s**5
    return u @ torch.diag(s) @ v, s


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (5, 5), (1, 9)])
def test_matrices_become_orthogonal(shape):
    draw = torch.Generator().manual_seed(1)
    matrices = torch.randn((3, *shape), generator=draw, dtype=torch.float64)
    for found, matrix in zip(orthogonal(matrices), matrices, strict=True):
        expected, values = by_singular_values(matrix)
        assert torch.allclose(found, expected, atol=1e-9)
        assert values.min() > 0.6
        assert values.max() < 1.25
    assert not orthogonal(torch.zeros(1, *shape)).any()


@pytest.mark.parametrize("density", [1.0, 0.3])
def test_steps_are_those_of_the_paper(model, images, recipe, density):
    """Three steps by hand in double precision; the first convolution and all else move by SGD."""
    recipe = dataclasses.replace(recipe, epochs=3, warmup_epochs=0.0, crop_padding=0, **MUON)
    images = Images(images.pixels[:32], images.labels[:32])
    mask = random_mask(model, density) if density < 1 else {}
    twin = deepcopy(model.double()).train()
    masks.apply(twin, mask)
    named = dict(twin.named_parameters())
    matrices = [n for n, p in named.items() if p.dim() == 4 and n != "conv1.weight"]
    assert len(matrices) == 6
    momentum = {n: torch.zeros_like(p) for n, p in named.items()}
    for step in range(3):
        pixels, labels = batches.padded(images, 0, torch.device("cpu"))
        batch, target = next(batches.epoch_of(pixels, labels, recipe, 0, step))
        twin.zero_grad()
        torch.nn.functional.cross_entropy(twin(batch.double()), target).backward()
        falling = optimization.learning_rate(recipe, step, 1.0) / 0.1
        with torch.no_grad():
            for name, p in named.items():
                g = p.grad * mask.get(name, True)
                if name not in matrices:
                    g = g + recipe.weight_decay * p
                kept = 0.8 if name in matrices else recipe.momentum
                momentum[name] = kept * momentum[name] + g
                ahead = g + kept * momentum[name]
                if name in matrices:
                    moved = by_singular_values(ahead.flatten(1))[0].view(p.shape) * mask.get(name, True)
                    p.mul_(1 - 0.05 * falling * 0.2).sub_(0.05 * falling * moved)
                else:
                    p.sub_(0.1 * falling * ahead)
    done = loop.train(model, images, recipe, 0, mask)
    for name, p in model.named_parameters():
        assert torch.allclose(p, named[name], atol=1e-7), name
        assert torch.allclose(done.momentum[name], momentum[name], atol=1e-9)


def test_a_convolution_moves_as_a_matrix_does_by_torch():
    """Their iteration is in bfloat16, and so are the differences."""
    draw = torch.Generator().manual_seed(2)
    first, weight = torch.nn.Conv2d(3, 4, 3).weight, torch.nn.Conv2d(4, 40, 3).weight
    twin = torch.nn.Parameter(weight.detach().flatten(1).clone())
    theirs = torch.optim.Muon([twin], lr=0.03, weight_decay=0.1, momentum=0.9, nesterov=True, ns_steps=5)
    others = torch.optim.SGD([first], lr=0.06, momentum=0.9, nesterov=True)
    ours = Muon([weight], others, rate=0.5, momentum=0.9, decay=0.1)
    before = twin.detach().clone()
    for _ in range(3):
        weight.grad = torch.randn(weight.shape, generator=draw)
        twin.grad = weight.grad.flatten(1).clone()
        ours.step()
        theirs.step()
    assert (weight.flatten(1) - twin).norm() < 0.02 * (twin - before).norm()


def test_kernels_of_other_shapes_move_as_each_alone():
    """As in networks with kernels of 1 x 7 and 7 x 1, whose matrices have as many rows and columns."""
    shapes = [(8, 4, 1, 7), (8, 4, 7, 1), (8, 28, 1, 1), (8, 4, 1, 7)]
    torch.manual_seed(0)
    pulls = [torch.randn(shape) for shape in shapes]

    def moved(chosen):
        weights: list[torch.Tensor] = [torch.nn.Parameter(torch.zeros(shapes[i])) for i in chosen]
        others = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, nesterov=True, momentum=0.9)
        optimizer = Muon(weights, others, rate=1.0, momentum=0.9, decay=0.1)
        for weight, i in zip(weights, chosen, strict=True):
            weight.grad = pulls[i]
        optimizer.step()
        return [weight.detach() for weight in weights]

    for i, together in enumerate(moved(range(4))):
        (alone,) = moved([i])
        assert torch.allclose(together, alone, atol=1e-6)
        assert together.norm() > 0.1


def test_weights_that_are_computed_from_others_move_by_sgd(images, recipe):
    """A convolution with weight normalisation, and networks with one convolution or none."""

    def network(*layers):
        torch.manual_seed(0)
        return torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.LazyLinear(10))

    def convolution(inside):
        return torch.nn.Conv2d(inside, 4, 3)

    recipe = dataclasses.replace(recipe, **MUON)
    normed = torch.nn.utils.parametrizations.weight_norm(convolution(4))
    for model in (network(convolution(1), normed, convolution(4)), network(convolution(1)), network()):
        model(torch.zeros(2, 1, 8, 8))
        made = optimization.optimizer_of(model, recipe)
        moved = [p for group in made.param_groups for p in group["params"]]
        assert {id(p) for p in moved} == {id(p) for p in model.parameters()}
        assert len(made.param_groups[0]["params"]) == (len(model) == 5)
        losses = loop.train(model, images, recipe, 0).losses
        assert losses[-1] < losses[0]


@pytest.mark.parametrize("rewire", [None, Rewire(0.3, 0.0, 4, 0.75), Rewire(0.0, 0.0, 4, 0.75, density=0.2)])
def test_pruned_weights_stay_exactly_zero(model, images, recipe, rewire):
    recipe = dataclasses.replace(recipe, epochs=4, **MUON)
    mask = random_mask(model, 1.0 if rewire and rewire.density else 0.3)
    done = loop.train(model, images, recipe, 0, mask, rewire=rewire)
    held = mask if rewire is None else done.mask
    if rewire is not None:
        assert any((held[n] != mask[n]).any() for n in mask)
    for name, weight in masks.prunable(model).items():
        assert not weight[~held[name]].any()
        assert not done.momentum[name][~held[name]].any()
    assert done.losses[-1] < done.losses[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"matrix_lr": None}, "matrix_lr: optimizer muon needs"),
        ({"matrix_lr": 0.0}, "matrix_lr: must be positive"),
        ({"matrix_momentum": 1.0}, "matrix_momentum: must be below 1"),
        ({"matrix_decay": math.nan}, "matrix_decay: must be positive and finite"),
        ({"optimizer": None}, "matrix_lr: is of optimizer muon alone"),
        (
            {"optimizer": "adamw", "nesterov": False, "matrix_lr": None, "matrix_momentum": None},
            "matrix_decay: is of optimizer muon alone",
        ),
    ],
)
def test_recipes_have_what_muon_needs(recipe, change, said):
    check_recipe(dataclasses.replace(recipe, **MUON), "here")
    with pytest.raises(BadInput, match=said):
        check_recipe(dataclasses.replace(recipe, **{**MUON, **change}), "here")
