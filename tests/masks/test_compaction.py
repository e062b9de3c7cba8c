"""Networks without their removed channels: the same outputs on real images, and what they cost."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lthbench import masks
from lthbench.data import loading
from lthbench.errors import StepFailed
from lthbench.functional.model_size import cost
from lthbench.kinds import Architecture
from lthbench.masks import structured
from lthbench.masks.compaction import compact
from lthbench.masks.expansion import Narrower, narrower
from lthbench.registry import get

#: Networks of which filters can go, narrow, with the size of image that each needs.
NARROW = {
    "resnet8": (8, None),
    "resnet20s": (32, (8, 8, 12, 16)),
    "resnet18": (32, (8, 8, 12, 16, 20)),
    "vgg11": (32, (8, 12, 16, 16, 20, 20, 20, 20)),
    "resnet50": (32, (8, 8, 12, 16, 20)),
    "wrn28-10": (32, (8, 8, 12, 16)),
}


def pruned(network, name, density):
    """A network with statistics as of training, its mask, and digits of its size."""
    size, widths = NARROW[name]
    torch.manual_seed(0)
    architecture = get(Architecture, name)
    model = architecture.build(dataclasses.replace(network, architecture=name, size=size, widths=widths))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.3)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    scores = {n: w.detach().abs() for n, w in masks.prunable(model).items()}
    mask = structured.top_filters(model, scores, density)
    masks.apply(model, mask)
    digits = torch.from_numpy(loading.load("digits", "test", ()).pixels[:40]).float().div(255.0)
    return model.eval(), mask, F.interpolate(digits, size=size)


@pytest.mark.parametrize("density", [pytest.param(0.7, marks=pytest.mark.long), 0.35])
@pytest.mark.parametrize("name", NARROW)
def test_outputs_are_those_of_the_masked_network(network, name, density):
    model, mask, images = pruned(network, name, density)
    before = {n: t.clone() for n, t in model.state_dict().items()}
    smaller = compact(model, mask)
    with torch.no_grad():
        assert torch.allclose(smaller(images), model(images), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert smaller.state_dict().keys() == before.keys()


def test_its_counts_are_those_that_were_counted_from_the_mask(network):
    """The operations without pruned weights, counted by the mask, are those that the small one does."""
    model, mask, images = pruned(network, "resnet20s", 0.5)
    shape = tuple(images.shape[1:])
    small, masked = cost(compact(model, mask), None, shape), cost(model, mask, shape)
    assert small.flops_dense == masked.flops_sparse < masked.flops_dense
    assert small.parameters == masked.nonzeros < masked.parameters
    removed = sum(
        int((~mask[f"{c.producer}.weight"].flatten(1).any(1)).sum()) for c in structured.cuts(model)
    )
    assert removed > 0
    named = dict(compact(model, mask).named_modules())
    assert all(
        m.weight.shape[:2] == (m.out_channels, m.in_channels)
        for m in named.values()
        if isinstance(m, nn.Conv2d)
    )


def test_a_linear_layer_loses_all_pixels_of_a_channel():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 2))
    kept = {"0": torch.tensor([True, False, True, True, False, True])}
    mask = structured.mask_without(model, structured.cuts(model), kept)
    masks.apply(model, mask)
    smaller, images = compact(model, mask), torch.rand(5, 3, 4, 4)
    assert smaller[3].weight.shape == (2, 4 * 16)
    assert torch.allclose(smaller(images), model(images), atol=1e-6)


class Smooth(nn.Module):
    """Channels meet an activation under which none can go."""

    def __init__(self):
        super().__init__()
        self.one, self.other, self.last = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 4)

    def forward(self, x):
        return self.last(F.silu(self.other(F.silu(self.one(x)))).mean((2, 3)))


class Branching(Smooth):
    """What is computed depends on the size of the images: no graph can be taken of it."""

    def forward(self, x):
        return super().forward(x if x.shape[-1] > 5 else F.interpolate(x, scale_factor=2.0))


@pytest.mark.parametrize(
    ("kind", "why"), [(Smooth, "no filter, neuron or head"), (Branching, "cannot trace")]
)
def test_networks_of_which_no_channel_can_go_are_refused_in_words(kind, why):
    model = kind()
    mask = masks.top({n: w.detach().abs() for n, w in masks.prunable(model).items()}, 0.5)
    with pytest.raises(StepFailed, match=f"{why}.*nothing gets smaller"):
        compact(model, mask)
    assert narrower(model, {n: t.shape for n, t in model.state_dict().items()}) is None


def test_a_narrower_tensor_on_a_gpu_is_widened_on_the_cpu(pretended, monkeypatch):
    rows, columns = torch.tensor([0, 2]), torch.tensor([1])
    left = Narrower({"a": (rows, None), "b": (rows, columns)}, {})
    with pretended.device(monkeypatch.setattr) as cuda:
        for name, shape in (("a", (2, 2)), ("b", (2, 1))):
            found = left.widened(name, torch.ones(shape).to(cuda), torch.Size((3, 2)))
            assert found.device.type == "cpu"
            assert found[1].tolist() == [0.0, 0.0]
            assert found[2, 1] == 1.0


def test_weights_that_go_one_by_one_make_nothing_smaller(network):
    model, _, _ = pruned(network, "resnet8", 0.5)
    scores = {n: w.detach().abs() for n, w in masks.prunable(model).items()}
    with pytest.raises(StepFailed, match="removes no filter, neuron or head whole"):
        compact(model, masks.top(scores, 0.1))
