"""A folded network is the same function, in fewer operations."""

from functools import partial

import pytest
import torch
from torch import nn

from lthbench import registry
from lthbench.inference import folding
from lthbench.inference.folding import folded
from lthbench.kinds import Architecture
from lthbench.spec import Network


def network(name):
    """A network of few channels whose batch normalisations have seen something."""
    architecture = registry.get(Architecture, name)
    size = min(architecture.size, 64) if "googlenet" not in name else 96
    widths = None if architecture.widths is None else tuple(max(1, w // 8) for w in architecture.widths)
    made = architecture.build(Network(name, 1, 7, 3, size, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), widths))
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.2)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 2.0)
            module.bias.data.normal_(0.0, 0.2)
    return made.eval().requires_grad_(False), torch.rand(5, 3, size, size)


@pytest.mark.parametrize("name", registry.names(Architecture))
@torch.no_grad()
def test_logits_are_those_of_the_network_and_it_is_left_as_it_was(name):
    torch.manual_seed(0)
    model, x = network(name)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    seen, expected = x.clone(), model(x)
    fast = folded(model)
    for _ in range(2):
        found = fast(x)
        assert (found - expected).abs().max() <= 2e-6 * expected.abs().max()
        torch.testing.assert_close(x, seen, rtol=0.0, atol=0.0)
    left = [m for m in fast.modules() if isinstance(m, nn.BatchNorm2d)]
    assert bool(left) == (name == "wrn28-10")  # its rectifiers stand between normalisation and convolution
    torch.testing.assert_close(model.state_dict(), before, rtol=0.0, atol=0.0)


class Shared(nn.Module):
    """Values that are read twice, a rectified input, and sums with the fresh term in either place."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        once = torch.relu(x)
        both = self.a(once)
        kept = torch.relu(both)
        summed = x + self.b(kept)
        scaled = both + 1.0
        return torch.relu(summed) + scaled + kept + once


@torch.no_grad()
def test_what_is_read_again_is_not_written_over():
    torch.manual_seed(0)
    model, x = Shared().eval(), torch.randn(2, 3, 8, 8)
    seen, expected = x.clone(), model(x)
    torch.testing.assert_close(folded(model)(x), expected)
    torch.testing.assert_close(x, seen, rtol=0.0, atol=0.0)


class Named(nn.Module):
    """Rectifiers that are given their input by name."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)

    def forward(self, x):
        x = nn.functional.relu(inplace=True, input=self.a(x))
        return torch.relu(input=self.b(x))


@torch.no_grad()
def test_an_input_that_is_given_by_name_is_found():
    torch.manual_seed(0)
    model, x = Named().eval(), torch.randn(2, 3, 8, 8)
    fast = folded(model)
    torch.testing.assert_close(fast(x), model(x))
    rectified = [n.target for n in fast.graph.nodes if n.op == "call_function"]
    assert rectified == [torch.relu_, torch.relu_]


class Branching(nn.Module):
    """Cannot be traced: what it does depends on the values."""

    def forward(self, x):
        return x.mean((2, 3)) if x.sum() > 0 else -x.mean((2, 3))


def test_a_network_that_cannot_be_traced_is_used_as_it_is():
    model = Branching().eval()
    assert folded(model) is model


def test_only_what_the_network_does_is_excused(monkeypatch):
    monkeypatch.setattr(folding, "_reuses", lambda graph: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        folding.folded(Shared().eval())


def test_only_a_network_in_evaluation_mode_is_folded():
    with pytest.raises(AssertionError, match="evaluation mode"):
        folded(Shared().train())


class Twice(nn.Module):
    """A convolution that is called twice, each time with a normalisation of its own."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.first, self.second = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.second(self.conv(torch.relu(self.first(self.conv(x)))))


class Kept(nn.Module):
    """Normalisations that cannot go: by the batch's own statistics, of what is read elsewhere, of a sum."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.own = nn.BatchNorm2d(3, track_running_stats=False)
        self.read, self.sum, self.gone = nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.next = nn.BatchNorm2d(3)  # goes into the same convolution as the one before it
        for norm in (self.gone, self.next):
            norm.weight.data.uniform_(0.5, 2.0)
            norm.bias.data.normal_()

    def forward(self, x):
        both = self.b(self.own(self.a(x)))
        return self.next(self.gone(self.c(self.sum(self.read(both) + both))))


@torch.no_grad()
def test_only_what_a_fixed_scale_and_shift_replace_is_folded():
    torch.manual_seed(0)
    model, x = Kept(), torch.randn(4, 3, 5, 5)
    model(x)
    expected = model.eval()(x)
    fast = folded(model)
    assert {n for n, m in fast.named_modules() if isinstance(m, nn.BatchNorm2d)} == {"own", "read", "sum"}
    torch.testing.assert_close(fast(x), expected)
    assert isinstance(model.gone, nn.BatchNorm2d)


class Gated(nn.Module):
    """Sums of different shapes, the smaller one first or last, and of different types."""

    def __init__(self, first):
        super().__init__()
        self.one, self.many, self.first = nn.Conv2d(3, 1, 1), nn.Conv2d(3, 4, 1), first

    def forward(self, x):
        return self.one(x) + self.many(x) if self.first else self.many(x) + self.one(x)


@pytest.mark.parametrize("model", [Twice(), Gated(True), Gated(False)])
@torch.no_grad()
def test_what_is_called_twice_or_summed_in_other_shapes_is_the_same_function(model):
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0.0, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    x = torch.rand(4, 3, 8, 8)
    model.eval().requires_grad_(False)
    torch.testing.assert_close(folded(model)(x), model(x), rtol=1e-5, atol=1e-6)


class Tied(nn.Module):
    """The weight of a convolution, which a normalisation follows, is read once more beside it."""

    def __init__(self):
        super().__init__()
        self.a, self.norm = nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3)

    def forward(self, x):
        return self.norm(self.a(x)) + nn.functional.conv2d(x, self.a.weight, padding=1)


def hooked(before=False):
    """A convolution with a hook that changes what goes in, or what comes out, and its normalisation."""
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
    if before:
        model[0].register_forward_pre_hook(lambda module, inputs: (inputs[0].abs() + 1.0,))
    else:
        model[0].register_forward_hook(lambda module, inputs, output: 2.0 * output)
    return model


def older_spectral_norm():
    return nn.Sequential(nn.utils.spectral_norm(nn.Conv2d(3, 3, 3)), nn.BatchNorm2d(3))


MADE = [Tied, hooked, partial(hooked, before=True), older_spectral_norm]


@pytest.mark.parametrize("made", MADE)
@torch.no_grad()
def test_hooks_and_weights_that_others_read_keep_their_meaning(made):
    """Accuracy of such a network was told as 38 % where it is 99 %."""
    torch.manual_seed(0)
    model = made()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.2, 0.5)
            module.bias.normal_()
    x = torch.rand(4, 3, 6, 6)
    expected = model.eval()(x)
    torch.testing.assert_close(folded(model)(x), expected, rtol=0.0, atol=0.0)


@torch.no_grad()
def test_a_normalisation_that_stays_in_training_mode_is_left():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)).eval()
    model[1].train()
    x = torch.rand(4, 3, 6, 6)
    torch.testing.assert_close(folded(model)(x), model(x))
