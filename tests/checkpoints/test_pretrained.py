"""Networks that begin with pretrained weights: as the dense parent, or under a new last layer."""

import dataclasses
import json

import pytest
import torch

from lthbench import api, registry, spec
from lthbench.checkpoints import pretrained
from lthbench.cli import main
from lthbench.errors import BadInput
from lthbench.kinds import Architecture
from lthbench.networks.normalize import Normalize
from lthbench.planning import plan, request
from lthbench.planning import task as tasks
from lthbench.report.summary import summarise
from lthbench.report.yardstick import yardstick_sentence
from lthbench.store import LocalStore
from lthbench.store.artifacts import WEIGHTS


def weights(path, classes=10, seed=3):
    """A ResNet-8 for the digits in a file, drawn from a seed: its state dict."""
    network = dataclasses.replace(plan.network(tasks.load("digits-r8")), classes=classes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = registry.get(Architecture, "resnet8").build(network)
    state = {n: t for n, t in model.state_dict().items() if not n.startswith("normalize.")}
    torch.save(state, path)
    return state


def asked(tiny_task, path, methods=("finetune", "omp:untrained", "snip"), seeds=2):
    return request.ask(
        tiny_task, methods, rounds=[2], seeds=seeds, metrics=["accuracy"], pretrained=str(path)
    )


def test_weights_for_the_tasks_classes_are_the_dense_parent(tmp_path, tiny_task):
    state = weights(tmp_path / "whole.pt")
    begun, found = pretrained.begun(asked(tiny_task, tmp_path / "whole.pt"))
    assert begun.start.is_dense
    pixels = "pixels normalised by mean 0.3057 and standard deviation 0.3764, as the task does"
    said = f"weights of {tmp_path / 'whole.pt'}: the dense parent; it is not trained; {pixels}"
    assert begun.notes == (said,)
    made = plan.plan(begun, ())
    dense = {e.network.key for e in made.entries if e.method == "dense"}
    assert len(dense) == 1  # of all seeds the same
    assert all(isinstance(e.dense, spec.Given) for e in made.entries)
    store = LocalStore(tmp_path / "store")
    store.open()
    found.publish(store)
    kept = WEIGHTS.read(store, made.entries[0].dense)
    assert all(torch.equal(kept[n], t) for n, t in state.items())
    pruned = next(e.network for e in made.entries if e.method == "omp:untrained")
    assert pruned.start == pruned.mask.given == made.entries[0].dense


def test_they_are_read_with_torchs_defaults_whatever_calls(tmp_path, tiny_task):
    weights(tmp_path / "whole.pt")
    request, usual = pretrained.begun(asked(tiny_task, tmp_path / "whole.pt"))
    torch.set_default_dtype(torch.bfloat16)
    try:
        with torch.device("meta"):
            begun, found = pretrained.begun(asked(tiny_task, tmp_path / "whole.pt"))
    finally:
        torch.set_default_dtype(torch.float32)
    assert begun == request
    for name, tensor in usual.networks[0].weights.items():
        assert torch.equal(found.networks[0].weights[name], tensor)


def test_a_run_prunes_and_trains_on_from_them(tmp_path, tiny_task):
    state = weights(tmp_path / "whole.pt")
    outcome = api.execute(
        asked(tiny_task, tmp_path / "whole.pt", seeds=1), api.RunOptions(store=tmp_path / "store")
    )
    assert not outcome.failures
    assert set(outcome.table["method"]) == {"dense", "finetune", "omp:untrained", "snip"}
    said = yardstick_sentence(summarise(outcome.table, outcome.facts))
    assert said.startswith("Not calibrated: these networks begin with pretrained weights; each network is")
    record = outcome.facts.requests[0]
    assert record.command().endswith(f" --pretrained {tmp_path / 'whole.pt'}")
    again = request.from_json(json.loads(json.dumps(record.to_json())), "run.json")
    (tmp_path / "whole.pt").unlink()  # a plan of the record does without it
    untrained = next(e for e in plan.plan(again, ()).entries if e.method == "omp:untrained").network
    kept = WEIGHTS.read(LocalStore(tmp_path / "store"), untrained)
    held = kept["conv1.weight"] != 0
    assert torch.equal(kept["conv1.weight"][held], state["conv1.weight"][held])
    assert 0 < held.sum() < held.numel()


def test_for_other_classes_a_last_layer_is_drawn_from_each_seed(tmp_path, tiny_task):
    state = weights(tmp_path / "seven.pt", classes=7)
    begun, found = pretrained.begun(asked(tiny_task, tmp_path / "seven.pt"))
    assert sorted(begun.start.digests) == ["0", "1"]
    assert "the last layer, for 7 classes there, is drawn for 10 from each seed" in begun.notes[0]
    first, second = (taken.weights for taken in found.networks)
    for name, tensor in state.items():
        if name.startswith("fc."):
            assert first[name].shape[0] == 10
        else:
            assert torch.equal(first[name], tensor)
            assert torch.equal(second[name], tensor)
    assert not torch.equal(first["fc.weight"], second["fc.weight"])
    made = plan.plan(begun, ())
    dense = next(e.dense for e in made.entries if e.seed == 1)
    assert isinstance(dense, spec.Train)
    assert dense.start == begun.start.given(plan.network(begun.task), 1)
    assert all(e.network == dense or e.method != "dense" for e in made.entries if e.seed == 1)


@pytest.mark.parametrize("classes", [10, 7])
def test_weights_that_expect_pixels_normalised_otherwise_get_them_so(tmp_path, tiny_task, classes):
    weights(tmp_path / "own.pt", classes)
    wanted = asked(tiny_task, tmp_path / "own.pt").normalized(((0.5,), (0.25,)))
    begun, found = pretrained.begun(wanted)
    assert begun.notes[0].endswith("by mean 0.5 and standard deviation 0.25, not as the task does")
    assert (begun.start.mean, begun.start.std) == ((0.5,), (0.25,))
    assert {t.step.network.mean for t in found.networks} == {(0.5,)}
    record = begun.record()
    assert record.command().endswith("own.pt --mean 0.5 --std 0.25")
    again = request.from_json(json.loads(json.dumps(record.to_json())), "run.json")
    assert again.normalization == begun.normalization
    assert pretrained.begun(again)[0].start == begun.start


def test_a_normalisation_needs_weights_and_a_number_for_each_channel(tmp_path, tiny_task, capsys):
    with pytest.raises(BadInput, match="name these, too"):
        request.ask(tiny_task, ["omp"]).normalized(((0.5,), (0.5,)))
    weights(tmp_path / "own.pt")
    with pytest.raises(BadInput, match="1 numbers are needed, got 3"):
        pretrained.begun(asked(tiny_task, tmp_path / "own.pt").normalized(((0.5,) * 3, (0.5,) * 3)))
    with pytest.raises(SystemExit, match="2"):
        main(["plan", "--task", tiny_task, "--pretrained", str(tmp_path / "own.pt"), "--mean", "0.5"])
    assert "give both --mean and --std" in capsys.readouterr().err


def test_a_file_of_another_network_is_refused_with_an_account(tmp_path, tiny_task):
    torch.save({"conv1.weight": torch.zeros(3, 3)}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"other\.pt"):
        pretrained.begun(asked(tiny_task, tmp_path / "other.pt"))


def test_a_network_that_tells_no_classes_at_all_is_refused(tmp_path, tiny_task):
    state = weights(tmp_path / "whole.pt")
    torch.save({n: t[:0] if n.startswith("fc.") else t for n, t in state.items()}, tmp_path / "other.pt")
    with pytest.raises(BadInput, match=r"other\.pt"):
        pretrained.begun(asked(tiny_task, tmp_path / "other.pt"))


def test_a_record_that_does_not_say_what_was_read_is_refused(tmp_path, tiny_task):
    weights(tmp_path / "seven.pt", classes=7)
    begun, _ = pretrained.begun(asked(tiny_task, tmp_path / "seven.pt"))
    record = json.loads(json.dumps(begun.to_json()))
    del record["start"]["digests"]["1"]
    with pytest.raises(
        BadInput, match=r"run\.json: request: start: does not say what was read of .*seven\.pt"
    ):
        request.from_json(record, "run.json")


def test_no_calibration_of_the_tasks_own_recipe_fits(tmp_path):
    from lthbench.results.run_facts import dense_keys

    weights(tmp_path / "whole.pt")
    drawn = request.ask("digits-r8", ["omp"], metrics=["accuracy"])
    begun, _ = pretrained.begun(
        request.ask("digits-r8", ["omp"], metrics=["accuracy"], pretrained=str(tmp_path / "whole.pt"))
    )
    assert dense_keys(plan.plan(begun, ())) != dense_keys(plan.plan(drawn, ()))


def test_weights_of_torchvision_are_named_as_it_names_them(tmp_path, monkeypatch):
    from torchvision.models import ResNet18_Weights, resnet18

    from lthbench.checkpoints import files

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    model = resnet18()
    torch.save(model.state_dict(), folder / ResNet18_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1])
    for fetch in (True, False):
        found = files.read("ResNet18_Weights.IMAGENET1K_V1", fetch)
        assert torch.equal(found.tensors["fc.weight"], model.state_dict()["fc.weight"])
    with pytest.raises(BadInput, match=r"torchvision has no weights ResNet18_Weights\.IMAGENET9K"):
        files.read("ResNet18_Weights.IMAGENET9K")


