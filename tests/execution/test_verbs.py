"""Every step has a verb that does it, and only what is alike is done together."""

import dataclasses
import os
from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lthbench import registry
from lthbench.data import loading
from lthbench.engines import local_worker
from lthbench.errors import DeviceLost, StepFailed
from lthbench.execution import prune, runner, verbs
from lthbench.execution.runner import Runner
from lthbench.execution.workspace import Workspace
from lthbench.kinds import Architecture, Method
from lthbench.planning.disk_use import footprint
from lthbench.planning.estimate import estimate
from lthbench.planning.expression import label
from lthbench.planning.jobs import group
from lthbench.planning.reads import reads
from lthbench.spec import STEPS, Given, Init, Inputs, Predict, Prune, Step, Train, Weights, network_of
from lthbench.store import LocalStore
from lthbench.store.artifacts import MASK


@pytest.mark.parametrize("kind", STEPS)
def test_every_step_has_a_verb_of_its_own(kind):
    assert vars(runner)["do"] is verbs.do
    assert kind in verbs.do.registry


def test_a_step_without_a_verb_is_an_error():
    class Sing(Step):
        """A verb that nobody registered."""

    with pytest.raises(NotImplementedError, match="Sing"):
        verbs.do(Sing(), [], None, verbs.Course())


def test_trainings_and_passes_are_alike_and_nothing_else_is(init, recipe, digits):
    one, other = Train(init, recipe, digits, 0), Train(Init(init.network, 1), recipe, digits, 1)
    longer = Train(init, dataclasses.replace(recipe, epochs=9), digits, 0)
    assert verbs.alike(one, other)
    assert not verbs.alike(one, longer)
    inputs = Inputs(digits, "test", 0, "clean", 1)
    first = Predict(one, inputs)
    assert not verbs.alike(one, first)
    assert not verbs.alike(first, Predict(other, dataclasses.replace(inputs, images=5)))
    assert not verbs.alike(init, Init(init.network, 1))


@dataclass(frozen=True, eq=False)
class Count(Step):
    """A ninth verb: how many parameters a network has."""

    subject: Weights
    fault: str = ""


@verbs.do.register
def _(step: Count, together, space, course):
    del course
    if step.fault == "device":
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
    if step.fault == "room":  # not by the allocator of torch, which has an error of its own
        raise torch.AcceleratorError("CUDA error: out of memory")
    if step.fault == "engine":
        raise RuntimeError("GET was unable to find an engine to execute this computation")
    if step.fault == "all":
        raise ValueError("nothing can be counted")
    for one in together:
        if not one.fault:
            parameters = sum(p.numel() for p in space.network(one.subject).parameters())
            files = {"count.txt": str(parameters).encode()}
            space.store.put(one, files, space.meta(0.0, together=len(together)))
    return {one.key: "this one cannot be counted" for one in together if one.fault}


@dataclass(frozen=True, eq=False)
class Together(Count):
    """One that counts a network only once."""


@verbs.alike.register
def _(step: Together, other: Step) -> bool:
    return isinstance(other, Together) and other.subject == step.subject


@pytest.fixture
def store(tmp_path):
    found = LocalStore(tmp_path)
    found.open()
    return found


def test_a_ninth_verb_is_one_function(init, store):
    step = Count(init)
    assert network_of(step) == init.network
    assert Runner(store, ()).do([init, step]) == {}
    counted = registry.get(Architecture, init.network.architecture).count(init.network)
    assert int(store.read(step, "count.txt")) == counted.parameters
    assert [(e["step"], e["status"]) for e in store.events()] == [("Init", "ok"), ("Count", "ok")]
    assert footprint([step]) > 0
    assert group([init, step])[step.key].needs == {init.key}
    assert estimate([step], [], 1, "cpu").high > 0
    assert label(step, {}) == "count"
    assert list(reads(step)) == []


def test_what_is_alike_is_done_together_and_each_fails_alone(init, store):
    other = Init(init.network, init.seed + 1)
    steps = [Together(init), Together(init, "this one"), Together(other)]
    failed = Runner(store, (), stack=8).do([init, other, *steps])
    assert failed == {steps[1].key: "this one cannot be counted"}
    assert store.meta(steps[0])["together"] == 2
    assert store.meta(steps[2])["together"] == 1


