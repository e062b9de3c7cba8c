"""Networks pruned elsewhere: how files are read, what is refused, and that their scores are the same."""

import contextlib
import dataclasses
import json
import pickle
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import prune

import lthbench
from lthbench import api, masks, registry, report, spec
from lthbench.checkpoints import bringing, files, skeletons, taking, tensor_names
from lthbench.errors import BadInput
from lthbench.execution.runner import Runner
from lthbench.kinds import Architecture
from lthbench.planning import digests, plan, request
from lthbench.planning import task as tasks
from lthbench.report.summary import sentence, summarise
from lthbench.results import table
from lthbench.store import LocalStore
from lthbench.store.artifacts import MASK, WEIGHTS

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
SCORED = ["accuracy", "ece", "nll", "agreement", "efficiency", "generalization-gap"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_task):
    """Dense and pruned networks of two seeds of the small task: files exported of them, and their table."""
    root = tmp_path_factory.mktemp("trained")
    asked = request.ask(tiny_task, ["omp"], rounds=[2], seeds=2, metrics=SCORED)
    outcome = api.execute(asked, api.RunOptions(store=root / "store", device="cpu"))
    runner = Runner(LocalStore(root / "store"), ())
    for entry in plan.plan(asked, ()).entries:
        model = runner.space.network(entry.network)
        held = runner.space.held(entry.network)
        if held is not None:
            # As a user of PyTorch would have it: pruned in place, the original weights still there.
            for name, module in model.named_modules():
                if isinstance(module, nn.Conv2d):
                    with torch.no_grad():
                        module.weight += 0.5 * ~held[f"{name}.weight"]
                    prune.custom_from_mask(module, "weight", held[f"{name}.weight"])
        torch.save(model.state_dict(), root / f"{entry.method}{entry.seed}.pt")
    return root, outcome.table


