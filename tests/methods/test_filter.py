"""Criteria of filter pruning, each against its definition in other words."""

import dataclasses
import math

import pytest
import torch
from torch.nn import functional as F

from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.errors import BadInput, StepFailed
from lthbench.kinds import Architecture, Method
from lthbench.masks import coupled, structured
from lthbench.methods import filter as filters
from lthbench.planning import plan, request
from lthbench.registry import get, version


@pytest.fixture
def model(network):
    """ResNet-8 whose normalisation is not that of the start, in training mode."""
    torch.manual_seed(0)
    built = get(Architecture, "resnet8").build(network)
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
            module.running_var.uniform_(0.5, 2.0)
    return built.train()


def by_filter(scores, name):
    return scores[f"{name}.weight"].flatten(1).sum(1)


def test_the_first_key_is_as_it_was():
    assert version(Method, "filter-magnitude") == "1"
    assert filters.FILTERS.name == get(Method, "filter").criterion.name == "filter-magnitude"


def test_l2_is_the_squared_norm(model):
    scores = filters.squares(model, iter(()), generator())
    weight = dict(model.named_parameters())["conv1.weight"].detach().double()
    assert torch.allclose(by_filter(scores, "conv1"), torch.linalg.vector_norm(weight, dim=(1, 2, 3)) ** 2)


def test_fpgm_is_the_sum_of_distances(model):
    scores = filters.distances(model, iter(()), generator())
    for cut in structured.cuts(model):
        rows = model.get_submodule(cut.producer).weight.detach().double().flatten(1).tolist()
        sums = [sum(math.dist(one, other) for other in rows) for one in rows]
        assert by_filter(scores, cut.producer).tolist() == pytest.approx(sums, rel=1e-12)


def test_the_geometric_median_itself_goes_first(model):
    """Filters on a circle and one at its centre: all sums of distances are known."""
    (cut, *_) = structured.cuts(model)
    weight = model.get_submodule(cut.producer).weight
    with torch.no_grad():
        weight.zero_()
        for i in range(1, len(weight)):
            angle = 2 * math.pi * i / (len(weight) - 1)
            weight[i].view(-1)[:2] = torch.tensor([math.cos(angle), math.sin(angle)])
    found = by_filter(filters.distances(model, iter(()), generator()), cut.producer)
    rim = len(weight) - 1
    assert float(found[0]) == pytest.approx(rim)
    assert float(found[1]) == pytest.approx(1 + 2 / math.tan(math.pi / (2 * rim)))


def test_bn_is_the_scale(model):
    scores = filters.scales(model, iter(()), generator())
    for cut in structured.cuts(model):
        gamma = model.get_submodule(cut.norms[0]).weight.detach().double().abs()
        assert torch.allclose(by_filter(scores, cut.producer), gamma, rtol=1e-12)


def test_bn_needs_a_scale():
    bare = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 3))
    with pytest.raises(StepFailed, match="0 has no batch normalisation"):
        filters.scales(bare, iter(()), generator())


@pytest.mark.parametrize("normalised", [True, False])
def test_taylor_is_the_squared_gradient_of_a_gate(model, normalised):
    """Against gates put into the network, and one batch of a digit of each class after the other."""
    images = loading.per_class(loading.load("digits", "train", ()), 10)
    pixels, labels = torch.from_numpy(images.pixels).float() / 255.0, torch.from_numpy(images.labels)
    if not normalised:
        model = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 10, 3), torch.nn.AvgPool2d(4)
        )
        model.append(torch.nn.Flatten())
    scores = filters.importance(
        model, iter([(pixels[:60], labels[:60]), (pixels[60:], labels[60:])]), generator()
    )
    model.eval()
    for cut in structured.cuts(model):
        gated = model.get_submodule(cut.norms[0] if cut.norms else cut.producer)
        gate = torch.ones(gated.weight.shape[0], requires_grad=True)
        hook = gated.register_forward_hook(lambda m, i, out, gate=gate: out * gate[:, None, None])
        expected = torch.zeros(len(gate), dtype=torch.float64)
        for number in range(10):
            of_each = [10 * digit + number for digit in range(10)]
            loss = F.cross_entropy(model(pixels[of_each]), labels[of_each])
            expected += torch.autograd.grad(loss, gate)[0].double().square() / 10
        hook.remove()
        assert by_filter(scores, cut.producer).tolist() == pytest.approx(
            expected.tolist(), rel=1e-3, abs=1e-12
        )


def test_random_filters_are_any_of_their_layer():
    """Over 200 seeds, each of 16 filters is the first to go as often as any other: chi-squared, 0.1 %."""
    layer = torch.nn.Sequential(torch.nn.Conv2d(2, 16, 3))
    first = [0] * 16
    for seed in range(200):
        scores = filters.CRITERIA["random"].score(layer, iter(()), generator("prune", seed))
        first[int(by_filter(scores, "0").argmin())] += 1
    assert sum((n - 12.5) ** 2 / 12.5 for n in first) < 37.7  # 15 degrees of freedom


@pytest.mark.parametrize("variant", [v for v in filters.CRITERIA if "coupled" not in v])
def test_each_variant_prunes_whole_filters_by_its_own(tiny_task, variant):
    asked = request.ask(tiny_task, [f"filter:{variant}"], [0.5], seeds=1, metrics=["accuracy"])
    entry = plan.plan(asked, (), data_needed=False).entries[-1]
    assert entry.network.mask.criterion == f"filter-{variant}" == filters.CRITERIA[variant].name
    assert filters.CRITERIA[variant].unit == "filter"


def planned(task, method, sparsity):
    asked = request.ask(task, [method], [sparsity], seeds=1, metrics=["accuracy"])
    return plan.plan(asked, (), data_needed=False).entries[-1]


