"""Size and cost against closed forms and torch's own counter."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lthbench import masks
from lthbench.errors import BadInput, StepFailed
from lthbench.functional import model_size
from lthbench.kinds import Architecture
from lthbench.masks import structured
from lthbench.registry import get


def test_a_dense_network_costs_what_it_has(network):
    model = get(Architecture, "resnet8").build(network).eval()
    found = model_size.cost(model, None, (1, 8, 8))
    counts = get(Architecture, "resnet8").count(network)
    assert (found.parameters, found.nonzeros) == (counts.parameters, counts.parameters)
    assert found.flops_dense == found.flops_sparse == 2 * counts.macs
    assert (found.density_prunable, found.density_all) == (1.0, 1.0)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 1, 8, 8))
    assert found.flops_dense == counter.get_total_flops()


def test_pruned_weights_save_their_operations_at_every_position(network):
    """Half of the first convolution (8 x 8 maps) and a quarter of one of the last stage (2 x 2 maps)."""
    model = get(Architecture, "resnet8").build(network).eval()
    mask = {n: torch.ones_like(w, dtype=torch.bool) for n, w in masks.prunable(model).items()}
    mask["conv1.weight"].view(-1)[::2] = False
    mask["layer3.0.conv2.weight"].view(-1)[::4] = False
    found = model_size.cost(model, mask, (1, 8, 8))
    first, last = 144 // 2, 64 * 64 * 9 // 4
    assert found.parameters - found.nonzeros == first + last
    assert found.flops_dense - found.flops_sparse == 2 * (64 * first + 4 * last)
    assert found.density_prunable == 1 - (first + last) / 73_872
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    assert found.bytes == 4 * found.nonzeros + (73_872 + 7) // 8 + buffers


def test_a_kept_weight_that_is_zero_is_not_pruned(network):
    model = get(Architecture, "resnet8").build(network).eval()
    with torch.no_grad():
        model.conv1.weight.zero_()
    assert (
        model_size.cost(model, None, (1, 8, 8)).nonzeros == model_size.cost(model, None, (1, 8, 8)).parameters
    )


class Attending(nn.Module):
    """Tokens of 8 numbers, one for each of 8 x 8 pixels, through a layer of attention."""

    def __init__(self, layer):
        super().__init__()
        self.stem, self.layer, self.head = nn.Conv2d(1, 8, 3, padding=1), layer, nn.Linear(8, 10)

    def forward(self, x):
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        alone = isinstance(self.layer, nn.MultiheadAttention)
        made = self.layer(tokens, tokens, value=tokens)[0] if alone else self.layer(tokens)
        return self.head(made.mean(1))

    def prunable_weights(self):
        return [n for n, p in self.layer.named_parameters(prefix="layer") if p.dim() == 2]


@pytest.mark.parametrize("whole", [False, True])
def test_torchs_own_attention_is_counted_and_its_weights_save_operations(whole):
    """Its fused kernel shows neither matrix products nor layers to those that count."""
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    model = Attending(encoder if whole else attention).eval().requires_grad_(False)
    mask = {n: torch.rand(w.shape) < 0.5 for n, w in masks.prunable(model).items()}
    found = model_size.cost(model, mask, (1, 8, 8))
    weights = sum(w.numel() for w in masks.prunable(model).values())
    assert weights == 4 * 8 * 8 + 2 * 8 * 16 * whole
    assert found.flops_dense == 2 * (64 * (72 + weights) + 2 * 64 * 64 * 8 + 80)
    assert found.flops_dense - found.flops_sparse == 2 * 64 * sum(int((~m).sum()) for m in mask.values())
    assert torch.backends.mha.get_fastpath_enabled()


class Others(nn.Module):
    """Convolutions of other kinds, and one without a layer of its own."""

    def __init__(self):
        super().__init__()
        self.stem, self.up = nn.Conv2d(1, 8, 3, 2, 1), nn.ConvTranspose2d(8, 4, 2, 2)
        self.gate, self.free = nn.Conv1d(1, 1, 3, padding=1), nn.Parameter(torch.randn(10, 4, 1, 1))

    def forward(self, x):
        x = self.up(self.stem(x))
        gate = self.gate(x.mean((2, 3))[:, None])[:, 0, :, None, None]
        return nn.functional.conv2d(x * gate, self.free).mean((2, 3))

    def prunable_weights(self):
        return ["stem.weight", "up.weight", "gate.weight"]


def test_convolutions_of_all_kinds_are_counted():
    model = Others().eval()
    mask = {n: torch.rand(w.shape) < 0.5 for n, w in masks.prunable(model).items()}
    found = model_size.cost(model, mask, (1, 8, 8))
    places = {"stem.weight": 16, "up.weight": 16, "gate.weight": 4}
    assert found.flops_dense == 2 * (16 * 72 + 16 * 128 + 4 * 3 + 64 * 40)
    pruned = sum(places[n] * int((~m).sum()) for n, m in mask.items())
    assert found.flops_dense - found.flops_sparse == 2 * pruned


class Tied(nn.Module):
    """Two layers that share a weight."""

    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b = (nn.Conv2d(i, 8, 3, padding=1) for i in (1, 8, 8))
        self.b.weight = self.a.weight
        self.head = nn.Linear(8, 10)

    def forward(self, x):
        x = self.b(self.a(self.stem(x).relu()).relu()).relu()
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("own", [None, ["a.weight"], ["b.weight", "a.weight"]])
def test_a_weight_that_layers_share_is_one_and_saves_operations_in_each(own):
    model = Tied().eval()
    if own:
        vars(model)["prunable_weights"] = lambda: own
    assert list(masks.prunable(model)) == (["a.weight"] if own else ["stem.weight", "a.weight"])
    mask = {"a.weight": torch.rand(8, 8, 3, 3) < 0.5}
    found = model_size.cost(model, mask, (1, 8, 8))
    assert found.flops_dense - found.flops_sparse == 2 * 2 * 64 * int((~mask["a.weight"]).sum())
    assert [cut.producer for cut in structured.cuts(model)] == []  # what a makes, b reads by its weight


@pytest.mark.parametrize("how", [nn.utils.spectral_norm, nn.utils.parametrizations.weight_norm])
def test_a_weight_that_is_computed_is_named_unless_others_are_to_be_pruned(how):
    model = nn.Sequential(nn.Conv2d(1, 8, 3), how(nn.Conv2d(8, 8, 3)), nn.AdaptiveAvgPool2d(1)).eval()
    with pytest.raises(BadInput, match=r"1\.weight is to be pruned, and is no parameter of the network\."):
        masks.prunable(model)
    vars(model)["prunable_weights"] = lambda: ["0.weight"]
    assert model_size.cost(model, None, (1, 8, 8)).flops_dense == 2 * (36 * 72 + 16 * 576)


def test_a_network_without_prunable_weights_is_told_how_to_name_them():
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(StepFailed, match=r"has no convolutions, .*prunable_weights\(\)"):
        model_size.cost(model, None, (1, 8, 8))