def built(seed=0):
    """ResNet-8 for the digits, drawn from a seed, with batch statistics that are not all alike."""
    network = plan.network(tasks.load("digits-r8"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = registry.get(Architecture, "resnet8").build(network)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-0.1, 0.1)
                module.running_var.uniform_(0.5, 1.5)
    return network, model


def pruned(amount=0.6):
    """The same, pruned globally by torch.nn.utils.prune, with the weights as they count."""
    network, model = built()
    convolutions = [(m, "weight") for m in model.modules() if isinstance(m, nn.Conv2d)]
    prune.global_unstructured(convolutions, prune.L1Unstructured, amount=amount)
    effective = {n: p.detach().clone() for n, p in built()[1].state_dict().items()}
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            effective[f"{name}.weight"] = module.weight.detach().clone()
    return network, model, effective


def drawn_again(seed):
    """The state dict of a network of another seed, with half of its weights set to zero."""
    model = built(seed)[1]
    scores = {n: w.detach().abs() for n, w in masks.prunable(model).items()}
    masks.apply(model, masks.top(scores, 0.5))
    return model.state_dict()


def saved(tmp_path, content, name="net.pt"):
    path = tmp_path / name
    if name.endswith(".safetensors"):
        safetensors.torch.save_file({k: v.contiguous() for k, v in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def taken(path, network, **options):
    return taking.take(network, files.read(path), **options)


# ------------------------------------------------------------------------------------------- end to end


@pytest.mark.long
def test_a_network_pruned_by_torch_scores_as_the_product_scored_it(trained, tmp_path, tiny_task):
    """Exported, pruned again with torch.nn.utils.prune, and read: the same masks, the same numbers."""
    root, first = trained
    again = lthbench.score(
        [root / "omp0.pt", root / "omp1.pt"],
        tiny_task,
        dense=[root / "dense0.pt", root / "dense1.pt"],
        metrics=SCORED,
        store=tmp_path / "store",
        device="cpu",
        report=tmp_path / "report",
        stack=2,
    )
    events = LocalStore(tmp_path / "store").events()
    assert {e.get("stack") for e in events if e["step"] == "Predict"} == {2}
    key = ["sparsity", "seed", "metric", "score", "variant"]
    both = first[first["method"] == "omp"].merge(again[again["method"] == "given"], on=key, how="outer")
    assert len(both) > 20
    assert (both["status_x"] == "ok").sum() > 20
    assert (both["status_x"] == both["status_y"]).all()
    for column in ("value", "se", "diff_se", "mean_diff_se", "n"):
        np.testing.assert_array_equal(both[f"{column}_x"], both[f"{column}_y"])
    dense = first[first["method"] == "dense"].merge(again[again["method"] == "dense"], on=key, how="outer")
    np.testing.assert_array_equal(dense["value_x"], dense["value_y"])
    # The table can be read, reported and judged as any other.
    read, facts = table.read(tmp_path / "report")
    assert summarise(read, facts).headline[0].method == "given"
    assert [g["mask"] for g in facts.checkpoints] == ["mask in the file"] * 2 + [""] * 2
    assert facts.seconds.get("train") is None
    assert "given(resnet8, digest" in facts.network("given", 0.75, 0).expression
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


def test_a_network_from_which_nothing_was_removed_is_scored_and_says_so(trained, tmp_path, tiny_task):
    """A second training, a control: it stands in the table at sparsity 0, on every page, and is judged."""
    root, _ = trained
    options = {"dense": root / "dense0.pt", "metrics": ["accuracy", "nll"], "store": tmp_path / "store"}
    again = lthbench.score(
        root / "dense1.pt", tiny_task, name="second", report=tmp_path / "report", device="cpu", **options
    )
    assert set(again.loc[again["method"] == "second", "sparsity"]) == {0.0}
    scores, facts = table.read(tmp_path / "report")
    summary = summarise(scores, facts)
    assert (summary.sparsities, summary.headline[0].scope) == ((0.0,), "network")
    said = sentence(summary, summary.headline[0])
    assert "nothing was removed from it" in said or "may be as good as its dense parent or not" in said
    read = taking.take(plan.network(tasks.load(tiny_task)), files.read(root / "dense1.pt"))
    assert "nothing removed (a mask of its own is named with --mask FILE), pixels normalised" in read.text()
    report.write(scores, facts, tmp_path / "all", None, ("html", "md", "latex", "json", "badge", "svg"))
    report.write_several([(scores, facts)], tmp_path / "site", None, ("site",))


def test_the_parent_is_trained_where_only_its_seed_is_given(trained, tmp_path, tiny_task):
    root, first = trained
    again = lthbench.score(
        str(root / "omp1.pt"), tiny_task, dense=1, metrics=["accuracy"], store=root / "store", name="mine"
    )
    assert set(again["seed"]) == {1}
    assert set(again["method"]) == {"dense", "mine"}
    value = first[(first.method == "dense") & (first.seed == 1) & (first.score == "accuracy")]["value"].item()
    assert again[again.method == "dense"]["value"].item() == value
    # What is stored is found again, whatever the format of the file.
    network = plan.network(tasks.load(tiny_task))
    other = files.read(root / "omp1.pt")
    packed = saved(tmp_path, other.tensors, "same.safetensors")
    assert taken(packed, network).step == taking.take(network, other).step


def test_the_command_says_what_it_read_and_where_the_page_is(trained, tmp_path, tiny_task, capsys):
    from lthbench.cli import main

    root, _ = trained
    words = ["score", "--task", tiny_task, "--checkpoint", root / "omp0.pt", "--dense", root / "dense0.pt"]
    words += ["--metrics", "accuracy,nll", "--store", tmp_path / "store", "--report", tmp_path / "report"]
    words += ["--stack", "2"]
    main(
        [*map(str, words), "--workers", "0", "--device", "cpu", "--name", "elsewhere", "--progress", "plain"]
    )
    said = capsys.readouterr()
    assert "omp0.pt: 75.00 % of prunable weights removed, mask in the file" in said.err
    assert "dense0.pt: dense" in said.err
    assert "elsewhere" in said.out
    facts = json.loads((tmp_path / "report" / "run.json").read_text())
    assert facts["command"].startswith(f"lthbench score --task {tiny_task} --checkpoint {root / 'omp0.pt'}")
    assert facts["methods"] == ["elsewhere"]
    predicted = [e for e in LocalStore(tmp_path / "store").events() if e["step"] == "Predict"]
    assert {e.get("stack") for e in predicted} == {2}
    with pytest.raises(SystemExit, match="2"):
        main(["submit", str(tmp_path / "report"), "--store", str(tmp_path / "store")])
    assert "only what a command makes again is bundled" in capsys.readouterr().err


# ----------------------------------------------------------------------------------------------- formats


def test_every_common_form_of_a_checkpoint_is_the_same_network(tmp_path):
    network, model, effective = pruned()
    in_place = model.state_dict()
    wanted = taking.take(network, files.of(model, "model")).step
    assert wanted.density == pytest.approx(0.4, abs=1e-4)
    forms = {
        "plain": effective,
        "nested": {"epoch": 3, "state_dict": effective, "optimizer": {"state": {}, "param_groups": []}},
        "twice": {"model": {"state_dict": effective}},
        "parallel": {f"module.{k}": v for k, v in effective.items()},
        "compiled": {f"_orig_mod.module.{k}": v for k, v in effective.items()},
        "wrapped": {"0.mean": effective["normalize.mean"], "0.std": effective["normalize.std"]}
        | {f"1.{k}": v for k, v in effective.items() if not k.startswith("normalize")},
        "pruned": in_place,
        "half": {k: v for k, v in effective.items() if "num_batches" not in k},
    }
    read = {name: taken(saved(tmp_path, form), network).step for name, form in forms.items()}
    assert set(read.values()) == {wanted}
    assert taken(saved(tmp_path, in_place, "p.safetensors"), network).step == wanted
    assert taken(saved(tmp_path, effective, "e.safetensors"), network).step == wanted


def test_weights_and_mask_are_what_torch_computes_with(tmp_path):
    network, model, effective = pruned()
    found = taken(saved(tmp_path, model.state_dict()), network)
    for name in masks.prunable(built()[1]):
        assert torch.equal(found.weights[name], effective[name])
        assert torch.equal(found.mask[name], effective[name] != 0)
    x = torch.rand(5, 1, 8, 8)
    other = built(seed=9)[1]
    other.load_state_dict(found.weights)
    assert torch.equal(other.eval()(x), model.eval()(x))


def test_a_parametrisation_with_a_mask_is_read():
    network, model, effective = pruned()
    renamed = {}
    for name, tensor in model.state_dict().items():
        name = name.replace("weight_orig", "parametrizations.weight.original")
        renamed[name.replace("weight_mask", "parametrizations.weight.0.mask")] = tensor
    wanted = taking.take(network, files.of(effective, "model")).step
    assert taking.take(network, files.of(renamed, "model")).step == wanted


@pytest.mark.parametrize("form", ["weight", "mask", "module", "packed", "beside"])
def test_a_mask_in_a_file_of_its_own_is_held_to(tmp_path, form):
    network, dense = built()
    wanted = {n: torch.rand(w.shape) < 0.3 for n, w in masks.prunable(dense).items()}
    plain = {k: v.clone() for k, v in dense.state_dict().items()}
    path = saved(tmp_path, plain)
    names = {"weight": "{}", "mask": "{}_mask", "module": "{}", "beside": "{}"}
    if form == "packed":
        (tmp_path / "mask.safetensors").write_bytes(masks.packed(wanted))
    elif form == "beside":
        path = saved(tmp_path, {"state_dict": plain, "masks": {n: m.float() for n, m in wanted.items()}})
    else:
        cut = {n.removesuffix(".weight") if form == "module" else n: m for n, m in wanted.items()}
        saved(tmp_path, {names[form].format(n): m.to(torch.uint8) for n, m in cut.items()}, "mask.pt")
    mask_file = {"packed": "mask.safetensors", "beside": None}.get(form, "mask.pt")
    found = taken(path, network, given_mask=tmp_path / mask_file if mask_file else None)
    assert all(torch.equal(found.mask[n], wanted[n]) for n in wanted)
    assert all(torch.equal(found.weights[n], plain[n] * wanted[n]) for n in wanted)


def test_the_linear_layer_may_be_pruned_too_and_does_not_count_as_prunable(tmp_path):
    network, _, effective = pruned()
    effective["fc.weight"][:, ::2] = 0.0
    found = taken(saved(tmp_path, effective), network)
    assert found.mask["fc.weight"].float().mean() == 0.5
    assert found.account["sparsity"] == pytest.approx(0.6, abs=1e-4)
    kept = masks.count(found.mask)
    assert "fc.weight" not in kept


def test_a_mask_of_the_linear_layer_alone_is_kept():
    network, model = built()
    prune.l1_unstructured(model.fc, "weight", 0.5)
    found = taking.take(network, files.of(model, "model"))
    assert torch.equal(found.mask["fc.weight"], model.fc.weight_mask.bool())
    assert all(bool(found.mask[n].all()) for n in found.prunable)
    assert (found.step.density, found.account["sparsity"]) == (1.0, 0.0)
    prune.remove(model.fc, "weight")
    prune.identity(model.conv1, "weight")
    assert taking.take(network, files.of(model, "model")).mask is None


# ------------------------------------------------------------------------------------- other names


def torchvision_names(model):
    return model.state_dict()


def cifar_names(model):
    other = {"downsample.": "shortcut.", "fc.": "linear."}
    found = model.state_dict()
    for ours, theirs in other.items():
        found = {name.replace(ours, theirs): tensor for name, tensor in found.items()}
    return found


def transformers_names(model):
    found = {}
    for name, tensor in model.state_dict().items():
        parts = name.split(".")
        if parts[0] in ("conv1", "bn1"):
            kind = "convolution" if parts[0] == "conv1" else "normalization"
            name = f"resnet.embedder.embedder.{kind}.{parts[1]}"
        elif parts[0] == "fc":
            name = f"classifier.1.{parts[1]}"
        else:
            start = f"resnet.encoder.stages.{int(parts[0][-1]) - 1}.layers.{parts[1]}."
            if parts[2] == "downsample":
                name = f"{start}shortcut.{'convolution' if parts[3] == '0' else 'normalization'}.{parts[4]}"
            else:
                kind = "convolution" if parts[2].startswith("conv") else "normalization"
                name = f"{start}layer.{int(parts[2][-1]) - 1}.{kind}.{parts[3]}"
        found[name] = tensor
    return found


def cifar100_names(model):
    renamed = {}
    for name, tensor in model.state_dict().items():
        name = re.sub(r"^conv1\.", "conv1.0.", re.sub(r"^bn1\.", "conv1.1.", name))
        place = re.match(r"layer(\d)\.(\d+)\.(conv|bn)(\d)\.(.*)", name)
        if place:
            at = 3 * (int(place[4]) - 1) + (place[3] == "bn")
            name = f"conv{int(place[1]) + 1}_x.{place[2]}.residual_function.{at}.{place[5]}"
        name = re.sub(
            r"layer(\d)\.(\d+)\.downsample", lambda m: f"conv{int(m[1]) + 1}_x.{m[2]}.shortcut", name
        )
        renamed[name] = tensor
    return renamed


@pytest.mark.parametrize("names", [torchvision_names, cifar_names, cifar100_names, transformers_names])
@pytest.mark.parametrize("depth", [18, 50])
def test_resnets_of_others_are_read(names, depth):
    import torchvision

    network = spec.Network(
        f"resnet{depth}" + ("-img" if depth == 18 else ""), 1, 10, 3, 224, (0.5,) * 3, (0.2,) * 3
    )
    theirs = getattr(torchvision.models, f"resnet{depth}")(num_classes=10)
    with torch.no_grad():
        for parameter in theirs.parameters():
            if parameter.dim() == 4:
                parameter[torch.rand_like(parameter) < 0.5] = 0.0
    found = taking.take(network, files.of(names(theirs), "model"))
    ours = registry.get(Architecture, network.architecture).build(network)
    ours.load_state_dict(found.weights)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.allclose(ours.eval()(x), theirs.eval()((x - 0.5) / 0.2), atol=1e-4)


def test_googlenet_of_torchvision_is_read_without_its_auxiliary_classifiers():
    import torchvision

    network = spec.Network("googlenet", 1, 10, 3, 224, (0.5,) * 3, (0.2,) * 3)
    theirs = torchvision.models.googlenet(num_classes=10, aux_logits=True, init_weights=False)
    nn.utils.prune.random_unstructured(theirs.conv1.conv, "weight", 0.5)
    found = taking.take(network, files.of(theirs, "model"))
    assert not any(name.startswith("aux") for name in found.weights)
    assert 0 < found.account["sparsity"] < 0.01


def test_wide_resnets_are_read_by_the_names_they_are_published_under():
    network = spec.Network("wrn28-10", 1, 10, 3, 32, (0.5,) * 3, (0.2,) * 3, (16, 16, 32, 64))
    model = registry.get(Architecture, "wrn28-10").build(network)
    theirs = {}
    for name, tensor in model.state_dict().items():
        if name.startswith("layer"):
            stage, block, rest = name.split(".", 2)
            name = f"block{stage[-1]}.layer.{block}.{rest.replace('shortcut', 'convShortcut')}"
        theirs[f"module.{name[:2] + '1' + name[2:] if name.startswith('bn.') else name}"] = tensor.clone()
    theirs["module.block1.layer.0.conv1.weight"][0] = 0.0
    found = taking.take(network, files.of(theirs, "model"))
    assert found.account["names"] == "WideResNet-pytorch"
    assert all(
        torch.equal(found.weights[n], model.state_dict()[n]) for n in ("bn.weight", "layer3.1.conv2.weight")
    )


def test_the_normalisation_is_the_files_or_as_told():
    network, _, effective = pruned()
    task = (network.mean, network.std)
    plain = {k: v for k, v in effective.items() if not k.startswith("normalize")}

    def read(content, normalization=None):
        step = taking.take(network, files.of(content, "model"), normalization=normalization).step
        return step.network.mean, step.network.std

    assert read(effective) == task  # equal but for float32: the same key
    assert read(plain) == task
    own = plain | {"normalize.mean": torch.tensor([0.25]), "normalize.std": torch.tensor([0.5])}
    assert read(own) == ((0.25,), (0.5,))
    assert read(own, ((0.125,), (1.0,))) == ((0.125,), (1.0,))
    with pytest.raises(BadInput, match="mean of the pixels: 1 numbers are needed, got 3"):
        read(plain, ((0.5,) * 3, (0.5,) * 3))
    with pytest.raises(BadInput, match="divide by 255"):
        read(plain, ((127.5,), (0.5,)))
    with pytest.raises(BadInput, match="std of the pixels: for pixels from 0 to 1, not 0"):
        read(plain, ((0.5,), (0.0,)))


@pytest.mark.parametrize(
    "given",
    [
        (np.array([0.25], np.float32), np.array([0.5], np.float32)),
        (torch.tensor([0.25]), [np.float32(0.5)]),
        torch.tensor([[0.25], [0.5]]),
    ],
)
def test_numbers_of_arrays_and_tensors_are_taken_as_pythons_own(given):
    _, found = bringing.bring("digits-r8", "mine", [pruned()[2]], [np.int64(0)], [], given)
    step = found.pruned[0].step
    assert (step.network.mean, step.network.std) == ((0.25,), (0.5,))
    assert json.dumps([step.network.mean, step.network.std]) == "[[0.25], [0.5]]"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((0.5, 0.5), "mean: expected a list of numbers, got 0.5"),
        (([0.5], torch.tensor(0.5)), "std: expected a list of numbers, got 0.5"),
        ((["a"], [0.5]), r"mean: expected a list of numbers, got \['a'\]"),
        (([0.5],), "normalization: a mean and a standard deviation for each channel"),
        (0.5, "normalization: a mean and a standard deviation for each channel"),
    ],
)
def test_a_normalisation_that_is_no_pair_of_lists_is_refused(given, said):
    with pytest.raises(BadInput, match=said):
        bringing.bring("digits-r8", "mine", [pruned()[2]], [0], [], given)


@pytest.mark.parametrize("held", [True, False])
def test_a_networks_normalisation_may_have_any_name(held):
    """The example of the documentation: its normalisation is called 0."""
    architecture = registry.get(Architecture, str(EXAMPLES / "plain3.py"))
    network = dataclasses.replace(plan.network(tasks.load("digits-r8")), architecture=architecture.name)
    state = architecture.build(network).state_dict()
    file = {n: t for n, t in state.items() if held or n not in ("0.mean", "0.std")}
    found = taking.take(network, files.of(file, "model"), dense=True)
    model = architecture.build(network)
    model.load_state_dict(found.weights)
    assert all(torch.equal(t, state[n]) for n, t in model.state_dict().items())
    other = taking.take(network, files.of(file, "model"), None, ((0.25,), (0.5,)), dense=True)
    assert (float(other.weights["0.mean"]), float(other.weights["0.std"])) == (0.25, 0.5)


@pytest.fixture(params=["dtype", "device", "inside a device"])
def calling(request):
    """What a program may have set of torch: half precision, or a device without memory."""
    with contextlib.ExitStack() as stack:
        if request.param == "dtype":
            stack.callback(torch.set_default_dtype, torch.get_default_dtype())
            torch.set_default_dtype(torch.bfloat16)
        elif request.param == "device":
            stack.callback(torch.set_default_device, None)
            torch.set_default_device("meta")
        else:
            stack.enter_context(torch.device("meta"))
        yield


@pytest.fixture(scope="module")
def brought():
    """What two networks are brought by, a state dict and its parent as a module, and how they are read."""
    words = ("digits-r8", "mine", [drawn_again(0)], [built(seed=5)[1]], [])
    return words, bringing.bring(*words)[1]


@pytest.mark.usefixtures("calling")
def test_networks_are_read_with_torchs_defaults_whatever_calls(brought):
    words, usual = brought
    _, found = bringing.bring(*words)
    for got, wanted in ((found.pruned[0], usual.pruned[0]), (found.dense[0], usual.dense[0])):
        assert got.step == wanted.step
        assert got.weights.keys() == wanted.weights.keys()
        for name, tensor in wanted.weights.items():
            assert got.weights[name].dtype == tensor.dtype
            assert torch.equal(got.weights[name], tensor)


# ---------------------------------------------------------------------------------------------- refusals


def test_two_networks_of_one_parent_are_refused():
    networks = [drawn_again(seed) for seed in (0, 1)]
    with pytest.raises(BadInput, match="dense: seed 0 is named twice; each network needs a parent"):
        bringing.bring("digits-r8", "mine", networks, [0, 0], [])
    parent = built(seed=5)[1].state_dict()
    with pytest.raises(BadInput, match="dense: the same parent is given twice"):
        bringing.bring("digits-r8", "mine", networks, [parent, parent], [])
    _, found = bringing.bring("digits-r8", "mine", networks, [0, 1], [])
    assert sorted(found.pruned) == [0, 1]


def test_of_several_networks_it_is_told_which_one_is_refused():
    good, bad = drawn_again(0), {"other": torch.zeros(3, 3)}
    both = [good, bad], [0, 1], []
    with pytest.raises(BadInput, match="the state dict given as checkpoint 2 of 2: does not hold"):
        bringing.bring("digits-r8", "mine", *both)
    with pytest.raises(BadInput, match="checkpoint 2 of 2: expected a path, a module or a state dict"):
        bringing.bring("digits-r8", "mine", [good, 3], [0, 1], [])
    with pytest.raises(BadInput, match="the state dict given as dense 2 of 2: does not hold"):
        bringing.bring("digits-r8", "mine", [good, drawn_again(1)], [built()[1], bad], [])
    with pytest.raises(BadInput, match=r"the state dict given as mask 2 of 2: .*has a mask for other"):
        bringing.bring("digits-r8", "mine", [good, drawn_again(1)], [0, 1], [None, bad])
    with pytest.raises(BadInput, match="the state dict given as checkpoint: does not hold"):
        bringing.bring("digits-r8", "mine", [bad], [0], [])


def test_an_account_names_what_is_missing_unexpected_and_of_another_shape(tmp_path):
    network, _, effective = pruned()
    broken = {k.replace("layer2.0.conv1", "layer2.0.conv_1"): v for k, v in effective.items()}
    broken["fc.weight"] = torch.zeros(100, 64)
    broken["extra.bias"] = torch.zeros(3)
    path = saved(tmp_path, broken)
    with pytest.raises(BadInput) as caught:
        taken(path, network)
    said = str(caught.value)
    assert said.startswith(
        f"{path}: does not hold a resnet8 for 10 classes of 1 x 8 x 8 images: 1 missing, 2 une"
    )
    assert "missing: layer2.0.conv1.weight [32, 16, 3, 3]; nearest: layer2.0.conv_1.weight" in said
    assert "unexpected: layer2.0.conv_1.weight [32, 16, 3, 3]; nearest: layer2.0.conv1.weight" in said
    assert "unexpected: extra.bias [3]" in said
    assert "shape: fc.weight is [100, 64] in the file, [10, 64] in the network" in said


def test_another_architecture_is_recognised():
    network = plan.network(tasks.load("c10-r20s"))
    other = spec.Network("resnet18", 1, 100, 3, 32, (0.5,) * 3, (0.2,) * 3)
    model = registry.get(Architecture, "resnet18").build(other)
    with pytest.raises(BadInput, match="It is a resnet18 for colour images; tasks with one: c10-r18,"):
        taking.take(network, files.of(cifar_names(model), "model"))


def test_only_networks_of_plugins_that_cannot_be_built_are_passed_over():
    def fails(network):
        raise ZeroDivisionError

    broken = dataclasses.replace(registry.get(Architecture, "resnet8"), build=fails)
    network = spec.Network("resnet8", 1, 10, 1, 8, (0.5,), (0.5,))
    assert skeletons._layout(dataclasses.replace(broken, name="own"), network) == ({}, "?")
    with pytest.raises(ZeroDivisionError):
        skeletons._layout(broken, network)


def test_no_task_is_named_whose_images_have_other_channels():
    """A network for colour images was sent to the task that had just refused it."""
    colour = spec.Network("resnet8", 1, 10, 3, 8, (0.5,) * 3, (0.2,) * 3)
    model = registry.get(Architecture, "resnet8").build(colour)
    with pytest.raises(BadInput, match="It is a resnet8 for colour images; tasks with one: none"):
        taking.take(plan.network(tasks.load("digits-r8")), files.of(cifar_names(model), "model"))


def test_an_architecture_that_is_not_known_is_said_to_be_one_of_an_own_file(tmp_path):
    torch.save({f"blocks.{i}.weight": torch.zeros(3, 3) for i in range(9)}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"that lthbench lacks is a file of your own.*--plugin"):
        bringing.bring("digits-r8", "mine", [str(tmp_path / "other.pt")], [0], [])


def test_another_number_of_channels_is_recognised():
    with pytest.raises(BadInput, match="It is a resnet8 for grey images; tasks with one: digits-r8"):
        taking.take(plan.network(tasks.load("c10-r20s")), files.of(pruned()[1], "model"))


class Evil:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("form", ["pickle", "torch", "module"])
def test_nothing_is_unpickled(tmp_path, form):
    network, model, effective = pruned()
    target, path = tmp_path / "written", tmp_path / "net.pt"
    if form == "pickle":
        path.write_bytes(pickle.dumps({"state_dict": effective, "evil": Evil(target)}))
    else:
        torch.save(model if form == "module" else {"state_dict": effective, "evil": Evil(target)}, path)
    with pytest.raises(BadInput, match=r"net\.pt: (holds Python objects|is no checkpoint)") as caught:
        taken(path, network)
    if form != "pickle":
        assert "torch.save(model.state_dict(), FILE)" in str(caught.value)
    assert not target.exists()


def deflated(path, effective):
    torch.save(effective, path)
    with zipfile.ZipFile(path) as archive:
        content = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    content["archive/data/bomb"] = bytes(50_000_000)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page, not a checkpoint"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "pointer of Git LFS"),
        (b"not a network", "is no checkpoint that torch or safetensors can read"),
        (b"\xff\xff\xff\xff\xff\xff\xff\x7f{}", "broken safetensors file"),
        (b"\x02\x00\x00\x00\x00\x00\x00\x00{}", "holds a mask alone|holds no tensors"),
    ],
)
def test_files_that_are_none_are_refused(tmp_path, content, said):
    path = tmp_path / "net.bin"
    path.write_bytes(content)
    with pytest.raises(BadInput, match=rf"net\.bin: .*({said})"):
        taken(path, built()[0])


