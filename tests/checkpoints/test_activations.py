"""Activations of quantised networks are rounded as torch's own modules round them, or said not to be."""

import copy

import pytest
import torch
from torch import nn
from torch.ao import quantization as ao
from torch.ao.quantization import quantize_fx

from lthbench import registry
from lthbench.checkpoints import files, taking
from lthbench.errors import BadInput
from lthbench.inference.folding import folded
from lthbench.inference.rounding import round_activations
from lthbench.kinds import Architecture
from lthbench.spec import Network

pytestmark = pytest.mark.filterwarnings("ignore")  # torch.ao says at each turn that it will be replaced
NETWORK = Network("vgg11", 1, 5, 3, 32, (0.5,) * 3, (0.25,) * 3, (8, 8, 8, 8, 12, 12, 12, 12))


class Theirs(nn.Module):
    """VGG-11 as torch.ao wants it: what is quantised stands between two stubs."""

    def __init__(self, model):
        super().__init__()
        self.quant, self.dequant = ao.QuantStub(), ao.DeQuantStub()
        self.features, self.classifier = copy.deepcopy(model.features), copy.deepcopy(model.classifier)

    def forward(self, x):
        x = self.features(self.quant((x - 0.5) / 0.25))
        return self.dequant(self.classifier(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    made = registry.get(Architecture, "vgg11").build(NETWORK).train()
    nn.init.normal_(made.get_parameter("classifier.weight"))
    with torch.no_grad():
        for _ in range(10):
            made(torch.rand(32, 3, 32, 32))
    return made.eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def ours(found, *, rounded=True):
    model = registry.get(Architecture, "vgg11").build(NETWORK).eval()
    model.load_state_dict(found.weights, strict=False)
    if rounded:
        round_activations(model, found.step.activations)
    return model


def observed(model, images, *, fused):
    theirs = Theirs(model).eval()
    if fused:
        triples = [[f"features.{i + j}" for j in range(3)] for i in (0, 4, 8, 11, 15, 18, 22, 25)]
        theirs = ao.fuse_modules(theirs, triples)
    theirs.qconfig = ao.get_default_qconfig("fbgemm")
    prepared = ao.prepare(theirs)
    prepared(images)
    return ao.convert(prepared)


@torch.no_grad()
@pytest.mark.parametrize("fused", [True, pytest.param(False, marks=pytest.mark.long)])
def test_static_quantisation_gives_the_logits_of_its_own_kernels(model, images, fused):
    """But for what lies between two steps: rounded weights alone are ten times as far away."""
    theirs = observed(model, images, fused=fused)
    found = taking.take(NETWORK, files.of({"net": theirs.state_dict()}, "model"))
    places = {name for name, *_ in found.step.activations}
    norms = {f"features.{i + 1}" for i in (0, 4, 8, 11, 15, 18, 22, 25)}
    assert places >= {"normalize", "classifier", *norms}
    assert len(places) == (10 if fused else 18)
    assert found.account["activations"]["left"] == []
    logits = theirs(images)
    step = float(theirs.classifier.scale)
    far = (ours(found)(images) - logits).abs()
    assert far.max() <= 2.01 * step
    assert far.mean() < 0.2 * (ours(found, rounded=False)(images) - logits).abs().mean()


def trained(model, images, *, fused):
    """Under fake quantisation, as training leaves it."""
    theirs = Theirs(model).train()
    if fused:
        triples = [[f"features.{i + j}" for j in range(3)] for i in (0, 4, 8, 11, 15, 18, 22, 25)]
        theirs = ao.fuse_modules_qat(theirs, triples)
    theirs.qconfig = ao.get_default_qat_qconfig("fbgemm")
    theirs = ao.prepare_qat(theirs)
    theirs(images)
    return theirs.apply(ao.disable_observer).eval()


@torch.no_grad()
@pytest.mark.parametrize("fused", [pytest.param(False, marks=pytest.mark.long), True])
def test_fake_quantisation_gives_the_same_logits(model, images, fused):
    theirs = trained(model, images, fused=fused)
    found = taking.take(NETWORK, files.of(theirs.state_dict(), "model"))
    assert len(found.step.activations) == (10 if fused else 18)
    assert {levels for *_, levels in found.step.activations} == {127}
    assert torch.allclose(ours(found)(images), theirs(images), atol=1e-5)
    assert not torch.allclose(ours(found, rounded=False)(images), theirs(images), atol=1e-2)


def test_where_fake_quantisation_is_off_nothing_is_rounded(model, images):
    theirs = trained(model, images, fused=False).apply(ao.disable_fake_quant)
    found = taking.take(NETWORK, files.of(theirs.state_dict(), "model"))
    assert found.step.activations is None


def test_scores_see_the_rounding_and_gradients_pass_through_it(model, images):
    state = observed(model, images, fused=True).state_dict()
    quantised = ours(taking.take(NETWORK, files.of(state, "model")))
    plain = copy.deepcopy(model)
    plain.load_state_dict(quantised.state_dict())
    with torch.no_grad():
        assert torch.equal(folded(quantised)(images), quantised(images))
        assert not torch.equal(plain(images), quantised(images))
    pixels = images.clone().requires_grad_()
    (slope,) = torch.autograd.grad(quantised(pixels).sum(), pixels)
    assert float(slope.abs().sum()) > 0


def test_what_has_no_layer_here_is_told(model, images):
    state = observed(model, images, fused=True).state_dict()
    state |= {"skip.scale": torch.tensor(0.1), "skip.zero_point": torch.tensor(3)}
    found = taking.take(NETWORK, files.of(state, "model"))
    assert (
        "quantised to 8 bits, activations of 10 layers rounded, too; not those of skip, which are no layers "
        "here, pixels normalised by"
    ) in found.text()
    state["skip.scale"] = torch.tensor(float("nan"))
    with pytest.raises(BadInput, match=r"skip\.scale is nan with zero at 3; no scale of 8 bits"):
        taking.take(NETWORK, files.of(state, "model"))


def test_tokens_are_rounded_where_torchao_does(tmp_path):
    torchao = pytest.importorskip("torchao.quantization")
    network = Network("vit-tiny", 1, 5, 3, 32, (0.5,) * 3, (0.25,) * 3, (4, 32))
    torch.manual_seed(0)
    model = registry.get(Architecture, "vit-tiny").build(network).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    theirs = copy.deepcopy(model)
    torchao.quantize_(theirs, torchao.Int8DynamicActivationInt8WeightConfig())
    torch.save(theirs.state_dict(), tmp_path / "int8.pth")
    found = taking.take(network, files.of(tmp_path / "int8.pth", "model"))
    layers = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    assert {name for name, *_ in found.step.activations} == set(layers)
    ours = copy.deepcopy(model)
    ours.load_state_dict(found.weights, strict=False)
    round_activations(ours, found.step.activations)
    passed = {}
    for name in layers:
        theirs.get_submodule(name).register_forward_hook(
            lambda m, i, o, n=name: passed.update({n: (i[0], o)})
        )
    with torch.no_grad():
        theirs(torch.rand(20, 3, 32, 32))
        for name, (read, made) in passed.items():  # each alone: what is rounded otherwise in one spreads
            layer = ours.get_submodule(name)
            assert torch.allclose(layer(read), made, atol=1e-5)
            layer.__class__ = nn.Linear
            assert not torch.allclose(layer(read), made, atol=1e-3)
    assert passed.keys() == set(layers)


@pytest.mark.long
@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet8", "resnet18"])
def test_sums_of_a_graph_are_rounded_as_its_kernels_do(name):
    """Each convolution puts out what the int8 one does, until something is rounded that is no module."""
    network = Network(name, 1, 5, 3, 16, (0.5,) * 3, (0.25,) * 3, (4, 4, 6, 8) + (8,) * (name == "resnet18"))
    torch.manual_seed(0)
    model = registry.get(Architecture, name).build(network).train()
    for _ in range(10):
        model(torch.rand(32, 3, 16, 16))
    images = torch.rand(20, 3, 16, 16)
    mapping = ao.get_default_qconfig_mapping("fbgemm")
    prepared = quantize_fx.prepare_fx(copy.deepcopy(model.eval()), mapping, (images,))
    prepared(images)
    theirs = quantize_fx.convert_fx(prepared)
    found = taking.take(network, files.of({"net": theirs.state_dict()}, "model"))
    places = {place: scale for place, _, scale, *_ in found.step.activations}
    assert {"normalize", "layer1.0", "layer2.0", "layer3.0"} <= places.keys()
    assert found.account["activations"]["left"] == []
    ours = registry.get(Architecture, name).build(network).eval()
    ours.load_state_dict(found.weights, strict=False)
    round_activations(ours, found.step.activations)
    made = [{}, {}]
    pairs = {"layer1.0.conv2": "layer1.0.bn2", "layer2.0.conv2": "layer2.0.bn2"}
    for their, our in pairs.items():
        theirs.get_submodule(their).register_forward_hook(
            lambda m, i, o, n=their: made[0].update({n: o.dequantize()})
        )
        ours.get_submodule(our).register_forward_hook(lambda m, i, o, n=their: made[1].update({n: o}))
    logits = theirs(images)
    assert (ours(images) - logits).abs().max() <= 4.01 * places["fc"]
    for their in pairs:
        apart = (made[0][their] - made[1][their]).abs() > 1e-4
        assert float(apart.float().mean()) < 0.01


@pytest.mark.parametrize(
    ("scale", "zero", "message"),
    [
        (torch.tensor(0.1), torch.tensor(float("nan")), "no scale of 8 bits"),
        (torch.tensor(0.1), torch.tensor(1.5), "no scale of 8 bits"),
        (torch.tensor(-0.1), torch.tensor(1), "no scale of 8 bits"),
        (torch.tensor(0.1), torch.tensor(2**40), "no scale of 8 bits"),
        (torch.tensor(1j), torch.tensor(1), "holds no number"),
        (torch.empty((), device="meta"), torch.tensor(1), "holds no number"),
    ],
)
@pytest.mark.parametrize("name", ["skip.{}", "layer_{}_0"])
def test_scales_that_are_none_are_refused(name, scale, zero, message):
    weight = {"fc.weight": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)}
    state = weight | {name.format("scale"): scale, name.format("zero_point"): zero}
    with pytest.raises(BadInput, match=message):
        files.of(state, "model")


def test_what_a_fused_first_layer_reads_are_the_pixels_of_a_network_that_is_given_them_normalised():
    """As in graphs of networks whose pixels are normalised before, the first normalisation fused."""
    network = Network("resnet8", 1, 5, 3, 8, (0.5,) * 3, (0.25,) * 3, (4, 4, 6, 8))
    state = registry.get(Architecture, "resnet8").build(network).state_dict()
    state = {n: t for n, t in state.items() if not n.startswith(("normalize.", "bn1."))}
    state |= {"conv1.weight": torch.quantize_per_tensor(state["conv1.weight"], 0.01, 0, torch.qint8)}
    state |= {
        "conv1.bias": torch.zeros(4),
        "conv1.scale": torch.tensor(0.2),
        "conv1.zero_point": torch.tensor(0),
    }
    state |= {"conv1_input_scale_0": torch.tensor(0.02), "conv1_input_zero_point_0": torch.tensor(39)}
    found = taking.take(network, files.of(state, "model"))
    assert found.account["activations"]["left"] == []
    scales = {place: scale for place, _, scale, *_ in found.step.activations}
    assert scales == {"bn1": pytest.approx(0.2), "normalize": pytest.approx(0.02)}


def test_what_adds_in_the_file_alone_rounds_the_block_that_it_stands_in():
    network = Network("resnet8", 1, 5, 3, 8, (0.5,) * 3, (0.25,) * 3, (4, 4, 6, 8))
    state = registry.get(Architecture, "resnet8").build(network).state_dict()
    state["fc.weight"] = torch.quantize_per_tensor(state["fc.weight"], 0.01, 0, torch.qint8)
    state |= {"layer1.0.skip_add.scale": torch.tensor(0.1), "layer1.0.skip_add.zero_point": torch.tensor(-3)}
    found = taking.take(network, files.of(state, "model"))
    assert found.step.activations == (("layer1.0", "output", pytest.approx(0.1), 125, 255),)
