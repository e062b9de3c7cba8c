"""Networks given as modules: scored is what they compute, or they are refused in words."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from lthbench import masks, registry
from lthbench.checkpoints import files, taking
from lthbench.errors import BadInput
from lthbench.kinds import Architecture
from lthbench.networks.normalize import Normalize
from lthbench.planning import plan
from lthbench.planning import task as tasks

NETWORK = plan.network(tasks.load("digits-r8"))


@pytest.fixture
def model():
    """A ResNet-8 in training mode, with batch statistics that are not all alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = registry.get(Architecture, "resnet8").build(NETWORK)
        for norm in made.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.uniform_(-0.1, 0.1)
                norm.running_var.uniform_(0.5, 1.5)
    return made.train()


def taken(given, **options):
    return taking.take(NETWORK, files.of(given, "model"), **options)


class Tanh(nn.Module):
    def forward(self, weight):
        return torch.tanh(3 * weight)


class Masked(nn.Module):
    """The sparsifier of torch.ao."""

    def __init__(self, mask):
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight):
        return weight * self.mask


PARAMETRIZED = {
    "without state": lambda layer: parametrize.register_parametrization(layer, "weight", Tanh()),
    "orthogonal": lambda layer: parametrizations.orthogonal(layer, use_trivialization=False),
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "mask": lambda layer: parametrize.register_parametrization(
        layer, "weight", Masked((torch.arange(2304) % 3 > 0).view(16, 16, 3, 3))
    ),
}


@pytest.mark.parametrize("how", PARAMETRIZED)
def test_a_parametrized_weight_is_read_as_it_is_computed(model, how):
    layer = model.layer1[0].conv1
    PARAMETRIZED[how](layer)
    with torch.no_grad():  # as training leaves it: not as it was when it was made
        layer.parametrizations.weight[0].requires_grad_(False)
        for tensor in layer.parametrizations.weight.parameters():
            tensor.mul_(1.5)
    before = copy.deepcopy(model.state_dict())
    found = taken(model)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert model.training
    with torch.no_grad():
        weight = model.eval().layer1[0].conv1.weight
    assert torch.equal(found.weights["layer1.0.conv1.weight"], weight)
    assert (found.mask is None) == (how != "mask")
    assert how != "mask" or torch.equal(found.mask["layer1.0.conv1.weight"], weight != 0)


@pytest.mark.parametrize("how", ["without state", "weight norm", "spectral norm"])
def test_a_state_dict_that_does_not_say_how_weights_are_computed_is_refused(model, how):
    PARAMETRIZED[how](model.layer1[0].conv1)
    said = r'layer1\.0\.conv1\.weight is computed by a parametrization, .*model\.layer1\.0\.conv1, "weight"\)'
    with pytest.raises(BadInput, match=said):
        taken(model.state_dict())


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize("how", [nn.utils.weight_norm, nn.utils.spectral_norm])
def test_the_weight_norm_and_spectral_norm_of_before_parametrizations_are_read(model, how):
    layer = how(model.layer1[0].conv1)
    with torch.no_grad():
        for tensor in layer.parameters():
            tensor.mul_(1.5)
    before = copy.deepcopy(model.state_dict())
    found = taken(model)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    with torch.no_grad():
        model.eval()(torch.rand(1, 1, 8, 8))
    assert torch.equal(found.weights["layer1.0.conv1.weight"], layer.weight)
    if how is nn.utils.weight_norm:
        with pytest.raises(BadInput, match=r"conv1\.weight is computed of .*remove_weight_norm"):
            taken(model.state_dict())


def settings(**changes):
    def change(model):
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                vars(norm).update(changes)
        return model

    return change


OTHERS = {
    "epsilon": settings(eps=0.1),
    "pixels": lambda model: Other(model, lambda x: model((x - 0.3) / 0.1)),
    "activation": lambda model: Other(model, lambda x: model(x) * nn.functional.sigmoid(model(x))),
    "half": lambda model: settings(eps=1.0)(model).half(),
    "scaled logits": lambda model: Other(model, lambda x: model(x) / 4),
    "pixels to 255": lambda model: Other(model, lambda x: model(x / 255)),
}


