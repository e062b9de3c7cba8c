"""Filters that can be removed whole: found, masked and cut out, against what networks compute."""

import copy
import dataclasses
import re

import pytest
import torch
from torch import nn

from lthbench import masks, registry
from lthbench.kinds import Architecture
from lthbench.masks import structured, units
from lthbench.spec import Network

INCEPTION = (4, 3, 5, *((3, 4, 2, 3, 4, 2) * 9))
# Tiny networks: widths, size of image, and the names of the convolutions that can lose filters.
TINY = {
    "resnet8": ((4, 4, 5, 6), 8, r"layer[123]\.0\.conv1"),
    "resnet20s": ((4, 5, 6, 7), 8, r"layer[123]\.[012]\.conv1"),
    "resnet18": ((4, 4, 5, 6, 7), 16, r"layer[1234]\.[01]\.conv1"),
    "resnet18 with a free stem": ((5, 4, 4, 6, 7), 16, r"conv1|layer[1234]\.[01]\.conv1"),
    "resnet18-img": ((4, 4, 5, 6, 7), 64, r"layer[1234]\.[01]\.conv1"),
    "resnet50": ((4, 3, 3, 4, 3), 64, r"conv1|layer\d\.\d\.conv[12]"),
    "resnet50 with a bound stem": ((8, 2, 3, 2, 3), 64, r"layer\d\.\d\.conv[12]"),
    "wrn28-10": ((4, 5, 5, 6), 16, r"conv1|layer[123]\.[0123]\.conv1"),
    "wrn28-10 with a bound stem": ((5, 5, 5, 6), 16, r"layer[123]\.[0123]\.conv1"),
    "vgg11": ((3, 4, 5, 6, 5, 4, 5, 6), 32, r"features\.\d+"),
    "googlenet": (INCEPTION, 64, r"conv[123]\.conv|inception\w+\.branch[23]\.0\.conv"),
}


def asked(name):
    widths, size, _ = TINY[name]
    return Network(name.split()[0], 1, 3, 3, size, (0.5, 0.4, 0.3), (0.2, 0.2, 0.3), widths)


def architecture(network):
    return registry.get(Architecture, network.architecture)


