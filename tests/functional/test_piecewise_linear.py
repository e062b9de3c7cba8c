"""Which networks have an exact trace of the Hessian; of others, single diagonal entries in full."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lthbench.errors import StepFailed
from lthbench.functional import curvature, directional_curvature, piecewise_linear
from lthbench.functional.piecewise_linear import curved


class Called(nn.Module):
    """A function as a layer."""

    def __init__(self, function):
        super().__init__()
        self.forward = function


class Standardised(nn.Conv2d):
    """A convolution whose weights have a mean of zero."""

    def forward(self, x):
        return F.conv2d(x, self.weight - self.weight.mean(), self.bias, padding=1)


def network(*layers):
    torch.manual_seed(0)
    stem, head = nn.Conv2d(1, 4, 3, padding=1), (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(3))
    model = nn.Sequential(stem, *(x if isinstance(x, nn.Module) else Called(x) for x in layers), *head)
    model(torch.rand(2, 1, 6, 6))
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
        if parameter.dim() == 1:  # biases that keep units alive
            nn.init.uniform_(parameter, 0.5, 1.0)
    return model.double().eval().requires_grad_(False)


@pytest.fixture(scope="module")
def batch():
    draw = torch.Generator().manual_seed(1)
    return torch.rand(2, 1, 6, 6, generator=draw, dtype=torch.float64), torch.tensor([0, 2])


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda x: x * F.relu6(x + 3) / 6, "mul"),
        (lambda x: F.relu(x).mul_(x), "mul"),
        (lambda x: x / (1 + x.abs()), "div"),
        (lambda x: x**2, "pow"),
        (torch.square, "square"),
        (lambda x: F.relu(x).sqrt(), "sqrt"),
        (lambda x: x / x.norm(dim=1, keepdim=True), "norm"),
        (nn.GLU(1), "glu"),
        (nn.LogSigmoid(), "log_sigmoid"),
        (nn.Tanhshrink(), "tanhshrink"),
        (nn.LocalResponseNorm(3), "local_response_norm"),
        (nn.LPPool2d(2, 2), "lp_pool2d"),
        (nn.BatchNorm2d(4, track_running_stats=False), "batch_norm"),
        (Standardised(4, 4, 3), "conv2d"),
    ],
)
def test_what_is_not_known_to_be_piecewise_linear_bends(batch, layer, name):
    model = network(layer)
    assert name in curved(model, batch[0][:1])
    with pytest.raises(StepFailed, match=f"a network with .*{name}.* has no exact trace"):
        curvature.traces(model, batch[0], None)


@pytest.mark.parametrize(
    "layer",
    [
        *(nn.LeakyReLU(0.1), nn.ReLU6(), nn.Hardtanh(), nn.PReLU(), nn.BatchNorm2d(4), nn.MaxPool2d(2)),
        *(nn.Upsample(scale_factor=2, mode="bilinear"), nn.ConvTranspose2d(4, 4, 2, 2), nn.Dropout()),
        lambda x: x * (x > 0),
        lambda x: torch.maximum(x, -x / 2) + 0.5 * x[:, :, :1],
        lambda x: x + torch.arange(6.0).sin().exp() * torch.ones(6).pow(2),
        lambda x: F.relu_(x).sub_(1).clamp(max=2),
    ],
)
def test_what_is_piecewise_linear_is_told(batch, layer):
    model = network(layer)
    assert curved(model, batch[0][:1]) == []
    assert not any(p.requires_grad for p in model.parameters())


def test_what_is_only_looked_at_is_used_once(batch):
    model = network(Cast(4, 4, 3, padding=1), nn.BatchNorm2d(4))
    assert set(piecewise_linear.uses(model, batch[0][:1]).values()) == {1}
    assert curvature.no_exact_trace(model, batch[0][:1]) == ""
    curvature.traces(model, batch[0], None)


def test_a_layer_that_pads_otherwise_than_it_says_has_no_exact_trace(batch):
    """It was said to have one, which then ended in an error of shapes."""
    model = network(Cast(4, 4, 3))
    assert "layer 1 (Cast) puts out something else" in curvature.no_exact_trace(model, batch[0][:1])


def entries(model, batch, name, place):
    """The second derivative of each image's cross-entropy by one weight, by double backward."""
    images, labels = batch
    weight = model.get_parameter(name).detach()
    entry = torch.zeros_like(weight).reshape(-1)
    entry[place] = 1.0

    def loss(t, i):
        moved = {name: weight + t * entry.reshape(weight.shape)}
        # Of a copy: what is put into a layer that stands in a network twice is left there.
        logits = torch.func.functional_call(copy.deepcopy(model), moved, (images[i : i + 1],))
        return F.cross_entropy(logits, labels[i : i + 1])

    zero = torch.zeros((), dtype=torch.float64)
    return [float(torch.autograd.functional.hessian(lambda t, i=i: loss(t, i), zero)) for i in range(2)]


def twice():
    shared = nn.Conv2d(4, 4, 3, padding=1)
    return network(shared, nn.ReLU(), shared), "1.weight"