class Other(nn.Module):
    """A network in whose forward pass something else is done, too."""

    def __init__(self, body, forward):
        super().__init__()
        self.body = body
        self.own = forward

    def forward(self, x):
        return self.own(x)


@pytest.mark.parametrize("how", OTHERS)
def test_a_module_that_computes_something_else_is_refused(model, how):
    other = OTHERS[how](model)
    with pytest.raises(
        BadInput, match=r"gives other logits than resnet8 with its weights: .*state_dict\(\)"
    ) as e:
        taken(other)
    assert "scales its logits, takes pixels of another scale" in str(e.value)
    assert ("computes in float16" in str(e.value)) == (how == "half")
    taken(other.state_dict())  # its weights can be had


def scaled(body, factor):
    return Other(body, lambda x: body(x) * factor)


@pytest.mark.parametrize("factor", [0.95, 1.05, 1.09])
def test_a_module_in_a_narrow_type_that_scales_its_logits_is_refused(model, factor):
    with pytest.raises(BadInput, match=r"gives other logits .*it computes in bfloat16"):
        taken(scaled(model.bfloat16(), factor))


def test_a_parameter_of_a_narrow_type_that_is_not_computed_with_widens_no_tolerance(model):
    def beside(factor):
        made = scaled(model, factor)
        made.step = nn.Parameter(torch.zeros((), dtype=torch.bfloat16))
        return made

    with pytest.raises(BadInput, match="gives other logits"):
        taken(beside(1.01))
    taken(beside(1.0))  # images are not rounded to its type


def mixed(body):
    """A network whose layers compute in bfloat16, with weights and logits of float32."""

    def forward(x):
        with torch.autocast("cpu", torch.bfloat16):
            return body(x).float()

    return Other(body, forward)


def test_a_module_that_computes_something_else_in_mixed_precision_is_refused_with_its_precision(model):
    said = r"\(it computes in bfloat16, of which rounding explains [\d.]+, of scale 2\.0%\)"
    with pytest.raises(BadInput, match=said):
        taken(mixed(settings(eps=10.0)(model)))


def test_a_module_that_gives_probabilities_is_refused_for_that(model):
    with pytest.raises(BadInput, match=r"model: gives probabilities, not logits\. .*state_dict\(\)"):
        taken(Other(model, lambda x: model(x).softmax(1)))
    with pytest.raises(BadInput, match="gives other logits"):
        taken(Other(model, lambda x: model(x / 255).softmax(1)))


ALIKE = {
    "itself": lambda model: model,
    "wrapped": lambda model: nn.Sequential(Normalize(NETWORK.mean, NETWORK.std), body(model)),
    "normalised outside": lambda model: body(model),
    "half": lambda model: model.half(),
    "bfloat16": lambda model: model.bfloat16(),
    "double": lambda model: model.double(),
    "mixed precision": lambda model: mixed(model),
    "in parallel": nn.DataParallel,
    "log-probabilities": lambda model: Other(model, lambda x: model(x).log_softmax(1)),
    "in a tuple": lambda model: Other(model, lambda x: (model(x), x)),
    "with a temperature": lambda model: Scaled(model),
    "TorchScript": lambda model: torch.jit.trace(model.eval(), torch.rand(4, 1, 8, 8)).train(),
}


class Scaled(nn.Module):
    """A network whose logits are divided by a number that was learned afterwards."""

    def __init__(self, body):
        super().__init__()
        self.body, self.temperature = body, nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        return self.body(x) / self.temperature


def body(model):
    """The network for pixels that are normalised before."""
    model.normalize = nn.Identity()
    return model


