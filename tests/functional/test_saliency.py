"""GraSP and SynFlow against brute force, the identities that must hold, and what they cost."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from lthbench import masks
from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.kinds import Architecture
from lthbench.methods import grasp, snip, synflow
from lthbench.registry import get


@pytest.fixture(scope="module")
def batch():
    """Ten digits of each class, in [0, 1], float64."""
    images = loading.per_class(loading.load("digits", "train", ()), 10)
    return torch.from_numpy(images.pixels).double() / 255.0, torch.from_numpy(images.labels)


@pytest.fixture
def model(network):
    """ResNet-8 at initialisation, in training mode, float64."""
    torch.manual_seed(0)
    return get(Architecture, "resnet8").build(network).double().train()


def loss_of(model, images, labels):
    return F.cross_entropy(model(images) / grasp.TEMPERATURE, labels)


def gradients(model, images, labels):
    return torch.autograd.grad(loss_of(model, images, labels), list(masks.prunable(model).values()))


def test_grasp_is_the_hessian_vector_product_by_finite_differences(model, batch):
    weights = masks.prunable(model)
    g = gradients(model, *batch)
    scores = grasp.flow(model, iter([batch]), generator())
    step = 1e-7 / max(float(one.abs().max()) for one in g)  # short enough to meet no kink of a ReLU
    ahead, behind = {}, {}
    start = {n: w.detach().clone() for n, w in weights.items()}
    for shifted, sign in ((ahead, 1.0), (behind, -1.0)):
        with torch.no_grad():
            for (name, w), one in zip(weights.items(), g, strict=True):
                w.copy_(start[name] + sign * step * one)
        shifted.update(zip(weights, gradients(model, *batch), strict=True))
    for name in weights:
        product = (ahead[name] - behind[name]) / (2 * step)
        expected = start[name] * product
        assert torch.allclose(scores[name], expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())), (
            name
        )


def test_grasp_is_that_of_the_exact_hessian(batch):
    """On a network so small that its whole Hessian over the convolution can be written out."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(72, 10)).double()
    weight = model[0].weight

    def loss(w):
        return F.cross_entropy(
            torch.func.functional_call(model, {"0.weight": w}, batch[0]) / grasp.TEMPERATURE, batch[1]
        )

    hessian = torch.autograd.functional.hessian(loss, weight.detach()).reshape(18, 18)
    gradient = torch.func.grad(loss)(weight.detach()).reshape(18)
    expected = weight.detach().reshape(18) * (hessian @ gradient)
    scores = grasp.flow(model, iter([batch]), generator())["0.weight"].reshape(18)
    assert torch.allclose(scores, expected, rtol=1e-9)


def test_grasp_scores_sum_to_minus_the_squared_gradient_under_batch_statistics(model, batch):
    """Batch normalisation hides a layer's scale from the loss: H w = -g, and sum(w * H g) = -g . g."""
    squared = sum(float((one * one).sum()) for one in gradients(model, *batch))
    total = sum(float(s.sum()) for s in grasp.flow(model, iter([batch]), generator()).values())
    assert total == pytest.approx(-squared, rel=1e-3)