def test_a_file_that_unpacks_to_much_more_is_refused(tmp_path):
    deflated(tmp_path / "net.pt", pruned()[2])
    with pytest.raises(BadInput, match=r"unpacks to 0\.1 GB"):
        files.read(tmp_path / "net.pt")


def test_a_cut_file_is_refused(tmp_path):
    for name in ("net.pt", "net.safetensors"):
        path = saved(tmp_path, pruned()[2], name)
        whole = path.read_bytes()
        for share in (0.1, 0.5, 0.99):
            path.write_bytes(whole[: int(share * len(whole))])
            with pytest.raises(BadInput, match=r"net\."):
                taken(path, built()[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(3), "holds one tensor"),
        ([torch.zeros(3)], "holds a list"),
        ({"epoch": 3}, "holds no tensors by name; it has epoch"),
        ({"a": {"w": torch.zeros(1)}, "b": {"w": torch.zeros(1)}}, r"does not hold .*\n.* tensors at a, b"),
    ],
)
def test_what_holds_no_network_is_refused(tmp_path, content, said):
    with pytest.raises(BadInput, match=re.compile(said, re.DOTALL)):
        taken(saved(tmp_path, content), built()[0])


def _changed(**changes):
    return pruned()[2] | changes


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fc.bias": torch.full((10,), torch.nan)}, "fc.bias holds values that are not finite"),
        ({"bn1.running_var": torch.full((16,), -1e-3)}, "bn1.running_var holds variances below 0"),
        ({"fc.bias": torch.zeros(10, dtype=torch.int8)}, "fc.bias is torch.int8; weights must be floating"),
        ({"fc.bias": torch.zeros(10, dtype=torch.complex64)}, "weights must be floating point"),
        ({"fc.weight": torch.zeros(1, 1).expand(10, 64)}, ""),
    ],
)
def test_weights_that_cannot_be_computed_with_are_refused(change, said):
    network = built()[0]
    found = files.of(_changed(**change), "model")
    if not said:
        assert taking.take(network, found).weights["fc.weight"].shape == (10, 64)
        return
    with pytest.raises(BadInput, match=said):
        taking.take(network, found)