def lively(model):
    """Batch normalisation that is not the identity, and lets signals through."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.2, 0.2)
            nn.init.uniform_(module.running_var, 0.05, 0.2)
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.uniform_(module.bias, -0.1, 0.3)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, a=1.0)
            if module.bias is not None:
                nn.init.uniform_(module.bias, 0.0, 0.3)
    return model.double().eval()


@pytest.fixture(scope="module", params=TINY)
def tiny(request):
    """The name of a network, the network, a batch for it, its cuts, and the filters kept at random."""
    network = asked(request.param)
    torch.manual_seed(0)
    model = lively(architecture(network).build(network))
    found = structured.cuts(model)
    kept = {}
    for cut in found:
        kept[cut.producer] = torch.rand(model.get_submodule(cut.producer).out_channels) < 0.5
        kept[cut.producer][0] = True
    return request.param, model, torch.rand(2, 3, network.size, network.size).double(), found, kept


def masked(model, found, kept):
    model = copy.deepcopy(model)
    masks.apply(model, structured.mask_without(model, found, kept))
    return model


def convolutions(model):
    return {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d)}


# ------------------------------------------------------------------------------------------- which are found


def test_the_cuts_are_those_that_the_design_allows(tiny):
    name, model, _, found, _ = tiny
    expected = [n for n in convolutions(model) if re.fullmatch(TINY[name][2], n)]
    assert sorted(c.producer for c in found) == sorted(expected)


def influence(model, x):
    """Which channels each convolution or linear layer reads at each of its inputs, found by differentiation.

    ``{reader: [number of inputs, {source: bool matrix [inputs, channels]}]}``, where nothing in between
    counts: what a convolution puts out is taken as given.
    """
    sources, read = {"": x.detach().requires_grad_()}, {}

    def give(name):
        def hook(module, inputs, output):
            read[name] = inputs[0]
            sources[name] = output.detach().requires_grad_()
            return sources[name]

        return hook

    readers = {n: m for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    hooks = [module.register_forward_hook(give(name)) for name, module in readers.items()]
    model(sources[""])
    for hook in hooks:
        hook.remove()
    leaves = list(sources.values())
    found = {}
    for name, maps in read.items():
        touched = {}
        for i in range(maps.shape[1]):
            gradients = torch.autograd.grad(maps[:, i].sum(), leaves, retain_graph=True, allow_unused=True)
            for source, gradient in zip(sources, gradients, strict=True):
                if gradient is not None:
                    seen = gradient.abs().transpose(0, 1).flatten(1).sum(1).nonzero()[:, 0].tolist()
                    touched.setdefault(source, {})[i] = set(seen)
        found[name] = touched
    return found


def test_filters_can_go_exactly_where_what_reads_them_reads_nothing_else(tiny):
    """Against derivatives: other channels in the same input, or beside it, bind a convolution."""
    _, model, x, found, _ = tiny
    reads = influence(model, x)
    cut = {c.producer: set(c.consumers) for c in found}
    for name, convolution in convolutions(model).items():
        readers = {r for r, sources in reads.items() if name in sources}
        assert readers
        alone = all(set(reads[r]) == {name} for r in readers)
        assert (name in cut) == alone, f"{name} is read with {[set(reads[r]) for r in readers]}"
        if alone:
            assert cut[name] == readers
            for inputs in (reads[r][name] for r in readers):
                spread = len(inputs) // convolution.out_channels
                assert all(channels <= {i // spread} for i, channels in inputs.items())


# ------------------------------------------------------------------------------------- what a mask computes


def test_all_that_belongs_to_a_removed_filter_goes_with_it(tiny):
    _, model, _, found, kept = tiny
    mask = structured.mask_without(model, found, kept)
    for cut in found:
        stay = kept[cut.producer]
        assert not mask[f"{cut.producer}.weight"][~stay].any()
        assert all(torch.equal(mask[f"{n}.{p}"], stay) for n in cut.norms for p in ("weight", "bias"))
        if model.get_submodule(cut.producer).bias is not None:
            assert torch.equal(mask[f"{cut.producer}.bias"], stay)


@torch.no_grad()
def test_what_removed_filters_hold_does_not_matter(tiny):
    _, model, x, found, kept = tiny
    sparse = masked(model, found, kept)
    before = sparse(x)
    for cut in found:
        for name in (cut.producer, *cut.norms):
            module = sparse.get_submodule(name)
            for value in module.state_dict().values():
                if value.dim():
                    value[~kept[cut.producer]] = 5.0 * torch.rand_like(value[~kept[cut.producer]])
    assert torch.equal(sparse(x), before)
    assert not torch.allclose(before, model(x))
    masks.apply(sparse, structured.mask_without(sparse, found, kept))
    assert torch.equal(sparse(x), before)


@torch.no_grad()
def test_a_removed_channel_can_take_any_value_and_a_kept_one_cannot(tiny):
    """By hooks on the activations of each filter that can be removed."""
    _, model, x, found, _ = tiny
    felt = 0
    for cut in found:
        width = model.get_submodule(cut.producer).out_channels
        kept = {c.producer: torch.ones(model.get_submodule(c.producer).out_channels).bool() for c in found}
        kept[cut.producer] = torch.arange(width) != width - 1
        sparse = masked(model, found, kept)
        before = sparse(x)
        for channel in (width - 1, 0):

            def disturb(module, inputs, output, channel=channel):
                output = output.clone()
                output[:, channel] += 1.0 + torch.rand_like(output[:, channel])
                return output

            hook = sparse.get_submodule(cut.producer).register_forward_hook(disturb)
            after = sparse(x)
            hook.remove()
            if channel:
                assert torch.equal(after, before), cut
            else:
                felt += not torch.equal(after, before)
    assert felt > 0.8 * len(found)


@torch.no_grad()
def without(model, found, kept):
    """A copy of a network from which channels are cut out."""
    small = copy.deepcopy(model)
    for cut in found:
        stay = kept[cut.producer].nonzero()[:, 0]
        for name in (cut.producer, *cut.norms):
            module = small.get_submodule(name)
            for value in (*module.parameters(), *module.buffers()):
                if value.dim():
                    value.data = value.data[stay]
        for name in cut.consumers:
            weight = small.get_submodule(name).weight
            grouped = weight.data.unflatten(1, (len(kept[cut.producer]), -1))
            weight.data = grouped[:, stay].flatten(1, 2)
    return small


@torch.no_grad()
def test_a_masked_network_computes_what_the_smaller_one_does(tiny):
    _, model, x, found, kept = tiny
    sparse, small = masked(model, found, kept), without(model, found, kept)
    assert torch.allclose(sparse(x), small(x), rtol=1e-9, atol=1e-9)
    weights = sum(w.numel() for w in masks.prunable(small).values())
    mask = structured.mask_without(model, found, kept)
    assert weights == sum(int(mask[name].sum()) for name in masks.prunable(model))
    stay = torch.cat([kept[cut.producer] for cut in found])
    shapes = {name: m.weight.shape for name, m in convolutions(model).items()}
    assert weights == units.weights_left(structured.channels_of(model, found), stay, shapes)


@torch.no_grad()
def test_a_masked_vgg_is_the_one_built_with_smaller_widths():
    network = asked("vgg11")
    torch.manual_seed(3)
    model = lively(architecture(network).build(network))
    found = structured.cuts(model)
    widths = (2, 3, 3, 4, 1, 4, 3, 5)
    kept = {
        c.producer: torch.randperm(model.get_submodule(c.producer).out_channels) < width
        for c, width in zip(found, widths, strict=True)
    }
    smaller = dataclasses.replace(network, widths=widths)
    built = architecture(network).build(smaller).double().eval()
    built.load_state_dict(without(model, found, kept).state_dict())
    x = torch.rand(4, 3, 32, 32).double()
    sparse = masked(model, found, kept)
    assert torch.allclose(sparse(x), built(x), rtol=1e-9, atol=1e-9)
    left = sum(int(w.count_nonzero()) for w in masks.prunable(sparse).values())
    assert left == architecture(network).count(smaller).prunable