@pytest.mark.parametrize("plugins", [True, False])
def test_what_the_code_of_a_plugin_raises_fails_its_step_alone(init, store, plugins):
    broken = Count(init, "all")
    verbs.runs_plugins.register(Count, lambda step: plugins)
    if plugins:
        assert Runner(store, ()).do([init, broken]) == {broken.key: "ValueError: nothing can be counted"}
    else:
        with pytest.raises(ValueError, match="nothing can be counted"):
            Runner(store, ()).do([init, broken])


BROKEN = """from dataclasses import replace
from torch import nn
from lthbench.architectures.resnet8 import ARCHITECTURE as SHIPPED

class Broken(nn.Sequential):
    def forward(self, x):
        raise IndexError("no such layer")

def build(network):
    if network.classes == 3:
        raise KeyError("three")
    return Broken(SHIPPED.build(network))

ARCHITECTURE = replace(SHIPPED, name="broken", build=build)
"""


def test_an_architecture_of_ones_own_that_raises_fails_its_steps_and_the_run_goes_on(tmp_path, init, store):
    (tmp_path / "broken.py").write_text(BROKEN)
    registry.take(tmp_path / "broken.py")
    version = registry.record_version(Architecture, "broken")
    network = dataclasses.replace(init.network, architecture="broken", version=version)
    drawn, unmade = Init(network, 0), Init(dataclasses.replace(network, classes=3), 0)
    predict = Predict(drawn, Inputs(loading.identify("digits", ()), "test", 64, "clean", 1))
    failed = Runner(store, ()).do([unmade, drawn, predict, init])
    assert failed == {
        unmade.key: "KeyError: 'three'",
        predict.key: "IndexError: no such layer",
    }
    assert store.has(drawn)
    assert store.has(init)


def test_a_device_that_fails_ends_the_run_and_its_worker(init, store, monkeypatch):
    """Whatever is computed in the same process after it fails as well."""
    broken, other = Count(init, "device"), Count(Init(init.network, init.seed + 1))
    verbs.runs_plugins.register(Count, lambda step: True)
    with pytest.raises(DeviceLost, match=r"cpu failed at count .* \(CUDA error: an illegal memory access"):
        Runner(store, ()).do([init, broken, other.subject, other])
    assert not store.has(other)
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(local_worker, "_runner", Runner(store, ()))
    local_worker.work(list(group([broken]).values()), {})
    assert ended == [1]


def test_a_network_made_elsewhere_cannot_be_made_again(init, store):
    step = Given(init.network, "0" * 64)
    space = Runner(store, ()).space
    with pytest.raises(StepFailed, match="score it again"):
        verbs.do(step, [step], space, verbs.Course())


class Dropped(nn.Module):
    """Drops half of what it is given, without being a layer of dropout."""

    def forward(self, x):
        return F.dropout(x, 0.5)


@pytest.mark.parametrize("criterion", ["snip", "grasp"])
@pytest.mark.parametrize("layer", [nn.Dropout(0.5), Dropped()])
def test_masks_of_networks_that_draw_depend_on_the_key_alone(tmp_path, monkeypatch, init, criterion, layer):
    """Whatever was drawn in the process before, the mask of a key is the same."""
    built = Workspace.built

    def with_layer(space, step):
        model = built(space, step)
        model.fc = nn.Sequential(layer, model.get_submodule("fc"))
        return model

    monkeypatch.setattr(Workspace, "built", with_layer)
    step = Prune(init, criterion, registry.version(Method, criterion), 0.1, 0, loading.identify("digits", ()))
    found = []
    for seed in (1, 2):
        store = LocalStore(tmp_path / str(seed))
        store.open()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            assert Runner(store, ()).do([init, step]) == {}
        found.append(MASK.read(store, step))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])


def test_criteria_score_a_network_in_training_mode_without_dropout():
    model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Dropout2d(0.5))
    assert prune._scored(model.eval()) is model
    assert [model.training, *(part.training for part in model)] == [True, True, False, False]


@pytest.mark.parametrize(
    ("fault", "more"), [("room", ""), ("engine", ", as it seems (GET was unable to find")]
)
def test_a_device_without_room_fails_one_step_and_ends_no_run(init, store, fault, more):
    step = Count(init, fault=fault)
    (why,) = Runner(store, ()).do([init, step]).values()
    assert why.startswith(f"the device ran out of memory{more}")