def test_to_collect_what_is_stored_no_weights_are_fetched(tmp_path, monkeypatch, capsys):
    def fetched(*_):
        raise AssertionError

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetched)
    words = ["run", "--task", "img-r50", "--pretrained", "ResNet50_Weights.IMAGENET1K_V1", "--collect"]
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--store", str(tmp_path / "store"), "--report", str(tmp_path / "report")])
    said = capsys.readouterr().err
    assert "ResNet50_Weights.IMAGENET1K_V1: is not on this machine yet" in said
    assert "without --collect" in said
    assert list(tmp_path.iterdir()) == []


def test_a_plan_says_that_it_fetches_the_weights_that_it_reads(tmp_path, monkeypatch, tiny_task, capsys):
    asked = []

    def fetched(address, path, prefix):
        asked.append(address)
        raise OSError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetched)
    with pytest.raises(SystemExit, match="2"):
        main(["plan", "--task", tiny_task, "--pretrained", "ResNet18_Weights.IMAGENET1K_V1"])
    assert [address.rpartition("/")[2] for address in asked] == ["resnet18-f37072fd.pth"]
    capsys.readouterr()
    main(["plan", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert "of torchvision that --pretrained names are fetched if they are not here" in said


def test_pixels_are_normalised_as_torchvisions_googlenet_expects(tmp_path, monkeypatch):
    """torchvision's takes pixels normalised as of ImageNet, and turns them into those of mean and std 0.5."""
    from torchvision import models

    from lthbench.checkpoints import files, googlenet, taking

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        theirs = models.googlenet(
            num_classes=1000, aux_logits=False, init_weights=False, transform_input=True
        )
        images = torch.rand(4, 3, 64, 64)
    for module in theirs.eval().modules():  # statistics with which the logits depend on the images
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.train()
    with torch.no_grad():
        theirs(images)
    path = folder / models.GoogLeNet_Weights.IMAGENET1K_V1.url.rsplit("/", 1)[1]
    torch.save(theirs.state_dict(), path)
    asked = request.ask("img-googlenet", ["finetune"], pretrained="GoogLeNet_Weights.IMAGENET1K_V1", seeds=1)
    begun, found = pretrained.begun(asked)
    told = "pixels normalised by mean 0.5 and standard deviation 0.5, not as the task does"
    assert begun.notes == (
        f"weights of GoogLeNet_Weights.IMAGENET1K_V1: the dense parent; it is not trained; {told}",
    )
    network = plan.network(asked.task)
    given = begun.start.given(network, 0).network
    assert (given.mean, given.std) == ((0.5,) * 3, (0.5,) * 3)
    model = registry.get(Architecture, "googlenet").build(given)
    model.load_state_dict(found.networks[0].weights)
    usual = [torch.tensor(v).reshape(1, -1, 1, 1) for v in (network.mean, network.std)]
    with torch.no_grad():
        wanted = theirs.eval()((images - usual[0]) / usual[1])
        off = (model.eval()(images) - wanted).abs().max()
    assert off < 1e-4 * wanted.abs().max()
    # A module says it itself; torchvision's file is known by its hash, wherever it lies.
    assert taking.take(network, files.of(theirs, "model")).step.network == given
    wrapped = torch.nn.Sequential(Normalize(network.mean, network.std), theirs)
    assert taking.take(network, files.of(wrapped, "model")).step.network == given
    wrapped[0] = Normalize((0.4,) * 3, (0.2,) * 3)
    with pytest.raises(BadInput, match=r"then again \(transform_input\)\. Say what both come to: --mean"):
        taking.take(network, files.of(wrapped, "model"))
    theirs.transform_input = False
    assert taking.take(network, files.of(theirs, "model")).step.network == network
    monkeypatch.setattr(googlenet, "HASH", files.read(path).sha256[:8])
    assert taking.take(network, files.read(path)).step.network == given
    read = taking.take(network, files.read("GoogLeNet_Weights.IMAGENET1K_V1"))
    assert told in read.text()


def test_a_googlenet_that_says_nothing_of_its_pixels_is_asked_for_them(tmp_path):
    """A state dict pruned from torchvision's weights looks like one that was trained on the task's pixels."""
    from lthbench.checkpoints import files, taking

    asked = request.ask("img-googlenet", ["finetune"], seeds=1)
    network = plan.network(asked.task)
    state = registry.get(Architecture, "googlenet").build(network).state_dict()
    assert taking.take(network, files.of(state, "model")).step.network == network  # it holds mean and std
    state = {name: tensor for name, tensor in state.items() if not name.startswith("normalize")}
    with pytest.raises(BadInput, match="does not say how its pixels are normalised") as error:
        taking.take(network, files.of(state, "model"))
    assert "--mean 0.5,0.5,0.5 --std 0.5,0.5,0.5: torchvision's" in str(error.value)
    assert "--mean 0.485,0.456,0.406 --std 0.229,0.224,0.225: trained" in str(error.value)
    halves = ((0.5,) * 3, (0.5,) * 3)
    step = taking.take(network, files.of(state, "model"), normalization=halves).step
    assert (step.network.mean, step.network.std) == halves
    torch.save({**state, "fc.weight": torch.zeros(7, 1024), "fc.bias": torch.zeros(7)}, tmp_path / "seven.pt")
    asked = request.ask("img-googlenet", ["finetune"], pretrained=str(tmp_path / "seven.pt"), seeds=1)
    with pytest.raises(BadInput, match="does not say how its pixels are normalised"):
        pretrained.begun(asked)
