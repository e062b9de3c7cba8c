"""Checkpoints as training scripts leave them: the right network is read, or the file is refused in words.

``good`` is the network whose numbers count, ``raw`` another one of the same shape.
"""

import argparse
import collections
import gzip
import io
import json
import pathlib
import re
import types
import zipfile

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import prune

from lthbench import masks, registry
from lthbench.checkpoints import files, taking
from lthbench.errors import BadInput
from lthbench.kinds import Architecture
from lthbench.planning import plan
from lthbench.planning import task as tasks

NETWORK = plan.network(tasks.load("digits-r8"))


def drawn(seed):
    """A pruned ResNet-8 as a state dict without the pixels' normalisation, and its mask."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = registry.get(Architecture, "resnet8").build(NETWORK)
        mask = {n: torch.rand(w.shape) < 0.4 for n, w in masks.prunable(model).items()}
    state = {k: v.clone() for k, v in model.state_dict().items() if not k.startswith("normalize.")}
    return {k: v * mask[k] if k in mask else v for k, v in state.items()}, mask


@pytest.fixture(scope="module")
def good():
    return drawn(0)[0]


@pytest.fixture(scope="module")
def mask():
    return drawn(0)[1]


@pytest.fixture(scope="module")
def raw():
    return drawn(1)[0]


@pytest.fixture(scope="module")
def wanted(good):
    return taking.take(NETWORK, files.of(good, "model")).step


def taken(tmp_path, content, key=None, **how):
    path = tmp_path / "net.pt"
    torch.save(content, path)
    return taking.take(NETWORK, files.read(path), key=key, **how)


def under(state, prefix):
    return {prefix + k: v for k, v in state.items()}


def nested(state):
    """By layer, as trees of parameters are kept: {"layer1": {"0": {"conv1": {"weight": ...}}}}."""
    tree = {}
    for name, tensor in state.items():
        *path, last = name.split(".")
        here = tree
        for piece in path:
            here = here.setdefault(piece, {})
        here[last] = tensor
    return tree


class AttributeDict(dict):
    """A mapping of a library that is not there, as Lightning's and OmegaConf's are."""


OPTIMISER = {"state": {0: {"momentum_buffer": torch.zeros(3)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
BY_NAME = {"state": {"conv1.weight": {"exp_avg": torch.zeros(16, 1, 3, 3)}}, "param_groups": []}

#: What is kept beside one network. Each is the same network.
BESIDE = {
    "PyTorch's ImageNet example": lambda s: {
        "epoch": 90,
        "arch": "resnet8",
        "state_dict": under(s, "module."),
        "best_acc1": torch.tensor(93.2),
        "optimizer": OPTIMISER,
        "scheduler": {"last_epoch": 90},
    },
    "a step deeper": lambda s: {"epoch": 3, "model": {"net": s, "steps": torch.tensor(7)}},
    "generators and a loss": lambda s: {
        "state_dict": s,
        "rng": torch.get_rng_state(),
        "cuda_rng": [torch.zeros(16, dtype=torch.uint8)],
        "loss": torch.tensor(0.1),
        "losses": torch.rand(90),
    },
    "a scaler and a scheduler": lambda s: {"model": s, "scaler": {"scale": torch.tensor(65536.0)}},
    "weights of classes in the loss": lambda s: {"model": s, "criterion": {"weight": torch.ones(10)}},
    "a table beside": lambda s: {
        "state_dict": s,
        "confusion": torch.rand(10, 10),
        "embeddings": {"w": torch.rand(9, 9)},
    },
    "three deep": lambda s: {"run": {"last": {"net": {"weights": s}, "n": torch.tensor(1)}}},
    "flat, with numbers": lambda s: s | {"epoch": torch.tensor(3), "best_acc1": torch.tensor(93.2)},
    "torchvision's references": lambda s: {
        "model": s,
        "optimizer": OPTIMISER,
        "lr_scheduler": {},
        "epoch": 5,
        "args": argparse.Namespace(lr=0.1, output=pathlib.PurePosixPath("out")),
        "scaler": {"scale": 65536.0},
    },
    "scores of NumPy": lambda s: {
        "net": s,
        "acc": np.float64(93.2),
        "curve": np.arange(3.0),
        "epoch": np.int64(3),
    },
    "pytorch-cifar": lambda s: {"net": under(s, "module."), "acc": 95.0, "epoch": 199},
    "Lightning": lambda s: {
        "epoch": 9,
        "global_step": 100,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": under(s, "model.")
        | {"criterion.weight": torch.ones(10), "train_acc.total": torch.tensor(9)},
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"EarlyStopping{'monitor': 'loss'}": {"best_score": torch.tensor(0.2)}},
        "optimizer_states": [OPTIMISER],
        "lr_schedulers": [{"_step_count": 4}],
        "hyper_parameters": AttributeDict(lr=0.1, betas=(0.9, 0.99)),
    },
    "Fabric": lambda s: {"model": under(s, "_forward_module."), "step": 3},
    "FSDP, full state": lambda s: {"model": under(s, "_fsdp_wrapped_module."), "optimizer": BY_NAME},
    "DeepSpeed": lambda s: {
        "module": s,
        "buffer_names": ["bn1.running_mean"],
        "optimizer": None,
        "param_shapes": [{"conv1.weight": torch.Size([16, 1, 3, 3])}],
        "ds_version": "0.15",
        "global_steps": 10,
    },
    "DeepSpeed, put together": lambda s: under(s, "module."),
    "DataParallel": lambda s: under(s, "module."),
    "compiled": lambda s: under(s, "_orig_mod."),
    "compiled, in parallel": lambda s: under(s, "_orig_mod.module."),
    "compiled by block": lambda s: {k.replace("layer1.0.", "layer1.0._orig_mod."): v for k, v in s.items()},
    "checkpointed and FSDP by block": lambda s: {
        k.replace("layer2.0.", "layer2._fsdp_wrapped_module.0._checkpoint_wrapped_module."): v
        for k, v in s.items()
    },
    "SWA": lambda s: under(s, "module.") | {"n_averaged": torch.tensor(5)},
    "SWA in a file": lambda s: {
        "swa_model": under(s, "module.") | {"n_averaged": torch.tensor(5)},
        "epoch": 3,
    },
    "mmpretrain": lambda s: {
        "meta": {"epoch": 3},
        "state_dict": {("head." if k.startswith("fc.") else "backbone.") + k: v for k, v in s.items()},
        "optimizer": OPTIMISER,
    },
    "SparseML": lambda s: {"state_dict": s, "epoch": 3, "arch_key": "resnet8", "recipe": "modifiers: []"},
    "a tree by layer": lambda s: {"params": nested(s), "step": 3},
    "in half precision": lambda s: {k: v.half().float() for k, v in s.items()},
    "several names of one network": lambda s: {
        "model": s,
        "best_model": {k: v.clone() for k, v in s.items()},
    },
    "with the initialisation": lambda s: {"state_dict": s, "init_weight": drawn(3)[0], "epoch": 3},
    "with a teacher of another size": lambda s: {
        "student": s,
        "teacher": {k: torch.cat([v, v]) if v.dim() else v for k, v in s.items()},
    },
}


@pytest.mark.parametrize("form", BESIDE)
def test_what_scripts_keep_beside_weights_hides_no_network(tmp_path, good, wanted, form):
    found = taken(tmp_path, BESIDE[form](good))
    if form == "in half precision":
        assert found.step.density == wanted.density
    else:
        assert found.step == wanted


def test_what_was_left_aside_is_told(tmp_path, good):
    content = BESIDE["torchvision's references"](good) | {"shadow_params": [torch.zeros(3), torch.ones(2)]}
    account = taken(tmp_path, content).account
    assert account["key"] == "model"
    assert any("argparse.Namespace" in said for said in account["aside"])
    assert any(said.startswith("shadow_params, a list of tensors") for said in account["aside"])


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (lambda s: {"temperature": torch.tensor([2.5]), **under(s, "model.")}, "temperature"),
        (lambda s: {"net": {"logit_scale": torch.tensor(2.5), **s}}, "net.logit_scale"),
        (lambda s: {"calibration": {"temperature": torch.tensor(2.5)}, "net": s}, "calibration.temperature"),
    ],
)
def test_a_temperature_beside_the_weights_is_said_to_be_left_out(tmp_path, good, wanted, form, name):
    found = taken(tmp_path, form(good))
    assert found.step == wanted
    assert found.account["passed"] == [name]
    said = "(logits are not scaled by it: ECE and NLL are those of the network without it)"
    assert found.text().endswith(f"; passed over: {name} {said}")


def test_numbers_beside_the_weights_are_named_and_counters_are_not(tmp_path, good):
    more = {"loss": torch.tensor(0.5), "classes": torch.ones(10), "steps": torch.tensor(3)}
    found = taken(tmp_path, {**under(good, "net."), **more})
    assert found.text().endswith("; passed over: loss, classes")
    assert "passed" not in taken(tmp_path, good).account


#: Two networks in a file, the one that counts second, and what to give as --key for it.
PAIRS = {
    "timm": lambda r, g: (
        {"state_dict": r, "state_dict_ema": g, "args": argparse.Namespace()},
        "state_dict_ema",
    ),
    "DeiT": lambda r, g: ({"model": r, "model_ema": g}, "model_ema"),
    "a teacher": lambda r, g: ({"net": r, "teacher": g}, "teacher"),
    "torchvision, averaged": lambda r, g: (
        {"model": r, "model_ema": under(g, "module.") | {"n_averaged": torch.tensor(3)}},
        "model_ema",
    ),
    "ema-pytorch": lambda r, g: (
        under(r, "online_model.")
        | under(g, "ema_model.")
        | {"step": torch.tensor(3), "initted": torch.tensor(True)},
        "ema_model",
    ),
    "Lightning, a callback": lambda r, g: (
        {"state_dict": under(r, "model."), "callbacks": {"EMA": {"ema_state_dict": g}}},
        "callbacks.EMA",
    ),
    "a student and a teacher, flat": lambda r, g: (under(r, "student.") | under(g, "teacher."), "teacher"),
    "a flat network with its average": lambda r, g: (r | under(g, "ema."), "ema"),
    "the last and the best": lambda r, g: ({"last": r, "best": g, "epoch": 9}, "best"),
    "a list": lambda r, g: ({"ensemble": [r, g]}, "ensemble.1"),
    "in other names": lambda r, g: (
        {"a": r, "b": {k.replace("fc.", "linear."): v for k, v in g.items()}},
        "b",
    ),
    "raw and parallel": lambda r, g: (r | under(g, "module."), "module"),
}


@pytest.mark.parametrize("form", PAIRS)
def test_two_networks_in_a_file_are_chosen_from_or_refused(tmp_path, raw, good, wanted, form):
    content, key = PAIRS[form](raw, good)
    with pytest.raises(BadInput, match=r"net\.pt: holds several networks that fit: .*--key") as caught:
        taken(tmp_path, content)
    assert key in str(caught.value)
    found = taken(tmp_path, content, key)
    assert found.step == wanted
    assert found.account["key"].startswith(key)
    assert key in found.text()
    assert "not from" in found.text()


def test_the_raw_one_can_be_asked_for_too(tmp_path, raw, good):
    other = taking.take(NETWORK, files.of(raw, "model")).step
    assert taken(tmp_path, {"state_dict": raw, "state_dict_ema": good}, "state_dict").step == other
    assert taken(tmp_path, raw | under(good, "ema."), ".").step == other


def test_a_key_that_is_not_there_is_refused_with_those_that_are(tmp_path, raw, good):
    content = {"state_dict": raw, "state_dict_ema": good}
    with pytest.raises(
        BadInput, match=r"no network 'state_dict_em'. Did you mean state_dict_ema\? It has state"
    ):
        taken(tmp_path, content, "state_dict_em")
    with pytest.raises(BadInput, match="has no network 'ema'"):
        taken(tmp_path, good, "ema")
    with pytest.raises(BadInput, match=r"net\.pt, small: does not hold a resnet8"):
        taken(tmp_path, {"state_dict": good, "small": {"conv1.weight": good["conv1.weight"]}}, "small")


def test_a_dense_parent_alone_in_its_file_needs_no_key(tmp_path, raw):
    dense = {k: v + 0.5 * (v == 0) for k, v in raw.items()}
    assert taken(tmp_path, dense, "state_dict_ema", dense=True).step.density is None


#: Networks that are more than the one wanted, or less: never read in silence.
MISFITS = {
    "a head behind it": lambda s: under(s, "backbone.") | {"projector.weight": torch.rand(8, 10)},
    "a layer more": lambda s: s | {"layer4.0.conv1.weight": torch.rand(4, 4)},
    "a bias more": lambda s: s | {"conv1.bias": torch.rand(16)},
    "a layer less": lambda s: {k: v for k, v in s.items() if not k.startswith("layer3")},
    "an optimiser alone": lambda s: {"optimizer": OPTIMISER, "epoch": 3},
    "sharded to nothing": lambda s: {"module": {k: torch.zeros(0) for k in s}},
    "a tree with a layer more": lambda s: nested(s | {"conv1.scale": torch.rand(16, 1)}),
}


#: An average of the parameters alone, as common classes for it keep it beside the network.
AVERAGES = {
    "by name": lambda r, g: {"model": r, "ema": {"shadow": parameters(g), "decay": 0.999}},
    "by name, in parallel": lambda r, g: {"model": r, "ema": under(parameters(g), "module.")},
    "without names": lambda r, g: {"model": r, "ema": {"shadow_params": list(parameters(g).values())}},
}


def parameters(state):
    return {
        k: v
        for k, v in state.items()
        if not k.endswith(("running_mean", "running_var", "num_batches_tracked"))
    }


@pytest.mark.parametrize("form", AVERAGES)
def test_a_network_with_an_average_of_its_parameters_is_not_read_in_silence(tmp_path, raw, good, form):
    content = AVERAGES[form](raw, good)
    with pytest.raises(BadInput, match=r"holds model and, without .* again: ema.*say so: --key model"):
        taken(tmp_path, content)
    assert taken(tmp_path, content, "model").step == taking.take(NETWORK, files.of(raw, "model")).step
    with pytest.raises(BadInput, match=r"missing: bn1\.running_mean|has no network 'ema'"):
        taken(tmp_path, content, "ema")


def test_what_has_the_shapes_of_weights_and_is_none_is_no_network(tmp_path, good, wanted):
    content = {
        "model": good,
        "momentum": parameters(drawn(5)[0]),
        "init_params": list(parameters(good).values()),
    }
    assert taken(tmp_path, content).step == wanted


def test_a_refusal_says_how_to_read_a_part_of_a_larger_network(tmp_path, good, wanted):
    content = under(good, "backbone.") | {"projector.weight": torch.rand(8, 10)}
    with pytest.raises(
        BadInput, match=r"unexpected: projector\.weight[\s\S]*To read backbone by itself: --key backb"
    ):
        taken(tmp_path, content)
    assert taken(tmp_path, content, "backbone").step == wanted
    with pytest.raises(BadInput, match=r"unexpected: conv1\.bias"):
        taken(tmp_path, good | {"conv1.bias": torch.rand(16)}, ".")


@pytest.mark.parametrize("form", MISFITS)
def test_more_or_less_than_the_network_is_refused(tmp_path, good, form):
    with pytest.raises(BadInput, match=r"net\.pt"):
        taken(tmp_path, MISFITS[form](good))


# -------------------------------------------------------------------------------------- files and folders


def test_shards_and_folders_of_libraries_are_read(tmp_path, good, wanted):
    names = list(good)
    index = {}
    for i, part in enumerate((names[:20], names[20:]), 1):
        name = f"model-0000{i}-of-00002.safetensors"
        safetensors.torch.save_file({n: good[n].contiguous() for n in part}, tmp_path / name)
        index |= dict.fromkeys(part, name)
    listed = tmp_path / "model.safetensors.index.json"
    listed.write_text(json.dumps({"metadata": {}, "weight_map": index}))
    for given in (listed, tmp_path):
        assert taking.take(NETWORK, files.read(given)).step == wanted
    with pytest.raises(BadInput, match=r"It is part 2 of 2: give model\.safetensors\.index\.json"):
        taking.take(NETWORK, files.read(tmp_path / "model-00002-of-00002.safetensors"))
    listed.write_text(json.dumps({"weight_map": index | {"x": "../x.safetensors"}}))
    with pytest.raises(BadInput, match=r"names \.\./x\.safetensors, which is not beside it"):
        files.read(listed)
    listed.write_text("[]")
    with pytest.raises(BadInput, match="has no weight_map"):
        files.read(listed)
    safetensors.torch.save_file({k: v.contiguous() for k, v in good.items()}, tmp_path / "model.safetensors")
    assert taking.take(NETWORK, files.read(tmp_path)).step == wanted


@pytest.mark.parametrize("shards", [1, 2])
def test_a_mask_beside_the_weights_is_found_in_safetensors_and_in_shards(tmp_path, good, mask, shards):
    content = {k: (v + 0.5 * ~mask[k] if k in mask else v).contiguous() for k, v in good.items()}
    content |= under(mask, "masks.")
    names, index = list(content), {}
    for i in range(shards):
        part, name = names[i::shards], f"model-0000{i + 1}-of-0000{shards}.safetensors"
        safetensors.torch.save_file({n: content[n] for n in part}, tmp_path / name)
        index |= dict.fromkeys(part, name)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    given = tmp_path if shards > 1 else tmp_path / index[names[0]]
    found = taking.take(NETWORK, files.read(given))
    assert found.step == taken(tmp_path, content).step
    assert found.account["mask"] == "mask beside it in the file"
    assert all(torch.equal(found.mask[n], held) for n, held in mask.items())


def test_the_folder_of_an_export_is_read_by_its_weights(good, tmp_path):
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in good.items()}, tmp_path / "network.safetensors"
    )
    (tmp_path / "network.pt2").write_bytes(b"x")
    found = taking.take(NETWORK, files.read(tmp_path))
    assert found.step == taking.take(NETWORK, files.read(tmp_path / "network.safetensors")).step


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (".metadata", "sharded checkpoint of torch.distributed; .*dcp_to_torch"),
        ("zero_to_fp32.py", "sharded checkpoint of DeepSpeed; .*zero_to_fp32.py"),
        ("config.json", r"is a folder; give a file\. It holds config\.json"),
    ],
)
def test_other_folders_are_refused_with_what_to_do(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(BadInput, match=said):
        files.read(tmp_path)


def scripted(path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)


def exported(path):
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.rand(1, 2),)), path)


def zipped(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model_best.pth.tar", b"x")


def whole_module(path):
    torch.save({"model": nn.Linear(2, 2), "epoch": 3}, path)


FORMATS = {
    "TorchScript": (scripted, r"is a TorchScript program; .*torch\.jit\.load"),
    "exported program": (exported, r"is an exported program; .*torch\.export\.load"),
    "zip": (zipped, r"is a zip archive \(model_best.pth.tar\); unpack it first"),
    "npz": (
        lambda p: np.savez(p.open("wb"), w=np.zeros(3)),
        "is a NumPy archive; save its arrays as tensors",
    ),
    "npy": (lambda p: np.save(p.open("wb"), np.zeros(3)), "is one NumPy array"),
    "HDF5": (lambda p: p.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "is an HDF5 file, as Keras writes"),
    "GGUF": (lambda p: p.write_bytes(b"GGUF" + bytes(99)), "is a GGUF file"),
    "gzip": (
        lambda p: p.write_bytes(gzip.compress(b"x" * 99)),
        "is compressed with gzip; unpack it first: gunzip",
    ),
    "ONNX": (lambda p: p.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.9.0"), "is an ONNX graph"),
    "JSON": (lambda p: p.write_text('{"weight": [1, 2]}'), "is a JSON text"),
    "a module": (
        whole_module,
        r"holds Python objects \(torch.nn.modules.linear.Linear.*state_dict\(\), FILE\)",
    ),
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_other_formats_are_refused_by_name_with_what_to_do(tmp_path, form):
    make, said = FORMATS[form]
    make(tmp_path / "net.bin")
    with pytest.raises(BadInput, match=rf"net\.bin: {said}"):
        files.read(tmp_path / "net.bin")


@pytest.mark.parametrize("old", [False, True])
def test_objects_beside_weights_are_passed_over_and_never_made(tmp_path, good, wanted, old):
    class Made(dict):
        """Would tell that it was made."""

        def __setstate__(self, state):
            raise AssertionError("made")

    globals()["Made"] = Made
    Made.__qualname__ = "Made"
    made = Made(a=1)
    vars(made)["own"] = 3
    content = {
        "state_dict": collections.OrderedDict(good),
        "config": made,
        "space": types.SimpleNamespace(a=1),
        "kinds": {np.dtype("float32"), torch.float16},
        "when": np.datetime64("2020-01-01"),
    }
    path = tmp_path / "net.pt"
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    assert taking.take(NETWORK, files.read(path)).step == wanted


# -------------------------------------------------------------------------------------------------- masks


def as_nni(mask):
    return {n.removesuffix(".weight"): {"weight": m.float(), "bias": None} for n, m in mask.items()}


MASKS = {
    "by weight, bool": lambda m: m,
    "by weight, float": lambda m: {n: v.float() for n, v in m.items()},
    "by weight, int": lambda m: {n: v.long() for n, v in m.items()},
    "by module": lambda m: {n.removesuffix(".weight"): v for n, v in m.items()},
    "NNI": as_nni,
    "by layer": nested,
    "under a key": lambda m: {"mask": m, "epoch": 3},
    "under a key, by layer": lambda m: {"pruning_masks": nested(m)},
    "under a prefix": lambda m: under(m, "mask."),
    "in parallel": lambda m: under(m, "module."),
    "as buffers": lambda m: {f"{n}_mask": v for n, v in m.items()},
    "as buffers of modules": lambda m: {n.replace(".weight", ".mask"): v for n, v in m.items()},
    "open_lth": lambda m: {f"mask_{n.replace('.', '___')}": v for n, v in m.items()},
    "beside ones for all else": lambda m: m | {"bn1.weight": torch.ones(16), "fc.bias": torch.ones(10)},
}


@pytest.mark.parametrize("form", MASKS)
def test_masks_are_read_in_the_forms_that_people_keep(tmp_path, raw, mask, form):
    dense = {k: v + 0.5 * (v == 0) for k, v in raw.items()}
    torch.save(MASKS[form](mask), tmp_path / "mask.pt")
    found = taken(tmp_path, dense, given_mask=tmp_path / "mask.pt")
    for name, held in mask.items():
        assert torch.equal(found.mask[name], held)
        assert torch.equal(found.weights[name], dense[name] * held)


def test_a_mask_of_channels_holds_for_all_of_each(tmp_path, raw, mask):
    dense = {k: v + 0.5 * (v == 0) for k, v in raw.items()}
    channels = {n: (torch.arange(len(m)) % 2 == 0).reshape(-1, 1, 1, 1) for n, m in mask.items()}
    found = taken(tmp_path, dense, given_mask=channels)
    assert all(torch.equal(found.mask[n], c.expand(mask[n].shape)) for n, c in channels.items())
    with pytest.raises(BadInput, match=r"the mask of conv1\.weight is \[16\], the weight \[16, 1, 3, 3\]"):
        taken(tmp_path, dense, given_mask={"conv1": torch.ones(16)})


#: A network with its mask in one file.
PRUNED = {
    "torch.nn.utils.prune": lambda s, m: {
        k2: v2
        for k, v in s.items()
        for k2, v2 in (
            {f"{k}_orig": v + 0.5 * ~m[k], f"{k}_mask": m[k].float()} if k in m else {k: v}
        ).items()
    },
    "NNI's wrappers": lambda s, m: (
        {
            (k.replace(".weight", ".module.weight") if k in m else k): v + 0.5 * ~m[k] if k in m else v
            for k, v in s.items()
        }
        | {f"{k}_mask": v.float() for k, v in m.items()}
    ),
    "NNI's wrappers, in training": lambda s, m: (
        {k: v + 0.5 * ~m[k] if k in m else v for k, v in s.items()}
        | {k.replace(".weight", ".module.weight"): s[k] for k in m}
        | {f"{k}_mask": v.float() for k, v in m.items()}
    ),
    "masks of layers": lambda s, m: (
        {k: v + 0.5 * ~m[k] if k in m else v for k, v in s.items()}
        | {k.replace(".weight", ".mask"): v for k, v in m.items()}
    ),
    "open_lth": lambda s, m: (
        under({k: v + 0.5 * ~m[k] if k in m else v for k, v in s.items()}, "model.")
        | {f"mask_{k.replace('.', '___')}": v for k, v in m.items()}
    ),
    "parametrisations": lambda s, m: (
        {
            k.replace("weight", "parametrizations.weight.original") if k in m else k: v + 0.5 * ~m[k]
            if k in m
            else v
            for k, v in s.items()
        }
        | {k.replace("weight", "parametrizations.weight.0.mask"): v for k, v in m.items()}
    ),
    "beside": lambda s, m: {"model": {k: v + 0.5 * ~m[k] if k in m else v for k, v in s.items()}, "masks": m},
    "beside, by layer": lambda s, m: {
        "net": {"weights": {k: v + 0.5 * ~m[k] if k in m else v for k, v in s.items()}, "mask": as_nni(m)}
    },
}


@pytest.mark.parametrize("form", PRUNED)
def test_a_mask_in_the_file_of_its_network_is_held_to(tmp_path, good, mask, form):
    found = taken(tmp_path, PRUNED[form](good, mask))
    for name, held in mask.items():
        assert torch.equal(found.mask[name], held)
        assert torch.equal(found.weights[name], good[name])


def test_masks_and_checkpoints_are_told_apart(tmp_path, good, mask):
    for form in ("by weight, bool", "by weight, float", "NNI", "by layer", "open_lth", "under a key"):
        with pytest.raises(BadInput, match=r"net\.pt: holds a mask alone; that is for --mask, beside"):
            taken(tmp_path, MASKS[form](mask))
    torch.save(good, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"other\.pt: is a checkpoint, not a mask: .*give it as --checkpoint"):
        taken(tmp_path, good, given_mask=tmp_path / "other.pt")
    torch.save({n: torch.rand(m.shape) for n, m in mask.items()}, tmp_path / "soft.pt")
    with pytest.raises(BadInput, match=r"soft\.pt: the mask of .* has values other than 0 and 1"):
        taken(tmp_path, good, given_mask=tmp_path / "soft.pt")
    torch.save(list(mask.values()), tmp_path / "list.pt")
    with pytest.raises(BadInput, match=r"list\.pt: holds a list"):
        taken(tmp_path, good, given_mask=tmp_path / "list.pt")
    other = {n: ~m for n, m in mask.items()}
    with pytest.raises(BadInput, match=r"holds several masks \(mask_10, mask_20\)"):
        taken(tmp_path, {"model": good, "mask_10": mask, "mask_20": other})


def test_a_mask_beside_one_of_two_networks_is_that_ones(tmp_path, raw, good, mask):
    other = {n: ~m for n, m in mask.items()}
    content = {"a": {"net": raw, "mask": other}, "b": {"net": good, "mask": mask}}
    found = taken(tmp_path, content, "b")
    assert all(torch.equal(found.mask[n], m) for n, m in mask.items())


def test_a_module_pruned_in_memory_is_read(good):
    model = registry.get(Architecture, "resnet8").build(NETWORK)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            prune.random_unstructured(module, "weight", 0.5)
    buffer = io.BytesIO()
    torch.save({"state_dict": model.state_dict()}, buffer)
    first = taking.take(NETWORK, files.of(model, "model")).step
    assert first == taking.take(NETWORK, files.of({"state_dict": model.state_dict()}, "model")).step


TWICE = {
    "prune": ("{}.weight_orig", "{}.weight_mask"),
    "parametrization": ("{}.parametrizations.weight.original", "{}.parametrizations.weight.0.mask"),
}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("how", TWICE)
def test_a_weight_that_stands_there_plain_and_pruned_is_refused(good, raw, mask, how, order):
    """The numbers were those of the tensor that came last."""
    name, held = (way.format("layer1.0.conv1") for way in TWICE[how])
    pruned = {name: raw["layer1.0.conv1.weight"], held: mask["layer1.0.conv1.weight"].float()}
    both = dict(list({**good, **pruned}.items())[::order])
    names = ["layer1.0.conv1.weight", name][::order]
    said = rf"model: has {re.escape(' and '.join(names))}, two tensors for one weight\. Remove the one"
    with pytest.raises(BadInput, match=said):
        taking.take(NETWORK, files.of(both, "model"))
    one = {n: t for n, t in both.items() if n not in pruned}
    taking.take(NETWORK, files.of(one, "model"))
    one = {n: t for n, t in both.items() if n != "layer1.0.conv1.weight"}
    taking.take(NETWORK, files.of(one, "model"))


@pytest.mark.parametrize("order", [1, -1])
def test_a_layer_that_stands_there_by_two_projects_names_is_refused(good, raw, order):
    other = {"linear.weight": raw["fc.weight"], "linear.bias": raw["fc.bias"]}
    both = dict(list({**good, **other}.items())[::order])
    with pytest.raises(BadInput, match=r"2 unexpected(.|\n)*linear\.bias(.|\n)*linear\.weight"):
        taking.take(NETWORK, files.of(both, "model"))


@pytest.mark.parametrize("order", [1, -1])
def test_what_a_mask_makes_may_stand_beside_it(good, raw, mask, order):
    name, kept = "layer1.0.conv1.weight", mask["layer1.0.conv1.weight"].float()
    pruned = {f"{name}_orig": raw[name], f"{name}_mask": kept}
    both = dict(list({**good, name: raw[name] * kept, **pruned}.items())[::order])
    alone = {n: t for n, t in both.items() if n != name}
    assert (
        taking.take(NETWORK, files.of(both, "model")).step
        == taking.take(NETWORK, files.of(alone, "model")).step
    )


def test_names_that_collide_elsewhere_in_a_file_leave_a_network_as_it_is(good, raw):
    own = {n: t for n, t in good.items() if not n.startswith("fc.")}
    own |= {"linear.weight": raw["fc.weight"], "linear.bias": raw["fc.bias"]}
    teacher = {"fc.weight": torch.zeros(3, 2), "linear.weight": torch.zeros(2, 3)}
    expected = taking.take(NETWORK, files.of({"state_dict": own}, "model")).step
    found = taking.take(NETWORK, files.of({"state_dict": own, "teacher": teacher}, "model"), key="state_dict")
    assert found.step == expected
