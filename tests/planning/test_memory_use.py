"""Memory of steps: activations against what autograd keeps, and what a plan says of it."""

import io
import json
from contextlib import redirect_stdout

import pytest
import torch

from lthbench import registry
from lthbench.cli import main
from lthbench.compute import memory as machine
from lthbench.kinds import Architecture
from lthbench.planning import memory_use, plan, request
from lthbench.spec import Network, Prune, Rewind, Train

SIZES = {
    **{"resnet8": (1, 8), "resnet20s": (3, 32), "resnet18": (3, 32), "wrn28-10": (3, 32), "vgg11": (3, 32)},
    **{"resnet18-img": (3, 160), "resnet18-img16": (3, 160), "resnet50": (3, 224), "googlenet": (3, 224)},
    **{"vit-tiny": (3, 32), "deit-tiny": (3, 224)},
}


def test_every_architecture_is_held_to_autograd():
    assert {n for n in registry.names(Architecture) if ":" not in n} == set(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_activations_are_what_autograd_keeps_within_15_percent(name):
    """Distinct storages that are saved for the backward pass, but for weights; nothing is computed."""
    channels, size = SIZES[name]
    network = Network(name, 1, 10, channels, size, (0.5,) * channels, (0.5,) * channels)
    architecture = registry.get(Architecture, name)
    with torch.device("meta"):
        model = architecture.build(network).train()
    weights = {p.untyped_storage()._cdata for p in model.parameters()}
    saved: dict[int, torch.UntypedStorage] = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage._cdata not in weights:
            saved[storage._cdata] = storage  # held, so that no other takes its place
        return tensor

    images = torch.zeros(2, channels, size, size, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        assert model(images).requires_grad
    kept = sum(s.nbytes() for s in saved.values()) / 4 / len(images)
    assert architecture.count(network).activations == pytest.approx(kept, rel=0.15)


def test_the_step_that_takes_most_is_told(tiny_task):
    asked = request.ask(tiny_task, ["grasp", "random"], [0.5], seeds=1, metrics=["accuracy"])
    steps = plan.plan(asked, (), data_needed=False).steps
    most, step = memory_use.needed(steps)
    assert isinstance(step, Prune)
    assert step.criterion == "grasp"
    activations = registry.get(Architecture, "resnet8").count(step.given.network).activations
    assert most == pytest.approx(0.6e9 + 3.5 * 4 * 100 * activations)  # ten images of each of ten classes
    train = next(s for s in steps if isinstance(s, Train))
    assert memory_use.memory(train) == pytest.approx(1.8 * 4 * 32 * activations + 12 * 75_002)
    assert memory_use.needed([]) == (0.0, None)


@pytest.mark.parametrize(
    ("here", "workers", "said"),
    [
        (200.0, 2, "memory  about 80.5 GB at most, for finding masks in each worker\n"),
        (100.0, 2, "this machine has 107 GB: use --workers 1\n"),
        (24.0, 1, "this machine has 25.8 GB: it may end for want of memory\n"),
        (0.0, 1, "memory  about 80.5 GB at most, for finding masks\n"),  # not known
    ],
)
def test_a_plan_says_what_a_worker_takes_and_what_fits(monkeypatch, tmp_path, here, workers, said):
    monkeypatch.setattr(machine, "memory", lambda: (here, here))
    words = ["plan", "--task", "img-r50", "--methods", "grasp", "--sparsity", "0.5", "--seeds", "1"]
    words += ["--store", str(tmp_path / "store"), "--workers", str(workers), "--device", "cpu"]

    def told(*more):
        out = io.StringIO()
        with redirect_stdout(out):
            main([*words, *more])
        return out.getvalue()

    assert said in told().replace("\n        ", " ")
    account = json.loads(told("--json"))
    assert account["memory"] == pytest.approx(80.5e9, rel=0.01)
    assert account["memory_step"] == "prune"


def test_little_for_each_of_many_workers_is_told_where_it_does_not_fit(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "memory", lambda: (1.0, 1.0))
    words = ["plan", "--store", str(tmp_path / "store"), "--device", "cpu", "--workers"]
    for workers, said in ((1, False), (4, True)):
        out = io.StringIO()
        with redirect_stdout(out):
            main([*words, str(workers)])
        assert ("this machine has 1.07 GB: use --workers 1" in " ".join(out.getvalue().split())) == said


def test_a_rewind_alone_takes_what_its_training_does(tiny_task):
    asked = request.ask(tiny_task, ["omp"], [0.5], seeds=1, metrics=["accuracy"])
    (rewind,) = (s for s in plan.plan(asked, (), data_needed=False).steps if isinstance(s, Rewind))
    assert memory_use.memory(rewind) == memory_use.memory(rewind.train) > 0