def tied():
    model = network(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1))
    model[3].weight = model[1].weight
    return model, "1.weight"


def on_places():
    return network(nn.ReLU(), lambda x: x.transpose(1, 3), nn.Linear(4, 4), lambda x: x.transpose(1, 3))


class Again(nn.Module):
    """A convolution whose weights a function uses, after the layer or in its place."""

    def __init__(self, called):
        super().__init__()
        self.layer, self.called = nn.Conv2d(4, 4, 3, padding=1), called

    def forward(self, x):
        x = F.relu(self.layer(x)) if self.called else x
        return F.relu(F.conv2d(x, self.layer.weight, padding=1))


class Cast(nn.Conv2d):
    """A convolution that looks at its weights, and casts them to the type that they have."""

    def forward(self, x):
        assert self.weight.shape[0] == self.weight.size(0) == len(self.weight)
        assert bool((self.weight.detach() != 0).any())
        return F.conv2d(x, self.weight.to(x.dtype), self.bias, padding=1)


OTHERS = {
    "transposed": (
        lambda: (network(nn.ConvTranspose2d(4, 4, 2, 2), nn.ReLU()), "1.weight"),
        "ConvTranspose2d",
    ),
    "PReLU": (lambda: (network(nn.PReLU()), "1.weight"), "PReLU"),
    "BatchNorm1d": (
        lambda: (network(nn.Flatten(2), nn.BatchNorm1d(4), lambda x: x[..., None]), "2.weight"),
        "BatchNorm1d",
    ),
    "twice": (twice, "layer 1 is called more than once"),
    "tied": (tied, "layers 1 and 3 share parameters"),
    "again": (
        lambda: (network(Again(True)), "1.layer.weight"),
        "weight is used outside of its layer",
    ),
    "in its place": (lambda: (network(Again(False)), "1.layer.weight"), "used outside of its layer"),
    "same": (lambda: (network(nn.Conv2d(4, 4, 3, padding="same"), nn.ReLU()), "1.weight"), "padding by name"),
    "reflected": (
        lambda: (network(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU()), "1.weight"),
        "padding by name or by other values",
    ),
    "on places": (lambda: (on_places(), "3.weight"), "applied at several places"),
    "h-swish": (lambda: (network(lambda x: x * F.relu6(x + 3) / 6), "0.weight"), "mul"),
    "GLU": (lambda: (network(lambda x: F.glu(F.relu(x), 1)), "0.weight"), "glu"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_what_has_no_exact_trace_is_estimated(batch, monkeypatch, kind):
    """With a mask that leaves one weight, whose second derivative is found whatever the draw."""
    monkeypatch.setattr(directional_curvature, "PROBES", 1)
    make, why = OTHERS[kind]
    model, name = make()
    mask = {n: torch.zeros_like(p, dtype=torch.bool) for n, p in model.named_parameters()}
    place = mask[name].numel() // 2
    mask[name].reshape(-1)[place] = True
    wanted = entries(model, batch, name, place)
    before = dict(model.named_parameters())
    found = curvature.traces(model, batch[0], mask, batch[1])
    assert all(p is before[n] for n, p in model.named_parameters())
    assert max(map(abs, wanted)) > 1e-6
    assert found.weights == pytest.approx(wanted, rel=1e-5)
    assert why in curvature.no_exact_trace(model, batch[0][:1])


@pytest.mark.parametrize("groups", [2, 4])
def test_grouped_convolutions_have_exact_traces(batch, groups):
    model = network(nn.Conv2d(4, 8, 3, 2, 1, groups=groups), nn.ReLU(), nn.Conv2d(8, 4, 1))
    name = "1.weight"
    found = [entries(model, batch, name, place) for place in range(model.get_parameter(name).numel())]
    wanted = torch.tensor(found).sum(0).numpy()
    mask = {n: torch.full_like(p, n == name, dtype=torch.bool) for n, p in model.named_parameters()}
    assert curvature.traces(model, batch[0], mask).weights == pytest.approx(wanted, rel=1e-5)


class Attends(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens, need_weights=False)[0].transpose(1, 2)[..., None]


def test_attention_has_an_eigenvalue(batch):
    """PyTorch's own attention, whose faster ways lack second derivatives on a CPU."""
    model = network(Attends()).float()
    images, labels = batch[0].float(), batch[1]
    named = {n: p.detach() for n, p in model.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def loss(flat):
        parts = zip(named.items(), torch.split(flat, sizes), strict=True)
        values = {n: v.reshape(p.shape) for (n, p), v in parts}
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            return F.cross_entropy(torch.func.functional_call(model, values, (images,)), labels)

    hessian = torch.autograd.functional.hessian(loss, torch.cat([p.reshape(-1) for p in named.values()]))
    found, _ = curvature.top_eigenvalue(model, images, labels, None)
    assert found == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-2)
    assert "multi_head_attention_forward" in curvature.no_exact_trace(model, images[:1])
    assert curvature.traces(model, images, None, labels).weights.shape == (2,)
