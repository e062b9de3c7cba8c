"""The bits of numbers in a file are counted, and zeros that rounding made are no pruned weights."""

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from lthbench import masks, registry, spec
from lthbench.checkpoints import files, precision, taking, tensor_names
from lthbench.errors import BadInput
from lthbench.functional.model_size import cost
from lthbench.kinds import Architecture
from lthbench.masks import structured
from lthbench.masks.compaction import compact

NETWORK = spec.Network("resnet8", 1, 5, 3, 8, (0.5,) * 3, (0.25,) * 3, (16, 16, 24, 32))
PAIRS = [["conv1", "bn1"], *([f"layer{i}.0.conv{j}", f"layer{i}.0.bn{j}"] for i in (1, 2, 3) for j in (1, 2))]


@pytest.fixture
def model():
    torch.manual_seed(0)
    return registry.get(Architecture, "resnet8").build(NETWORK).eval()


def taken(state, network=NETWORK, **how):
    return taking.take(network, files.of({"net": state}, "model"), **how)


def on_levels(weight, bits):
    """A weight as integers of so many bits would stand for it, with a scale for each channel."""
    if weight.dim() != 4:
        return weight
    scale = weight.abs().amax((1, 2, 3), keepdim=True) / (2 ** (bits - 1) - 1)
    return (weight / scale).round() * scale


@pytest.mark.parametrize(
    ("kind", "size"), [(torch.float16, 2), (torch.bfloat16, 2), (torch.float8_e4m3fn, 1)]
)
def test_narrow_floats_count_as_many_bytes_as_they_take(model, kind, size):
    weights = {n: w.detach() for n, w in masks.prunable(model).items()}
    found = taken(model.state_dict() | {n: w.to(kind) for n, w in weights.items()})
    assert all(torch.equal(found.weights[n], w.to(kind).float()) for n, w in weights.items())
    stored = {name: (bits, beside) for name, bits, beside in found.step.stored}
    saved = sum((4 - size) * w.numel() for w in weights.values())
    sizes = [cost(model, found.mask, (3, 8, 8), how).bytes for how in (None, stored)]
    assert sizes[0] - sizes[1] == saved
    assert f", floats of {8 * size} bits, " in found.text()
    assert "quantised" not in found.account


