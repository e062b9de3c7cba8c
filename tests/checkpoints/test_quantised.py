"""Quantised networks: their numbers are those that torch's own modules compute with, and bytes count."""

import copy
import json
from pathlib import Path

import pytest
import torch
from torch import nn

import lthbench
from lthbench import masks, registry
from lthbench.checkpoints import files, quantised, taking
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.functional.model_size import cost
from lthbench.kinds import Architecture
from lthbench.planning import plan
from lthbench.planning import task as tasks

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.filterwarnings("ignore")  # torch.ao says at each turn that it will be replaced


@pytest.fixture
def network():
    """The small transformer of the tests, all of whose prunable weights are of linear layers."""
    registry.get(Architecture, str(TESTS / "vit_digits.py"))
    return plan.network(tasks.load(str(TESTS / "tiny_vit.toml")))


@pytest.fixture
def model(network):
    torch.manual_seed(0)
    made = registry.get(Architecture, "vit-digits").build(network).eval()
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.2)
    return made


def dynamic(model):
    return torch.ao.quantization.quantize_dynamic(copy.deepcopy(model), {nn.Linear}, dtype=torch.qint8)


def layers(model):
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def test_dynamic_quantisation_is_read_as_its_modules_compute(network, model, tmp_path):
    theirs = dynamic(model)
    torch.save(theirs.state_dict(), tmp_path / "int8.pth")
    found = taking.take(network, files.of(tmp_path / "int8.pth", "model"))
    for name in layers(model):
        module = theirs.get_submodule(name)
        assert torch.equal(found.weights[f"{name}.weight"], module.weight().dequantize())
        assert torch.equal(found.weights[f"{name}.bias"], module.bias())
    assert torch.equal(found.weights["pos_embed"], model.pos_embed)
    assert found.step.stored == tuple((f"{n}.weight", 8, 16) for n in sorted(layers(model)))
    assert found.mask is None
    assert (
        "nothing removed (a mask of its own is named with --mask FILE), quantised to 8 bits, activations in "
        "float32 (the file has no scales for them)"
    ) in found.text()


def test_its_module_in_memory_is_read_too_and_its_numbers_in_float32_are_another_network(network, model):
    theirs = dynamic(model)
    found = taking.take(network, files.of(theirs, "model"))
    plain = taking.take(network, files.of(found.weights, "model"))
    assert all(torch.equal(plain.weights[n], w) for n, w in found.weights.items())
    assert plain.step.stored is None
    assert plain.step != found.step


def test_bytes_are_those_of_the_file(network, model):
    found = taking.take(network, files.of(dynamic(model), "model"))
    stored = {name: (bits, beside) for name, bits, beside in found.step.stored}
    weights = sum(model.get_submodule(n).weight.numel() for n in layers(model))
    others = sum(p.numel() for p in model.parameters()) - weights
    buffers = sum(b.numel() * 4 for b in model.buffers())
    expected = weights + 16 * len(layers(model)) + 4 * others + buffers
    assert cost(model, None, (1, 8, 8), stored).bytes == expected
    assert cost(model, None, (1, 8, 8)).bytes == 4 * (weights + others) + buffers
    half = masks.top({n: w.detach().abs() for n, w in masks.prunable(model).items()}, 0.5)
    pruned = sum(m.numel() for m in half.values())
    assert cost(model, half, (1, 8, 8), stored).bytes == expected - pruned // 2 + pruned // 8


