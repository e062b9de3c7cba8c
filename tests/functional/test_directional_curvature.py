"""Curvature of networks that are not piecewise linear, against Hessians written out in full."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lthbench import registry
from lthbench.compute.rng import generator
from lthbench.errors import StepFailed
from lthbench.functional import curvature, directional_curvature, piecewise_linear
from lthbench.kinds import Architecture
from lthbench.networks.vision_transformer import VisionTransformer
from lthbench.spec import Network


@pytest.fixture(scope="module")
def tiny():
    """A transformer of two blocks on images of 4 x 4, with weights that matter."""
    torch.manual_seed(0)
    model = VisionTransformer(Network("x", 1, 3, 1, 4, (0.5,), (0.3,)), (2, 5), depth=2, heads=2, patch=2)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch():
    draw = torch.Generator().manual_seed(1)
    return torch.rand(6, 1, 4, 4, generator=draw, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])


def diagonals(model, images, labels):
    """The diagonal of the Hessian of the cross-entropy of each image, by double backward ``[N, weights]``."""
    named = {n: p.detach() for n, p in model.named_parameters()}

    def loss(weights, image, label):
        return F.cross_entropy(torch.func.functional_call(model, weights, (image[None],)), label[None])

    def diagonal(image, label):
        hessian = torch.func.jacrev(torch.func.jacrev(loss))(named, image, label)
        return torch.cat([hessian[n][n].reshape(p.numel(), p.numel()).diagonal() for n, p in named.items()])

    found = torch.stack([diagonal(x, y) for x, y in zip(images, labels, strict=True)])
    return found, torch.cat([p.reshape(-1) for p in named.values()])


def test_what_bends_a_network_is_found(tiny, batch):
    found = piecewise_linear.curved(tiny, batch[0][:1])
    assert found == ["gelu", "layer_norm", "matmul", "softmax"]
    flat = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    assert piecewise_linear.curved(flat.double().eval(), batch[0]) == []


@pytest.mark.parametrize("name", [n for n in registry.names(Architecture) if "t-tiny" not in n])
def test_convolutional_networks_are_piecewise_linear(name):
    architecture = registry.get(Architecture, name)
    widths = tuple(max(1, w // 16) for w in architecture.widths)
    network = Network(name, 1, 3, 1, 64, (0.5,), (0.5,), widths)
    assert piecewise_linear.curved(architecture.build(network).eval(), torch.rand(1, 1, 64, 64)) == []


@pytest.mark.long
def test_a_second_derivative_is_the_quadratic_form(tiny, batch):
    draw = torch.Generator().manual_seed(2)
    weights = {n: p.detach() for n, p in tiny.named_parameters()}
    v = {n: torch.randn(p.shape, generator=draw, dtype=p.dtype) for n, p in weights.items()}

    def loss(t):
        moved = {n: p + t * v[n] for n, p in weights.items()}
        return F.cross_entropy(
            torch.func.functional_call(tiny, moved, (batch[0],)), batch[1], reduction="none"
        )

    found = directional_curvature.second_derivative(loss, batch[0])
    step = 1e-4
    expected = (loss(step) - 2 * loss(0.0) + loss(-step)) / step**2
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


def with_norm(x):
    return F.layer_norm(x, (6,), x[0] + 1.0, x[1]), F.group_norm(x.reshape(2, 4, 3), 2, x[0, :4], x[1, :4])


@pytest.mark.long
@pytest.mark.parametrize(
    "function",
    [
        *(F.gelu, F.silu, F.softplus, F.elu, F.mish, torch.tanh, torch.sigmoid, torch.erf, torch.exp),
        *(lambda x: F.gelu(x, approximate="tanh"), lambda x: x.softmax(1), lambda x: x @ x.T),
        *(lambda x: with_norm(x)[0], lambda x: with_norm(x)[1], lambda x: F.layer_norm(x, (4, 6))),
        lambda x: F.scaled_dot_product_attention(x[None], x[None], x[None]),
        lambda x: F.linear(x[None], x, x[:, 0]),
        lambda x: F.cross_entropy(x, torch.arange(4), reduction="none"),
        lambda x: F.batch_norm(x, torch.arange(6.0).double(), torch.ones(6).double(), x[2], x[3]),
        lambda x: F.conv2d(x[None, None], x[None, None, :2, :2], x[0, :1]),
        lambda x: F.rms_norm(x, (6,), x[0]),
    ],
)
def test_second_derivatives_are_those_of_differences(function):
    """Of each function by itself, since PyTorch's are not right for all."""
    draw = torch.Generator().manual_seed(3)
    x, v = (torch.randn(4, 6, generator=draw, dtype=torch.float64) for _ in range(2))
    found = directional_curvature.second_derivative(lambda t: function(x + t * v), x)
    step = 1e-4
    expected = (function(x + step * v) - 2 * function(x) + function(x - step * v)) / step**2
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("way", ["differences", "derivatives"])
def test_estimates_are_the_forms_of_their_directions(tiny, batch, monkeypatch, way):
    """Those of the signs that are drawn, from the Hessian of each image in full."""
    images, labels = batch[0][:2], batch[1][:2]
    monkeypatch.setattr(directional_curvature, "PROBES", 2)
    if way == "derivatives":
        monkeypatch.setattr(directional_curvature, "_SMOOTH", frozenset())
    found = curvature.traces(tiny, images, None, labels)
    named = {n: p.detach() for n, p in tiny.named_parameters()}
    sizes = [p.numel() for p in named.values()]
    flat = torch.cat([p.reshape(-1) for p in named.values()])
    expected = torch.zeros(3, 2, dtype=torch.float64)
    for i in range(2):

        def loss(flat, image, i=i):
            parts = torch.split(flat, sizes)
            values = {n: v.reshape(p.shape) for (n, p), v in zip(named.items(), parts, strict=True)}
            logits = torch.func.functional_call(tiny, values, (image.reshape(1, 1, 4, 4),))
            return F.cross_entropy(logits, labels[i : i + 1])

        pixels = images[i].reshape(-1)
        over_weights = torch.autograd.functional.hessian(lambda w, x=pixels, of=loss: of(w, x), flat)
        over_pixels = torch.autograd.functional.hessian(lambda x, of=loss: of(flat, x), pixels)
        for probe in range(2):
            draw = generator("directions", 0, probe)
            signs = [torch.randint(0, 2, p.shape, generator=draw).reshape(-1) for p in named.values()]
            v = torch.cat(signs).double() * 2 - 1
            u = (torch.randint(0, 2, images.shape, generator=draw).double() * 2 - 1)[i].reshape(-1)
            forms = (v @ over_weights @ v, (v * flat) @ over_weights @ (v * flat), u @ over_pixels @ u)
            expected[:, i] += torch.stack(forms) / 2
    for estimates, wanted in zip(found, expected.numpy(), strict=True):
        assert estimates == pytest.approx(wanted, rel=1e-5, abs=1e-5)