class Ordered(nn.Module):
    """ResNet-8 whose logits stand in an order, and some alone, by buffers of integers and truth values."""

    def __init__(self, network):
        super().__init__()
        self.body = registry.get(Architecture, "resnet8").build(network)
        self.register_buffer("order", torch.arange(network.classes))
        self.register_buffer("used", torch.ones(network.classes, dtype=torch.bool))

    def forward(self, images):
        return self.body(images)[:, self.order] * self.used


def test_buffers_of_integers_and_truth_values_are_read_and_tell_networks_apart(monkeypatch):
    own = dataclasses.replace(registry.get(Architecture, "resnet8"), name="ordered", build=Ordered)
    monkeypatch.setitem(registry._imported, (Architecture, "ordered"), own)
    monkeypatch.setitem(registry._paths, (Architecture, "ordered"), Path("ordered.py"))
    network = dataclasses.replace(plan.network(tasks.load("digits-r8")), architecture="ordered")
    content = Ordered(network).state_dict()
    other = {**content, "order": content["order"].flip(0)}
    first, second = (taking.take(network, files.of(one, "model")) for one in (content, other))
    assert second.weights["order"].tolist() == list(reversed(range(10)))
    assert second.weights["used"].dtype == torch.bool
    assert first.step.digest != second.step.digest
    with pytest.raises(BadInput, match=r"order is torch\.float32; the network has"):
        taking.take(network, files.of({**content, "order": content["order"].float()}, "model"))