@pytest.mark.parametrize("how", ALIKE)
def test_a_module_that_computes_the_same_is_taken_as_it_is(model, how, recwarn):
    other = ALIKE[how](model)
    recwarn.clear()
    before = torch.random.get_rng_state()
    assert taken(other).step.network.mean == pytest.approx(NETWORK.mean, abs=2e-3)  # in half, too
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(m.training for m in other.modules())
    assert not recwarn.list


def test_masks_in_a_module_are_in_its_output_and_those_given_beside_it_are_not(model):
    held = {n: torch.rand(w.shape) < 0.5 for n, w in masks.prunable(model).items()}
    given = taken(model, given_mask=held)
    for name, mask in held.items():
        prune.custom_from_mask(model.get_submodule(name.removesuffix(".weight")), "weight", mask)
    weight = model.conv1.weight
    assert taken(model).step == given.step
    assert model.conv1.weight is weight  # with its gradient


def test_a_module_that_gives_a_dict_is_compared_by_its_logits(model):
    taken(Other(model, lambda x: {"loss": None, "logits": model(x)}))
    with pytest.raises(BadInput, match="gives other logits"):
        taken(Other(model, lambda x: {"logits": model(x) / 4}))


def test_a_module_whose_output_cannot_be_compared_is_taken_with_a_warning(model):
    other = Other(model, lambda x: model(x)[:, :3])
    with pytest.warns(UserWarning, match=r"could not be compared .*\[4, 3\], not logits of shape \[4, 10\]"):
        assert taken(other).step == taken(model.state_dict()).step


def test_of_several_networks_in_a_module_the_one_that_is_meant_is_compared(model):
    both = nn.ModuleDict({"student": model, "teacher": settings(eps=0.1)(copy.deepcopy(model))})
    with torch.no_grad():
        both["teacher"].fc.weight.add_(1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        taken(both, key="student")
        with pytest.raises(BadInput, match="gives other logits"):
            taken(both, key="teacher")


class Distilled(nn.Module):
    """A teacher of another architecture, and its student."""

    def __init__(self, student):
        super().__init__()
        self.teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.student = student

    def forward(self, x):
        return self.teacher(x), self.student(x)


@pytest.mark.parametrize(
    "wrapped", [lambda model: model, nn.DataParallel, lambda model: nn.Sequential(model)]
)
def test_the_part_of_a_module_that_a_key_names_is_compared(model, wrapped, recwarn):
    taken(Distilled(wrapped(model)), key="student")
    assert not recwarn.list
    with pytest.raises(BadInput, match="gives other logits"):
        taken(Distilled(wrapped(settings(eps=0.1)(model))), key="student")


@pytest.mark.parametrize("how", [torch.compile, lambda model: model.compile() or model])
def test_a_compiled_module_is_compared_without_compiling_it(model, how, recwarn):
    compiled = how(model)
    recwarn.clear()
    with torch.compiler.set_stance("fail_on_recompile"):
        taken(compiled)
    assert not recwarn.list
    assert model.training


class Counting(nn.Module):
    """A network that assigns a buffer anew in each forward pass."""

    seen: torch.Tensor

    def __init__(self, body):
        super().__init__()
        self.body = body
        self.register_buffer("seen", torch.tensor(0))

    def forward(self, x):
        self.seen = self.seen + 1
        self.register_buffer("last", x)
        return self.body(x)


def test_buffers_that_a_forward_pass_assigns_are_what_they_were(model):
    counting = Counting(model)
    seen = counting.seen
    taken(counting)
    assert counting.seen is seen
    assert seen == 0
    assert "last" not in dict(counting.named_buffers())


class Narrow(nn.Conv2d):
    """A convolution that computes in the narrow type of its weights, and puts out float32."""

    def forward(self, x):
        return self._conv_forward(x.to(self.weight.dtype), self.weight, None).float()


def test_layers_that_compute_in_a_narrow_type_and_put_out_floats_are_held_to_its_rounding(model):
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.__class__ = Narrow
            layer.weight.data = layer.weight.data.bfloat16()
    taken(model)