@pytest.mark.filterwarnings("ignore")
def test_halves_that_torch_packs_are_read(tmp_path):
    registry.get(Architecture, str(Path(__file__).parents[1] / "vit_digits.py"))
    network = spec.Network("vit-digits", 1, 10, 1, 8, (0.5,), (0.2,))
    model = registry.get(Architecture, "vit-digits").build(network).eval()
    theirs = torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.float16)
    torch.save(theirs.state_dict(), tmp_path / "half.pth")
    found = taking.take(network, files.of(tmp_path / "half.pth", "model"))
    names = [f"{n}.weight" for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    assert {n: found.weights[n].equal(model.get_parameter(n).half().float()) for n in names} == dict.fromkeys(
        names, True
    )
    assert found.step.stored == tuple((n, 16, 0) for n in sorted(names))


@pytest.mark.filterwarnings("ignore")
def test_attention_that_a_file_keeps_apart_is_counted_whole():
    one = torch.quantize_per_tensor(torch.rand(4, 8), 0.1, 0, torch.qint8)
    state = {
        f"vit.encoder.layer.0.attention.attention.{part}.weight": one for part in ("query", "key", "value")
    }
    found = files.of(state, "model")
    parts = tensor_names.joined(tensor_names.folded(found.tensors, found.where))
    (ways,) = precision.stored(found, parts, {}).values()
    assert (ways.bits, ways.beside, ways.floats) == (8, 48, False)


@pytest.mark.parametrize("bits", [8, 6, 4, 3])
def test_zeros_of_rounding_are_no_pruned_weights(model, bits):
    found = taken({n: on_levels(w, bits) for n, w in model.state_dict().items()})
    assert found.account["zeros"] > 0
    assert (found.mask, found.account["sparsity"], found.step.density) == (None, 0.0, None)
    assert "nothing removed" in found.text()
    assert taken({n: on_levels(w, bits) for n, w in model.state_dict().items()}, dense=True).parent


@pytest.mark.parametrize("share", [0.05, 0.6])
@pytest.mark.parametrize("bits", [32, 8])
def test_zeros_of_pruning_are(model, share, bits):
    scores = {n: w.detach().abs() for n, w in masks.prunable(model).items()}
    masks.apply(model, masks.top(scores, 1 - share))
    found = taken({n: w if bits == 32 else on_levels(w, bits) for n, w in model.state_dict().items()})
    assert found.account["sparsity"] == pytest.approx(share, abs=0.01)
    assert found.account["mask"] == "mask from its zeros"


def test_a_zero_here_and_there_is_no_pruning(model):
    with torch.no_grad():
        model.conv1.weight[0, 0, 0, 0] = 0.0
    assert taken(model.state_dict()).mask is None


def test_what_is_pruned_of_narrower_layers_counts_beside_what_they_lack(model):
    scores = {n: w.detach().abs() for n, w in masks.prunable(model).items()}
    mask = structured.top_filters(model, scores, 0.6)
    masks.apply(model, mask)
    smaller = compact(model, mask)
    own = {n: w.detach().abs() for n, w in masks.prunable(smaller).items()}
    masks.apply(smaller, masks.top(own, 0.5))
    found = taken(smaller.state_dict())
    total = sum(w.numel() for w in scores.values())
    kept = sum(int((w != 0).sum()) for w in masks.prunable(smaller).values())
    assert found.account["sparsity"] == pytest.approx(1 - kept / total)
    assert found.account["mask"] == "narrower layers and mask from its zeros"


def test_integers_with_scales_of_their_own_are_refused_with_what_to_save(model):
    state = dict(model.state_dict())
    state["conv1.weight"] = (100 * state["conv1.weight"]).to(torch.int8)
    state["conv1.weight_scale"] = torch.full((16,), 0.01)
    with pytest.raises(BadInput, match=r"conv1\.weight is torch\.int8: .* save the numbers"):
        taken(state)


def test_a_small_network_of_halves_has_both(model):
    network = dataclasses.replace(NETWORK, widths=(8, 8, 12, 16))
    small = registry.get(Architecture, "resnet8").build(network)
    found = taken({n: w.half() if w.is_floating_point() else w for n, w in small.state_dict().items()})
    assert found.step.network.widths == (8, 8, 12, 16)
    assert {bits for _, bits, _ in found.step.stored} == {16}


@pytest.mark.filterwarnings("ignore")
def test_integers_are_known_to_be_rounded_where_no_value_repeats():
    torch.manual_seed(0)
    weight = torch.randn(200, 12)
    scales = weight.abs().amax(1).double() / 127
    whole = torch.quantize_per_channel(weight, scales, torch.zeros(200, dtype=torch.int64), 0, torch.qint8)
    numbers = whole.dequantize()
    assert int((numbers == 0).sum()) > 10
    assert precision.rounded_to_zero([numbers], coarse=True)
    assert not precision.rounded_to_zero([numbers * (torch.rand(200, 12) < 0.7)], coarse=True)


@pytest.mark.filterwarnings("ignore")
def test_what_fusing_takes_out_of_a_file_is_not_counted(model):
    fused = torch.ao.quantization.fuse_modules(model, PAIRS)
    fused.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare(fused)
    prepared(torch.rand(4, 3, 8, 8))
    state = torch.ao.quantization.convert(prepared).state_dict()
    found = taken(state)
    whole = registry.get(Architecture, "resnet8").build(NETWORK)
    channels = sum(m.num_features for m in whole.modules() if isinstance(m, nn.BatchNorm2d))
    weights = sum(w.numel() for w in masks.prunable(whole).values()) + whole.fc.weight.numel()
    rest = 4 * channels + 4 * 5 + 2 * 3 * 4 + 7 * 8  # biases, pixels' normalisation, counters of batches
    scales = 16 * (channels + 5)
    stored = {name: (bits, beside) for name, bits, beside in found.step.stored}
    assert cost(whole, found.mask, (3, 8, 8), stored).bytes == weights + scales + rest
    assert found.account["quantised"] == [8]


@torch.no_grad()
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("prefix", ["", "module."])
def test_normalisation_that_was_fused_in_floats_is_there_again(model, prefix):
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.1, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.1, 0.3)
    fused = torch.ao.quantization.fuse_modules(model, PAIRS)
    found = taken({prefix + n: w for n, w in fused.state_dict().items()})
    ours = registry.get(Architecture, "resnet8").build(NETWORK).eval()
    ours.load_state_dict(found.weights)
    images = torch.rand(3, 3, 8, 8)
    assert torch.allclose(ours(images), model(images), atol=1e-5)
    held = sum(w.numel() * 4 for n, w in fused.state_dict().items())
    stored = {name: (bits, beside) for name, bits, beside in found.step.stored}
    assert cost(ours, None, (3, 8, 8), stored).bytes == held + 7 * 8  # with counters of batches
    assert "quantised" not in found.account
