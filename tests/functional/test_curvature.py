"""Loss geometry against Hessians written out in full, and against Hutchinson's estimate."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lthbench import masks
from lthbench.data import loading
from lthbench.errors import StepFailed
from lthbench.functional import curvature
from lthbench.kinds import Architecture
from lthbench.registry import get


@pytest.fixture(scope="module")
def batch():
    """Twelve digits in [0, 1]."""
    images = loading.subset(loading.load("digits", "train", ()), 12)
    return torch.from_numpy(images.pixels).float() / 255.0, torch.from_numpy(images.labels)


@pytest.fixture(scope="module")
def tiny():
    """Two convolutions with batch normalisation, pooling and a linear layer, with statistics."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1),
        nn.BatchNorm2d(3),
        nn.ReLU(),
        nn.Conv2d(3, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 10),
    )
    with torch.no_grad():
        for _ in range(3):
            model.train()(torch.rand(20, 1, 8, 8))
    return model.eval().requires_grad_(False)


def exact(model, images, labels):
    """The Hessian of the mean cross-entropy over all parameters, in full, float64."""
    wide = [p.detach().double() for p in model.parameters()]
    names = [n for n, _ in model.named_parameters()]
    buffers = {n: b.double() for n, b in model.named_buffers()}

    def loss(flat):
        parts = torch.split(flat, [p.numel() for p in wide])
        values = {n: v.reshape(p.shape) for n, v, p in zip(names, parts, wide, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, (values, buffers), images.double()), labels)

    flat = torch.cat([p.reshape(-1) for p in wide])
    return torch.autograd.functional.hessian(loss, flat), flat


def test_the_trace_is_that_of_the_whole_hessian(tiny, batch):
    hessian, flat = exact(tiny, *batch)
    found = curvature.traces(tiny, batch[0], None)
    assert found.weights.mean() == pytest.approx(float(hessian.trace()), rel=1e-4)
    assert found.scaled.mean() == pytest.approx(float((hessian.diagonal() * flat**2).sum()), rel=1e-4)


class Residual(nn.Module):
    """A block whose activations and sum work in place, or not."""

    def __init__(self, inplace):
        super().__init__()
        self.inplace = inplace
        self.first, self.second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x):
        out = self.second(F.relu(self.norm(self.first(x)), inplace=self.inplace))
        return out.add_(x) if self.inplace else out + x


def rectified(inplace):
    """A tiny network with a residual block, the same whether activations work in place or not."""
    torch.manual_seed(0)
    head = (nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(12, 10))
    stem = (nn.Conv2d(1, 3, 3, stride=2), nn.BatchNorm2d(3))
    model = nn.Sequential(*stem, nn.ReLU(inplace), Residual(inplace), nn.ReLU(inplace), *head)
    return model.eval().requires_grad_(False)


def test_activations_in_place_change_no_trace(batch):
    hessian, flat = exact(rectified(False), *batch)
    found = curvature.traces(rectified(True), batch[0], None)
    assert found.weights.mean() == pytest.approx(float(hessian.trace()), rel=1e-4)
    assert found.scaled.mean() == pytest.approx(float((hessian.diagonal() * flat**2).sum()), rel=1e-4)
    for ours, other in zip(found, curvature.traces(rectified(False), batch[0], None), strict=True):
        assert np.array_equal(ours, other)


def test_a_layer_that_is_used_twice_has_no_exact_trace(batch):
    """The Hessian's trace is then not that of the Gauss-Newton matrix, which the exact way computes."""
    shared = nn.Conv2d(1, 1, 3, padding=1)
    head = (nn.Flatten(), nn.Linear(64, 10))
    twice = nn.Sequential(shared, nn.ReLU(), shared, *head).eval()
    with pytest.raises(StepFailed, match="layer 0 is called more than once"):
        curvature.traces(twice, batch[0], None)
    tied = nn.Sequential(shared, nn.ReLU(), nn.Conv2d(1, 1, 3, padding=1), *head).eval()
    tied[2].weight = shared.weight
    with pytest.raises(StepFailed, match="layers 0 and 2 share parameters"):
        curvature.traces(tied, batch[0], None)


