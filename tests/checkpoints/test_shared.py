"""Networks whose layers share a weight, which then has two names."""

import dataclasses

import pytest
import safetensors.torch
import torch

from lthbench import masks, registry
from lthbench.checkpoints import skeletons, taking
from lthbench.contract import architectures
from lthbench.contract.broken import Broken
from lthbench.kinds import Architecture
from lthbench.store.artifacts import WEIGHTS
from lthbench.training import savepoints
from lthbench.training.optimization import Trained


@pytest.fixture
def shared():
    """ResNet-8 whose two convolutions of the same shape are one, and the names of that weight."""
    plain = registry.get(Architecture, "resnet8")

    def build(network):
        model = plain.build(network)
        one, two = (model.get_submodule(name.removesuffix(".weight")) for name in alike)
        two.weight = one.weight
        return model

    _, model = architectures.built(plain)
    shapes = {name: weight.shape for name, weight in masks.prunable(model).items()}
    alike = next(
        [n for n, s in shapes.items() if s == shape]
        for shape in shapes.values()
        if list(shapes.values()).count(shape) > 1
    )[:2]
    return dataclasses.replace(plain, name="shared", build=build), alike


def test_they_are_stored_and_kept_on_the_way_by_both_names(shared):
    architecture, alike = shared
    architectures.weights_can_be_kept(architecture)
    _, model = architectures.built(architecture)
    found = WEIGHTS.decode(WEIGHTS.encode(model.state_dict()))
    assert found.keys() == model.state_dict().keys()
    assert all(torch.equal(found[name], model.get_parameter(name)) for name in alike)
    point = savepoints.unpacked("key", savepoints.packed("key", model, Trained([1.0], {}), 1.0))
    assert point is not None
    savepoints.resume(point, model)


def test_what_is_stored_of_other_networks_is_as_it_was():
    _, model = architectures.built(registry.get(Architecture, "resnet8"))
    plain = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    assert WEIGHTS.encode(model.state_dict()) == safetensors.torch.save(plain)


def test_a_network_that_keeps_something_beside_its_weights_breaks_the_contract():
    plain = registry.get(Architecture, "resnet8")

    def build(network):
        model = plain.build(network)
        model.register_buffer("order", torch.randperm(network.classes), persistent=False)
        model.register_forward_hook(lambda module, given, logits: logits[:, module.order])
        return model

    architectures.weights_can_be_kept(plain)
    with pytest.raises(Broken, match="gives other logits"):
        architectures.weights_can_be_kept(dataclasses.replace(plain, build=build))


@pytest.mark.parametrize("place", [0, 1])
def test_a_mask_by_one_of_the_names_removes_by_both(shared, place):
    architecture, alike = shared
    _, model = architectures.built(architecture)
    names = skeletons.names(model)
    assert [names[name] for name in alike] == [alike, alike]
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    held = torch.rand(weights[alike[0]].shape) > 0.5
    mask = {alike[0]: torch.ones_like(held), alike[place]: held}
    found, zeroed = taking._set_to_zero(weights, mask, names)
    assert found is not None
    assert list(found) == alike[:1]
    assert torch.equal(found[alike[0]], held)
    assert zeroed == int((~held).sum())
    model.load_state_dict(weights)
    assert torch.equal(model.get_parameter(alike[0]) != 0, held)
    masks.check(model, found)