def test_static_quantisation_by_channel_is_read_without_the_scales_of_activations(network):
    registered = registry.get(Architecture, "resnet8")
    asked = plan.network(tasks.load("digits-r8"))
    torch.manual_seed(0)
    model = registered.build(asked).eval()
    theirs = nn.Sequential(torch.ao.quantization.QuantStub(), copy.deepcopy(model))
    theirs.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare(theirs)
    prepared(torch.rand(4, 1, 8, 8))
    converted = torch.ao.quantization.convert(prepared)
    found = taking.take(asked, files.of(converted.state_dict(), "model"))
    scales = 0
    for name in [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d)]:
        weight = converted.get_submodule(f"1.{name}").weight()
        assert torch.equal(found.weights[f"{name}.weight"], weight.dequantize())
        assert (found.weights[f"{name}.weight"] - model.get_submodule(name).weight).abs().max() < 0.02
        scales += weight.q_per_channel_scales().numel()
    convolutions = [s for s in found.step.stored if s[0] != "fc.weight"]
    assert {bits for _, bits, _ in convolutions} == {8}
    assert sum(beside for _, _, beside in convolutions) == 16 * scales


@pytest.mark.long
def test_normalisations_that_were_fused_are_there_again():
    """A network fused and quantised by torch.ao gives the logits that it had before, but for rounding."""
    asked = plan.network(tasks.load("digits-r8"))
    torch.manual_seed(0)
    model = registry.get(Architecture, "resnet8").build(asked)
    images = torch.from_numpy(loading.load("digits", "test", ()).pixels[:100]).float() / 255.0
    with torch.no_grad():
        for _ in range(4):
            model.train()(images)
    model.eval()
    blocks = [f"layer{i}.0" for i in (1, 2, 3)]
    pairs = [["conv1", "bn1"], *([f"{b}.conv{i}", f"{b}.bn{i}"] for b in blocks for i in (1, 2))]
    theirs = torch.ao.quantization.fuse_modules(copy.deepcopy(model), pairs)
    theirs.qconfig = torch.ao.quantization.get_default_qconfig("fbgemm")
    prepared = torch.ao.quantization.prepare(theirs)
    prepared(images)
    state = torch.ao.quantization.convert(prepared).state_dict()
    assert not any(".bn1." in name for name in state)
    found = taking.take(asked, files.of({"model": state}, "model"))
    ours = registry.get(Architecture, "resnet8").build(asked).eval()
    ours.load_state_dict(found.weights)
    with torch.no_grad():
        found, expected = ours(images), model(images)
    assert (found - expected).abs().max() < 0.05 * expected.abs().max()
    assert (found.argmax(1) == expected.argmax(1)).float().mean() > 0.95


@pytest.mark.parametrize("on", [True, False])
def test_fake_quantisation_is_applied_to_weights_where_it_is_on(network, model, on):
    theirs = copy.deepcopy(model).train()
    theirs.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    theirs = torch.ao.quantization.prepare_qat(theirs)
    theirs(torch.rand(4, 1, 8, 8))
    theirs.apply(torch.ao.quantization.disable_observer)
    if not on:
        theirs.apply(torch.ao.quantization.disable_fake_quant)
    found = taking.take(network, files.of(theirs.state_dict(), "model"))
    for name in layers(model):
        module = theirs.get_submodule(name)
        expected = module.weight_fake_quant(module.weight).detach()
        assert torch.allclose(found.weights[f"{name}.weight"], expected, atol=1e-7)
        assert torch.equal(expected, module.weight) != on
    stored = {name for name, bits, _ in found.step.stored or () if bits == 8}
    assert stored >= ({f"{n}.weight" for n in layers(model)} if on else set())
    assert on or found.step.stored is None


def of_bits(bits, observer, scheme):
    """Training under fake quantisation of weights to so many bits."""
    fake = torch.ao.quantization.FakeQuantize.with_args(
        observer=observer, quant_min=-(2 ** (bits - 1)), quant_max=2 ** (bits - 1) - 1, dtype=torch.qint8
    )
    return torch.ao.quantization.QConfig(activation=nn.Identity, weight=fake.with_args(qscheme=scheme))


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("by", ["tensor", "channel"])
def test_fake_quantisation_of_fewer_bits_has_fewer_levels(network, model, bits, by):
    observers = {
        "tensor": (torch.ao.quantization.MinMaxObserver, torch.per_tensor_symmetric),
        "channel": (torch.ao.quantization.PerChannelMinMaxObserver, torch.per_channel_symmetric),
    }
    theirs = copy.deepcopy(model).train()
    theirs.qconfig = of_bits(bits, *observers[by])
    theirs = torch.ao.quantization.prepare_qat(theirs)
    theirs(torch.rand(4, 1, 8, 8))
    found = taking.take(network, files.of(theirs.state_dict(), "model"))
    for name in layers(model):
        module = theirs.get_submodule(name)
        expected = module.weight_fake_quant(module.weight).detach()
        assert torch.allclose(found.weights[f"{name}.weight"], expected, atol=1e-6)
    assert {n for _, n, _ in found.step.stored} == {bits}


