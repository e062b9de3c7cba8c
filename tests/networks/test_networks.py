"""Networks against torchvision, and against functions of their weights."""

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from lthbench import masks, registry
from lthbench.checkpoints import tensor_names
from lthbench.kinds import Architecture
from lthbench.spec import Network


def build(name, seed, classes=10, widths=None, mean=0.0, std=1.0):
    """A network in evaluation mode; pixels are not changed unless asked for."""
    architecture = registry.get(Architecture, name)
    torch.manual_seed(seed)
    asked = Network(name, 1, classes, 3, architecture.size, (mean,) * 3, (std,) * 3, widths)
    return architecture.build(asked).eval()


def with_small_stem(model):
    model.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
    model.maxpool = nn.Identity()
    return model


THEIRS = {
    "resnet18": lambda: with_small_stem(torchvision.models.resnet18(num_classes=10)),
    "resnet18-img": lambda: torchvision.models.resnet18(num_classes=10),
    "resnet50": lambda: torchvision.models.resnet50(num_classes=10),
    "googlenet": lambda: torchvision.models.googlenet(num_classes=10, aux_logits=False, init_weights=False),
}


def trained(model):
    """Move the statistics of batch normalisation away from where they start, and its parameters too."""
    torch.manual_seed(1)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.1, 0.1)
    return model


@pytest.mark.parametrize("name", THEIRS)
def test_the_weights_of_torchvision_load_and_give_the_same_logits(name):
    torch.manual_seed(0)
    theirs = trained(THEIRS[name]()).eval()
    ours = build(name, 2)
    missing, unexpected = ours.load_state_dict(theirs.state_dict(), strict=False)
    assert missing == ["normalize.mean", "normalize.std"]
    assert unexpected == []
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))


def torchvision_vit(name):
    """torchvision's network of the sizes of one of ours, with weights that matter."""
    size, patch, depth, heads, hidden = {"vit-tiny": (32, 4, 9, 12, 384), "deit-tiny": (224, 16, 12, 3, 768)}[
        name
    ]
    theirs = torchvision.models.VisionTransformer(size, patch, depth, heads, 192, hidden, num_classes=10)
    torch.manual_seed(3)
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.05)
    return theirs.eval()


@pytest.mark.parametrize("name", ["vit-tiny", pytest.param("deit-tiny", marks=pytest.mark.long)])
def test_a_vision_transformer_computes_what_that_of_torchvision_does(name):
    theirs, ours = torchvision_vit(name), build(name, 0)
    own = {tensor_names.renamed(n, "torchvision"): t for n, t in theirs.state_dict().items()}
    assert own.keys() == {n for n in ours.state_dict() if not n.startswith("normalize.")}
    ours.load_state_dict(own, strict=False)
    x = torch.rand(2, 3, theirs.image_size, theirs.image_size)
    with torch.no_grad():
        found, expected = ours(x), theirs(x)
    assert expected.std() > 0.05
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_grid_of_a_vision_transformer_is_what_its_last_attention_reads_of_patches():
    """And the logits have gradients by it, which they would not have by the last block's own tokens."""
    model = build("vit-tiny", 0)
    seen = {}
    model.blocks[8].norm1.register_forward_hook(lambda m, i, o: seen.__setitem__("read", o))
    model.grid.register_forward_hook(lambda m, i, o: seen.__setitem__("grid", o))
    logits = model(torch.rand(2, 3, 32, 32))
    assert seen["grid"].shape == (2, 192, 8, 8)
    assert torch.equal(seen["grid"][:, :, 3, 5], seen["read"][:, 1 + 3 * 8 + 5])
    (slopes,) = torch.autograd.grad(logits[:, 0].sum(), seen["grid"])
    assert slopes.flatten(2).abs().sum(1).min() > 0


def test_the_features_of_vgg11_are_those_of_torchvision():
    ours = trained(build("vgg11", 0))
    with torch.device("meta"):
        theirs = torchvision.models.vgg11_bn().features.eval()
    theirs.to_empty(device="cpu").load_state_dict(ours.features.state_dict())
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours.features(x), theirs(x))
        assert torch.equal(ours(x), ours.classifier(theirs(x).mean((2, 3))))


@pytest.mark.parametrize("name", ["resnet18-img", "resnet50"])
def test_weights_start_as_in_torchvision(name):
    torch.manual_seed(5)
    theirs = THEIRS[name]().state_dict()
    ours = build(name, 5).state_dict()
    assert all(torch.equal(ours[key], value) for key, value in theirs.items())