@pytest.mark.parametrize(("task", "most"), [("img-googlenet", 0.7386), ("img-r50", 0.8814)])
def test_coupled_filters_reach_where_single_ones_end(task, most):
    with pytest.raises(BadInput, match=f"up to sparsity {most} at most; filter:coupled goes further"):
        planned(task, "filter", 0.95)
    mask = planned(task, "filter:coupled", 0.95).network.mask
    assert (mask.criterion, filters.CRITERIA["coupled"].unit) == ("filter-coupled", "coupled")
    with pytest.raises(BadInput, match=r"coupled filters can go up to sparsity 0\.9999\d\d at most"):
        planned(task, "filter:coupled", 0.999995)


def test_a_transformer_keeps_a_head_and_a_neuron_of_each():
    with pytest.raises(BadInput, match=r"keeps a head and .* up to sparsity 0\.9570 at most; omp has no"):
        planned("c10-vit", "filter", 0.97)


@pytest.mark.parametrize("task", ["digits-r8", "c10-vgg11", "c10-vit"])
def test_where_none_are_coupled_filter_is_the_same(task):
    with pytest.raises(BadInput, match="no more channels can go together than alone; use filter"):
        planned(task, "filter:coupled", 0.5)


@pytest.fixture
def joined(network):
    """A narrow ResNet-18, whose shortcuts add channels up, with normalisations unlike those of the start."""
    torch.manual_seed(0)
    own = dataclasses.replace(network, architecture="resnet18", widths=(4, 4, 6, 8, 10))
    built = get(Architecture, "resnet18").build(own)
    for module in built.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
            module.running_var.uniform_(0.5, 2.0)
    return built.train()


def by_group(found, scores):
    """Sums over all weights that make each unit, one weight after the other."""
    sums = [0.0] * found.count
    for layer, units in found.made.items():
        for unit, row in zip(units.tolist(), scores[f"{layer}.weight"].flatten(1).sum(1), strict=True):
            if unit >= 0:
                sums[unit] += float(row)
    return sums


def test_coupled_scales_are_summed_over_all_that_make_a_channel(joined):
    found = coupled.channels(joined)
    expected = [0.0] * found.count
    for norm, units in found.norms.items():
        for unit, gamma in zip(units.tolist(), joined.get_submodule(norm).weight.tolist(), strict=True):
            expected[unit] += abs(gamma)
    assert sum(0 in units for units in found.norms.values()) > 1
    scores = filters.CRITERIA["coupled-bn"].score(joined, iter(()), generator())
    assert by_group(found, scores) == pytest.approx(expected, rel=1e-6)


def test_coupled_importance_is_the_slope_of_one_gate_on_all_channels_of_a_unit(joined):
    images = loading.per_class(loading.load("digits", "train", ()), 10)
    pixels = torch.from_numpy(images.pixels).float() / 255.0
    labels = torch.from_numpy(images.labels)
    scores = filters.CRITERIA["coupled-taylor"].score(joined, iter([(pixels, labels)]), generator())
    found = coupled.channels(joined)
    gate = torch.ones(found.count, requires_grad=True)
    hooks = [
        joined.get_submodule(norm).register_forward_hook(
            lambda m, i, out, units=units: out * gate[units][:, None, None]
        )
        for norm, units in found.norms.items()
    ]
    expected = torch.zeros(found.count, dtype=torch.float64)
    for number in range(10):
        of_each = [10 * digit + number for digit in range(10)]
        loss = F.cross_entropy(joined(pixels[of_each]), labels[of_each])
        expected += torch.autograd.grad(loss, gate)[0].double().square() / 10
    for hook in hooks:
        hook.remove()
    assert by_group(found, scores) == pytest.approx(expected.tolist(), rel=1e-3, abs=1e-9)


@pytest.mark.parametrize("variant", [v for v in filters.CRITERIA if "coupled" in v])
def test_each_coupled_variant_prunes_groups_by_its_own(joined, variant):
    mask = planned("c10-r18", f"filter:{variant}", 0.5).network.mask
    assert mask.criterion == f"filter-{variant}" == filters.CRITERIA[variant].name
    assert filters.CRITERIA[variant].unit == "coupled"


def test_slimming_trains_with_its_penalty_and_ranks_all_layers_together(tiny_task, model):
    asked = request.ask(tiny_task, ["slimming"], [0.5], seeds=1, metrics=["accuracy"])
    network = plan.plan(asked, (), data_needed=False).entries[-1].network
    parent = network.mask.given
    assert parent.recipe == dataclasses.replace(asked.spec.train, scale_penalty=1e-4)
    assert (network.start, network.recipe.scale_penalty) == (parent, None)
    assert (network.mask.criterion, network.mask.allocation) == ("filter-bn", "pooled")


def test_pooled_units_go_by_their_scores_alone_whatever_their_layer(model):
    scores = filters.scales(model, iter(()), generator())
    mask = structured.top_filters(model, scores, 0.5, "pooled")
    kept, gone = [], []
    for cut in structured.cuts(model):
        gammas = [model.get_submodule(norm).weight.detach().abs() for norm in cut.norms]
        left = mask[f"{cut.producer}.weight"].flatten(1).any(1)
        assert left.any()
        kept += sum(gammas)[left].tolist()
        gone += sorted(sum(gammas)[~left].tolist())[: -1 if left.sum() == 1 else None]
    assert max(gone) <= min(kept)
    shares = {
        float(mask[f"{c.producer}.weight"].flatten(1).any(1).float().mean()) for c in structured.cuts(model)
    }
    assert len(shares) > 1