def test_masks_that_cannot_be_used_are_refused(tmp_path):
    network, dense = built()
    plain = {k: v.clone() for k, v in dense.state_dict().items()}
    found = files.of(plain, "model")
    mask = {n: torch.rand(w.shape) < 0.5 for n, w in masks.prunable(dense).items()}
    first = next(iter(mask))

    def refused(given_mask, said, of=found):
        with pytest.raises(BadInput, match=said):
            taking.take(network, of, given_mask)

    refused(mask | {first: torch.ones(3)}, r"the mask of conv1\.weight is \[3\], the weight \[16, 1, 3, 3\]")
    refused(mask | {first: torch.full((16, 1, 3, 3), 0.5)}, "has values other than 0 and 1")
    refused({"other.weight_mask": torch.ones(3)}, "has a mask for other.weight, which the network does not")
    everything = taking.take(network, found, {n: torch.ones_like(m) for n, m in mask.items()})
    assert everything.mask is None
    refused({n: torch.zeros_like(m) for n, m in mask.items()}, "its mask keeps nothing")
    zeroed = plain | {n: plain[n] * m for n, m in mask.items()}
    refused({n: ~m for n, m in mask.items()}, "wrong way round", files.of(zeroed, "model"))
    refused(mask, "has masks of its own", files.of(pruned()[1], "model"))
    with pytest.raises(BadInput, match=r"is not dense: [45]\d\.\d % of its weights are pruned"):
        taking.take(network, files.of(zeroed, "dense"), dense=True)