def test_what_rounds_a_weight_may_stand_in_another_shard(network, model, tmp_path):
    theirs = copy.deepcopy(model).train()
    theirs.qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    theirs = torch.ao.quantization.prepare_qat(theirs)
    theirs(torch.rand(4, 1, 8, 8))
    state, index = theirs.state_dict(), {}
    for i in (1, 2):
        part = {n: t for n, t in state.items() if ("_fake_quant" in n or "post_process" in n) == (i == 2)}
        torch.save(part, tmp_path / f"part{i}.bin")
        index |= dict.fromkeys(part, f"part{i}.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": index}))
    found = taking.take(network, files.read(tmp_path))
    assert found.step == taking.take(network, files.of(state, "model")).step
    assert found.step.stored
    assert found.step.activations


def test_a_pruned_one_keeps_its_mask_and_few_zeros_are_none(network, model):
    with torch.no_grad():
        for weight in masks.prunable(model).values():
            weight[torch.rand_like(weight) < 0.5] = 0.0
    found = taking.take(network, files.of(dynamic(model), "model"))
    assert found.account["mask"] == "mask from its zeros"
    assert 0.5 < found.account["sparsity"] < 0.6  # what was rounded to zero is gone, too
    assert not found.weights["blocks.0.attn.qkv.weight"][~found.mask["blocks.0.attn.qkv.weight"]].any()


def test_a_tensor_that_would_fill_memory_is_refused():
    one = torch.quantize_per_tensor(torch.zeros(1), 0.1, 0, torch.qint8)
    with pytest.raises(BadInput, match=r"fc\.weight would take 160 GB, and its file has less of it"):
        quantised.plain({"fc.weight": one.expand(200_000, 200_000)}, "FILE")


def test_a_file_of_torchao_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchao", None)
    with pytest.raises(
        BadInput, match=r"FILE: holds tensors of torchao, which is not installed: pip install"
    ):
        files._torchao("FILE")


def test_tensors_of_torchao_are_read(network, model, tmp_path):
    torchao = pytest.importorskip("torchao.quantization")
    theirs = copy.deepcopy(model)
    torchao.quantize_(theirs, torchao.Int8WeightOnlyConfig())
    torch.save(theirs.state_dict(), tmp_path / "torchao.pth")
    found = taking.take(network, files.of(tmp_path / "torchao.pth", "model"))
    for name in layers(model):
        weight = theirs.get_submodule(name).weight
        assert torch.equal(found.weights[f"{name}.weight"], weight.dequantize().float())
    assert {(name, bits) for name, bits, _ in found.step.stored} == {
        (f"{n}.weight", 8) for n in layers(model)
    }


@pytest.mark.long
def test_one_is_scored_beside_its_dense_parent(network, model, tmp_path):
    torch.save(dynamic(model).state_dict(), tmp_path / "int8.pth")
    torch.save(model.state_dict(), tmp_path / "dense.pth")
    table = lthbench.score(
        str(tmp_path / "int8.pth"),
        task=str(TESTS / "tiny_vit.toml"),
        dense=str(tmp_path / "dense.pth"),
        name="int8",
        metrics=["accuracy", "efficiency"],
        store=tmp_path / "store",
        workers=0,
    )
    sizes = table[table["score"] == "bytes"].set_index("method")["value"]
    assert 0.2 < sizes["int8"] / sizes["dense"] < 0.5