def test_pruned_weights_do_not_count(tiny, batch, monkeypatch):
    """A mask that leaves one weight: its second derivative is found without a draw that matters."""
    images, labels = batch
    monkeypatch.setattr(directional_curvature, "PROBES", 1)
    mask = {n: torch.zeros_like(p, dtype=torch.bool) for n, p in tiny.named_parameters()}
    mask["norm.weight"][1] = True
    exact, weights = diagonals(tiny, images, labels)
    place = int(torch.cat([m.reshape(-1) for m in mask.values()]).nonzero()[0, 0])
    found = curvature.traces(tiny, images, mask, labels)
    assert float(exact[:, place].abs().max()) > 0.01
    assert found.weights == pytest.approx(exact[:, place].numpy(), rel=1e-5, abs=1e-6)
    assert found.scaled == pytest.approx((exact[:, place] * weights[place] ** 2).numpy(), rel=1e-5, abs=1e-6)


def test_the_same_directions_are_drawn_again(tiny, batch):
    one, other = (curvature.traces(tiny, batch[0], None, batch[1]) for _ in range(2))
    assert all((a == b).all() for a, b in zip(one, other, strict=True))


def test_without_labels_it_says_what_bends_it(tiny, batch):
    with pytest.raises(StepFailed, match="gelu, layer_norm, matmul, softmax has no exact trace"):
        curvature.traces(tiny, batch[0], None)


@pytest.mark.long
def test_the_top_eigenvalue_is_that_of_the_whole_hessian(tiny, batch):
    images, labels = batch[0].float(), batch[1]
    named = {n: p.detach().float() for n, p in tiny.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def loss(flat):
        parts = torch.split(flat, sizes)
        values = {n: v.reshape(p.shape) for (n, p), v in zip(named.items(), parts, strict=True)}
        return F.cross_entropy(torch.func.functional_call(single, values, (images,)), labels)

    import copy

    single = copy.deepcopy(tiny).float()
    hessian = torch.autograd.functional.hessian(loss, torch.cat([p.reshape(-1) for p in named.values()]))
    found, _ = curvature.top_eigenvalue(single, images, labels, None)
    assert found == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-2)