def test_what_does_not_go_together_is_refused(tmp_path, tiny_task):
    effective = pruned()[2]
    first, second = saved(tmp_path, effective, "a.pt"), saved(tmp_path, pruned(0.5)[2], "b.pt")

    def refused(said, *words, **options):
        with pytest.raises(BadInput, match=said):
            lthbench.score(*words, **{"task": tiny_task, "store": tmp_path / "store", **options})
        assert not (tmp_path / "store").exists()

    refused("no file absent.pt", "absent.pt")
    refused("must have one sparsity; these have 60.00 %, 50.00 %", [first, second])
    refused("given twice", [first, first])
    refused("2 networks need 2 dense parents", [first, first], dense=[second])
    refused("give networks or seeds, not both", [first, second], dense=[0, second])
    refused("imp is a method of lthbench; give", first, name="imp")
    refused(r"IMP is a method of lthbench \(imp\); give", first, name="IMP")
    refused(r"lth is a method of lthbench \(imp\); give", first, name="lth")
    refused("letters, digits", first, name="../x")
    refused("letters, digits", first, name=3)
    refused("key: expected a text, got 3", first, key=3)
    refused("is a folder", tmp_path)
    refused("expected a path, a module or a state dict, got int", 3)
    refused("at least one network", [])
    refused('no metric "acuracy"', first, metrics=["acuracy"])