# Convolutions: gain / sqrt(fan), or a number; then the head, where it does not start as PyTorch has it.
STARTS = {
    "resnet18": (lambda w: (2 / (w.shape[0] * w[0, 0].numel())) ** 0.5, None),
    "wrn28-10": (lambda w: (2 / (w.shape[0] * w[0, 0].numel())) ** 0.5, None),
    "vgg11": (lambda w: (2 / (w.shape[0] * w[0, 0].numel())) ** 0.5, 0.01),
    "googlenet": (lambda w: 0.01, 0.01),
}


@pytest.mark.parametrize("name", STARTS)
def test_weights_start_with_their_standard_deviation(name):
    expected, head = STARTS[name]
    model = build(name, 0, classes=100)
    for weight in (w.detach() for w in masks.prunable(model).values()):
        deviation = float(weight.std())
        assert deviation == pytest.approx(expected(weight), rel=5 / (2 * weight.numel()) ** 0.5)
        assert float(weight.abs().max()) < 7 * deviation
    linear = next(m for m in model.modules() if isinstance(m, nn.Linear))
    if head:
        assert float(linear.weight.detach().std()) == pytest.approx(head, rel=0.05)
    assert (float(linear.bias.detach().abs().max()) == 0.0) == (name in ("wrn28-10", "vgg11"))


# ------------------------------------------------------------------------ functions of the weights, and hooks


def test_wide_resnets_compute_what_their_weights_say():
    """Zagoruyko and Komodakis 2016, figure 1(d), written out with functions."""
    model = trained(build("wrn28-10", 0, widths=(4, 6, 6, 8), mean=0.5, std=0.2))
    state = model.state_dict()

    def active(name, x):
        moments = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        mean, var, weight, bias = (m[None, :, None, None] for m in moments)
        return ((x - mean) / (var + 1e-5) ** 0.5 * weight + bias).clamp(min=0.0)

    pixels = torch.rand(2, 3, 32, 32)
    x = F.conv2d((pixels - 0.5) / 0.2, state["conv1.weight"], padding=1)
    for stage in (1, 2, 3):
        for block in range(4):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            a = active(f"{name}.bn1", x)
            out = F.conv2d(a, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            out = F.conv2d(active(f"{name}.bn2", out), state[f"{name}.conv2.weight"], padding=1)
            if (block == 0 and stage == 1) or stride == 2:
                x = F.conv2d(a, state[f"{name}.shortcut.weight"], stride=stride)
            x = x + out
    logits = active("bn", x).mean((2, 3)) @ state["fc.weight"].T + state["fc.bias"]
    with torch.no_grad():
        assert torch.allclose(model(pixels), logits, atol=1e-4 * float(logits.abs().max()))


@pytest.mark.parametrize("name", registry.names(Architecture))
def test_no_module_changes_what_another_put_out(name):
    """So that hooks can keep activations without copying them."""
    architecture = registry.get(Architecture, name)
    size = architecture.size if architecture.family == "transformer" else min(architecture.size, 64)
    model, seen = build(name, 0), []
    for module in model.modules():
        if not any(module.children()):
            module.register_forward_hook(lambda m, i, output: seen.append((output, output.clone())))
    with torch.no_grad():
        model(torch.rand(1, 3, size, size))
    assert seen
    assert all(torch.equal(now, then) for now, then in seen)


class Layouts(TorchDispatchMode):
    """Notes sums and rectifiers whose maps lie in memory in different ways: these take many times as long."""

    def __init__(self):
        super().__init__()
        self.calls, self.mixed = 0, []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function in (torch.ops.aten.add.Tensor, torch.ops.aten.threshold_backward.default):
            maps = [a.stride() for a in args if isinstance(a, torch.Tensor) and a.dim() == 4]
            self.calls += 1
            self.mixed += [(str(function), maps)] if len(set(maps)) > 1 else []
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["resnet8", "resnet20s"])
def test_gradients_lie_in_memory_as_activations_do(name):
    model = build(name, 0).train().to(memory_format=torch.channels_last)
    x = torch.rand(4, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    with Layouts() as seen:
        model(x).square().sum().backward()
    assert seen.calls > 10
    assert seen.mixed == []


def test_weights_of_a_vision_transformer_start_with_the_deviation_of_deit():
    """Cut at two deviations it would be 0.0176."""
    weight = build("vit-tiny", 0).blocks[0].mlp.fc1.weight.detach()
    assert float(weight.std()) == pytest.approx(0.02, rel=0.02)
    assert float(weight.abs().max()) > 0.05