def test_batches_add_up(batch):
    """Without batch normalisation, scores of images shown in parts are those of all at once."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Conv2d(1, 2, 3, bias=False), nn.Tanh(), nn.Flatten(), nn.Linear(72, 10)).double()
    parts = [(batch[0][i : i + 30], batch[1][i : i + 30]) for i in range(0, 100, 30)]
    for score in (snip.sensitivity, grasp.flow):
        whole = score(model, iter([batch]), generator())["0.weight"]
        assert torch.allclose(score(model, iter(parts), generator())["0.weight"], whole, rtol=1e-9)


def test_many_classes_are_shown_fewer_images_each():
    assert [snip.SENSITIVITY.scored_per_class(k) for k in (10, 100, 200, 1000)] == [10, 10, 5, 1]
    assert synflow.FLOW.scored_per_class(10) == 0


# -------------------------------------------------------------------------------------------- SynFlow


def ones(size=8, channels=1):
    return iter([(torch.ones(1, channels, size, size), torch.zeros(1, dtype=torch.int64))])


@pytest.fixture
def deep():
    """ResNet-20 at initialisation with colour images."""
    torch.manual_seed(0)
    network = dataclasses.replace(
        get_network(), architecture="resnet20s", channels=3, size=32, mean=(0.5,) * 3, std=(0.2,) * 3
    )
    return get(Architecture, "resnet20s").build(network)


def get_network():
    from lthbench.spec import Network

    return Network("resnet8", 1, 10, 1, 8, (0.3,), (0.4,))


def test_synflow_is_conserved_at_every_cut(deep):
    """Tanaka et al. 2020, theorem 2: what flows into a cut flows out of it; here, within each block."""
    scores = synflow.flow(deep, ones(32, 3), generator())
    total = float(deep(torch.ones(1, 3, 32, 32, dtype=torch.float64)).sum().detach())
    flow = total - float(deep.fc.bias.abs().sum().detach())
    assert float(scores["conv1.weight"].sum()) == pytest.approx(flow, rel=1e-9)
    for name in scores:
        assert float(scores[name].min()) >= 0.0
        assert float(scores[name].sum()) <= flow * (1 + 1e-9)
        if name.endswith("conv2.weight"):
            assert float(scores[name].sum()) == pytest.approx(
                float(scores[name.replace("conv2", "conv1")].sum()), rel=1e-9
            )


def test_synflow_is_the_derivative_by_finite_differences(model):
    scores = synflow.flow(model, ones(), generator())
    image = torch.ones(1, 1, 8, 8, dtype=torch.float64)
    for name, place in (("conv1.weight", (3, 0, 1, 1)), ("layer2.0.conv2.weight", (5, 7, 0, 2))):
        weight = masks.prunable(model)[name]
        with torch.no_grad():
            value = float(weight[place])
            results = []
            for factor in (1.001, 0.999):
                weight[place] = value * factor
                results.append(float(model(image).sum()))
            weight[place] = value
        slope = (results[0] - results[1]) / (0.002 * value)
        assert float(scores[name][place]) == pytest.approx(value * slope, rel=1e-6)


def test_synflow_does_not_see_the_normaliser_of_pixels(network):
    totals = []
    for mean in (0.1, 0.9):
        torch.manual_seed(0)
        model = get(Architecture, "resnet8").build(dataclasses.replace(network, mean=(mean,)))
        totals.append({n: s.sum() for n, s in synflow.flow(model, ones(), generator()).items()})
    assert all(torch.equal(totals[0][n], totals[1][n]) for n in totals[0])


def pruned(model, density, rounds):
    mask = None
    for done in range(1, rounds + 1):
        if mask is not None:
            masks.apply(model, mask)
        mask = masks.top(synflow.flow(model, ones(), generator()), density ** (done / rounds), mask)
    return mask


def test_a_hundred_rounds_avoid_the_collapse_of_one(network):
    """At a density of 0.3 %, scoring once empties whole layers; 100 rounds leave none empty."""
    collapsed = {}
    for rounds in (1, synflow.FLOW.rounds):
        torch.manual_seed(0)
        model = get(Architecture, "resnet8").build(network)
        mask = pruned(model, 0.003, rounds)
        assert sum(k for k, _ in masks.count(mask).values()) == round(0.003 * 73_872)
        collapsed[rounds] = masks.collapsed(mask)
    assert collapsed[1]
    assert collapsed[100] == []


# ----------------------------------------------------------------------------------------------- cost


@pytest.mark.parametrize(
    ("criterion", "most"), [(snip.SENSITIVITY, 3.0), (grasp.FLOW, 6.0), (synflow.FLOW, 1.0)]
)
def test_a_round_of_scoring_costs_few_passes(network, batch, criterion, most):
    """In forward and backward passes of the same images, counted in floating-point operations."""
    torch.manual_seed(0)
    model = get(Architecture, "resnet8").build(network).train()
    images = batch[0].float() if criterion.per_class else torch.ones(1, 1, 8, 8)
    labels = batch[1] if criterion.per_class else torch.zeros(1, dtype=torch.int64)
    with FlopCounterMode(display=False) as one_pass:
        F.cross_entropy(model(images), labels).backward()
    with FlopCounterMode(display=False) as scoring:
        criterion.score(model, iter([(images, labels)]), generator())
    assert scoring.get_total_flops() <= most * one_pass.get_total_flops() * 1.01
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        model.float()(images)
    assert scoring.get_total_flops() <= 1.01 * criterion.passes * forward.get_total_flops()