def test_a_damaged_network_is_put_back_by_the_same_command(trained, tmp_path, tiny_task):
    root, _ = trained
    options = {"dense": root / "dense0.pt", "metrics": ["accuracy"], "store": tmp_path / "s", "device": "cpu"}
    first = lthbench.score(root / "omp0.pt", tiny_task, **options)
    network = plan.network(tasks.load(tiny_task))
    step = taken(root / "omp0.pt", network).step
    store = LocalStore(tmp_path / "s")
    for name in (WEIGHTS.name, MASK.name):
        path = store.place(step.key) / name
        path.write_bytes(path.read_bytes()[:-1] + b"\x00\x01")
        pd.testing.assert_frame_equal(lthbench.score(root / "omp0.pt", tiny_task, **options), first)
        assert store.intact(step)


# --------------------------------------------------------------------------------------------------- hub


class Hub:
    """Stands for the module huggingface_hub: one repository, of files in a folder."""

    def __init__(self, folder):
        self.folder = folder

    def list_repo_files(self, name):
        if name != "owner/net":
            raise OSError("404 Client Error\nRepository Not Found")
        return [p.name for p in self.folder.iterdir()]

    def hf_hub_download(self, name, file):
        return str(self.folder / file)

    def try_to_load_from_cache(self, name, file):
        """Of what is there the second is cached; of the first it is known that there is none."""
        cached = name == "owner/net" and file == "pytorch_model.bin"
        return str(self.folder / file) if cached else object() if file == "model.safetensors" else None


def test_a_repository_of_the_hub_is_read_where_its_library_is_there(tmp_path, monkeypatch):
    network, _, effective = pruned()
    (tmp_path / "hub").mkdir()
    saved(tmp_path / "hub", effective, "model.safetensors")
    saved(tmp_path / "hub", effective, "other.pt")
    wanted = taking.take(network, files.of(effective, "model")).step
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(BadInput, match=r"no file owner/net\. .*pip install 'lthbench\[hub\]'"):
        files.read("owner/net")
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", Hub(tmp_path / "hub"))
    assert taken("owner/net", network).step == wanted
    assert taken("hf://owner/net/other.pt", network).step == wanted
    with pytest.raises(BadInput, match=r"has no absent\.pt\. It has model\.safetensors, other\.pt; name one"):
        files.read("hf://owner/net/absent.pt")
    with pytest.raises(BadInput, match=r"the Hugging Face hub does not give it: OSError: 404 Client Error$"):
        files.read("owner/absent")
    for path in ("runs/net.pt", "a/b/c", "../net", "hf://owner", "hf://../../etc"):
        for fetch in (True, False):
            with pytest.raises(BadInput, match="no file"):
                files.read(path, fetch)