def test_each_image_has_its_own_trace(tiny, batch):
    found = curvature.traces(tiny, batch[0], None).weights
    for i in (0, 5):
        hessian, _ = exact(tiny, batch[0][i : i + 1], batch[1][i : i + 1])
        assert found[i] == pytest.approx(float(hessian.trace()), rel=1e-4)


def test_pruned_weights_do_not_count(tiny, batch):
    mask = {"3.weight": torch.rand(4, 3, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.4}
    model = nn.Sequential(*list(tiny))
    hessian, _ = exact(model, *batch)
    place, alive = 0, []
    for name, p in model.named_parameters():
        held = mask.get(name, torch.ones_like(p, dtype=torch.bool)).reshape(-1)
        alive += (held.nonzero()[:, 0] + place).tolist()
        place += p.numel()
    found = curvature.traces(model, batch[0], mask).weights.mean()
    assert found == pytest.approx(float(hessian.diagonal()[alive].sum()), rel=1e-4)
    top, _ = curvature.top_eigenvalue(model, batch[0], batch[1], mask)
    expected = float(torch.linalg.eigvalsh(hessian[alive][:, alive])[-1])
    assert top == pytest.approx(expected, rel=1e-2)


def test_the_eigenvalue_of_large_images_comes_from_few_at_a_time(tiny, batch, monkeypatch):
    """As of all together, without the graph of all in memory."""
    whole, vector = curvature.top_eigenvalue(tiny, batch[0], batch[1], None)
    seen, few = [], len(batch[0]) // 3
    handle = tiny.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    monkeypatch.setattr(curvature, "with_gradients", lambda height, width: few)
    apart, same = curvature.top_eigenvalue(tiny, batch[0], batch[1], None)
    handle.remove()
    assert max(seen) == few
    assert apart == pytest.approx(whole, rel=1e-4)
    for name, v in vector.items():
        torch.testing.assert_close(same[name], v, rtol=1e-2, atol=1e-3)


def test_the_trace_over_pixels_is_that_of_the_hessian_of_one_image(tiny, batch):
    image, label = batch[0][3:4], batch[1][3:4]

    def loss(flat):
        return F.cross_entropy(tiny(flat.reshape(1, 1, 8, 8)), label)

    hessian = torch.autograd.functional.hessian(loss, image.reshape(-1))
    assert curvature.traces(tiny, image, None).pixels[0] == pytest.approx(float(hessian.trace()), rel=1e-4)


@pytest.fixture
def resnet(network):
    """ResNet-8 with statistics from real digits, in evaluation mode."""
    torch.manual_seed(0)
    model = get(Architecture, "resnet8").build(network)
    with torch.no_grad():
        model.train()(torch.from_numpy(loading.load("digits", "train", ()).pixels[:200]).float() / 255.0)
    return model.eval()


@pytest.mark.long
def test_hutchinsons_estimate_comes_to_the_same_on_a_residual_network(resnet, batch):
    """Double backward with 300 Rademacher vectors; agreement within four of its standard errors."""
    images, labels = batch
    parameters = list(resnet.parameters())
    gradients = torch.autograd.grad(F.cross_entropy(resnet(images), labels), parameters, create_graph=True)
    draw = torch.Generator().manual_seed(0)
    probes = []
    for _ in range(300):
        v = [torch.randint(0, 2, p.shape, generator=draw).float() * 2 - 1 for p in parameters]
        products = torch.autograd.grad(gradients, parameters, v, retain_graph=True)
        probes.append(sum(float((a * b).sum()) for a, b in zip(v, products, strict=True)))
    found = curvature.traces(resnet.requires_grad_(False), images, None).weights.mean()
    assert abs(found - np.mean(probes)) < 4 * np.std(probes, ddof=1) / np.sqrt(len(probes))


def test_the_model_is_left_as_it_was(resnet, batch):
    before = {k: v.clone() for k, v in resnet.state_dict().items()}
    flags = [p.requires_grad for p in resnet.parameters()]
    curvature.traces(resnet, batch[0], None)
    curvature.top_eigenvalue(resnet, batch[0], batch[1], None)
    assert all(torch.equal(v, before[k]) for k, v in resnet.state_dict().items())
    assert [p.requires_grad for p in resnet.parameters()] == flags
    assert not any(m._forward_hooks for m in resnet.modules())


@pytest.mark.long
def test_many_classes_are_sampled_without_bias(network, batch, monkeypatch):
    """With more than 20 classes, random signs stand in for all directions: the same value in the mean."""
    torch.manual_seed(0)
    model = (
        get(Architecture, "resnet8")
        .build(dataclasses.replace(network, classes=30))
        .eval()
        .requires_grad_(False)
    )
    sampled = curvature.traces(model, batch[0], None).weights.mean()
    monkeypatch.setattr(curvature, "PROBES", 400)
    many = curvature.traces(model, batch[0], None).weights.mean()
    monkeypatch.setattr(curvature, "EXACT_CLASSES", 30)
    whole = curvature.traces(model, batch[0], None).weights.mean()
    assert many == pytest.approx(whole, rel=0.05)
    assert sampled == pytest.approx(whole, rel=0.5)


@pytest.mark.parametrize("name", ["resnet8", "resnet20s"])
def test_networks_are_piecewise_linear_in_each_weight(name, network, batch):
    """What the exact trace rests on: the second derivative of a logit by one weight is zero."""
    torch.manual_seed(0)
    model = get(Architecture, name).build(dataclasses.replace(network, architecture=name)).eval()
    draw = torch.Generator().manual_seed(0)
    output = model(batch[0][:2])[0, 3]
    for weight in list(masks.prunable(model).values())[::3]:
        (slope,) = torch.autograd.grad(output, weight, create_graph=True)
        place = int(torch.randint(0, weight.numel(), (1,), generator=draw))
        (second,) = torch.autograd.grad(
            slope.reshape(-1)[place], weight, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        assert float(second.reshape(-1)[place]) == 0.0


def test_a_layer_without_an_exact_trace_is_refused_by_name(batch):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.PReLU(), nn.Flatten(), nn.Linear(72, 10))
    with pytest.raises(StepFailed, match=r"layer 1 \(PReLU\)"):
        curvature.traces(model, batch[0], None)


class Doubled(nn.Conv2d):
    """A convolution of twice its input."""

    def forward(self, x):
        return super().forward(2.0 * x)


def test_layers_that_do_more_than_their_kind_have_no_exact_trace(batch):
    """Told as exact, the trace was 1.4 where it is 2.3."""
    hooked = nn.Conv2d(1, 2, 3)
    hooked.register_forward_hook(lambda module, inputs, output: output.relu())
    for made, name in ((Doubled(1, 2, 3), "Doubled"), (hooked, "Conv2d")):
        model = nn.Sequential(made, nn.Flatten(), nn.Linear(72, 10))
        with pytest.raises(StepFailed, match=rf"layer 0 \({name}\) puts out something else"):
            curvature.traces(model, batch[0], None)


def test_a_hook_before_a_layer_leaves_the_trace_exact(batch):
    """What it changes is the layer's input."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 1, 6), nn.Flatten(), nn.Linear(9, 10))
    model[0].register_forward_pre_hook(lambda module, inputs: (2.0 * inputs[0],))
    hessian, _ = exact(model, *batch)
    found = curvature.traces(model, batch[0], None)
    assert found.weights.mean() == pytest.approx(float(hessian.trace()), rel=1e-4)