def test_of_a_repository_that_may_not_be_fetched_what_is_cached_is_read(tmp_path, monkeypatch):
    network, _, effective = pruned()
    (tmp_path / "hub").mkdir()
    saved(tmp_path / "hub", effective, "pytorch_model.bin")
    wanted = taking.take(network, files.of(effective, "model")).step
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr(Hub, "list_repo_files")
    monkeypatch.delattr(Hub, "hf_hub_download")
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", Hub(tmp_path / "hub"))
    for name in ("owner/net", "hf://owner/net/pytorch_model.bin"):
        assert taking.take(network, files.read(name, fetch=False)).step == wanted
    for name in ("owner/other", "hf://owner/net/other.pt", "hf://owner/net/model.safetensors"):
        with pytest.raises(BadInput, match=f"^{name}: is not on this machine yet, and .* --collect"):
            files.read(name, fetch=False)


def test_a_name_that_the_hub_does_not_take_is_told_where_nothing_is_fetched(tmp_path, monkeypatch):
    def refuses(self, name, file):
        raise ValueError("Repo id must not have --")

    monkeypatch.setattr(Hub, "try_to_load_from_cache", refuses)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", Hub(tmp_path))
    with pytest.raises(BadInput, match="ValueError: Repo id must not have --"):
        files.read("runs/my--model", fetch=False)


def test_names_alone_decide_which_reading_leaves_the_least_over():
    target = {"conv1.weight": torch.Size([1]), "fc.weight": torch.Size([2])}
    parts = tensor_names.folded(
        {"module.conv1.weight": torch.zeros(1), "module.linear.weight": torch.zeros(2)}, "made.pt"
    )
    found = tensor_names.nearest(parts, target)
    assert tensor_names.account(parts, target, "x", "a network") == ""
    assert (found.names, found.prefix) == ("pytorch-cifar", "module.")
    assert found.parts.keys() == target.keys()


# ------------------------------------------------------------------------------------------------ fuzzing


def damaged(whole, draw):
    """A file with bytes flipped, cut out, doubled or replaced, or its end cut off."""
    content = bytearray(whole)
    for _ in range(int(draw.integers(1, 4))):
        if not content:
            break
        # Most of a file is weights; what a reader can stumble over stands at its ends.
        place = int(draw.integers(0, 2000)) if draw.random() < 0.5 else -int(draw.integers(1, 6000))
        place = max(0, place % len(content))
        kind, size = draw.integers(0, 5), int(draw.integers(1, 40))
        if kind == 0:
            content[place] ^= 1 << int(draw.integers(0, 8))
        elif kind == 1:
            del content[place : place + size]
        elif kind == 2:
            content[place:place] = content[place : place + size]
        elif kind == 3:
            content[place : place + size] = draw.bytes(size)
        else:
            content = content[: max(1, place)]
    return bytes(content)


def fuzz(tmp_path, count):
    """Reads damaged files; all that may come out is a network or a message."""
    network, model, effective = pruned()
    small = {k: v for k, v in effective.items() if not k.startswith("layer3")}
    forms = {
        "net.pt": {"state_dict": effective, "epoch": 3},
        "small.pt": {"model": small, "masks": {k: v != 0 for k, v in small.items() if v.dim() == 4}},
        "pruned.pt": model.state_dict(),
        "net.safetensors": effective,
    }
    wholes = {name: saved(tmp_path, form, name).read_bytes() for name, form in forms.items()}
    torch.save(effective, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    wholes["old.pt"] = (tmp_path / "old.pt").read_bytes()
    wholes["mask.safetensors"] = masks.packed({"conv1.weight": effective["conv1.weight"] != 0})
    draw, refused = np.random.Generator(np.random.PCG64(0)), 0
    before = sorted(p.name for p in tmp_path.iterdir())
    names = list(wholes)
    for i in range(count):
        name = names[i % len(names)]
        path = tmp_path / name if (tmp_path / name).exists() else tmp_path / "net.pt"
        path.write_bytes(damaged(wholes[name], draw))
        said = ""
        try:
            taken(path, network)
        except BadInput as error:
            said = str(error)
        assert not said or said.startswith(str(path))
        refused += said != ""
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    return refused


def test_damaged_files_are_read_or_refused_with_a_message(tmp_path):
    assert fuzz(tmp_path, 300) > 150


@pytest.mark.slow
def test_many_damaged_files_are_read_or_refused_with_a_message(tmp_path):
    assert fuzz(tmp_path, 20_000) > 10_000


def test_the_digest_of_a_file_is_one_of_its_mask_too():
    weights = {"fc.weight": torch.zeros(2, 2)}
    kept = [
        None,
        *({"fc.weight": torch.tensor(mask).bool()} for mask in ([[1, 0], [1, 1]], [[0, 1], [1, 1]])),
    ]
    assert len({digests.digest(weights, mask) for mask in kept}) == 3
