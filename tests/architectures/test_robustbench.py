"""Networks of RobustBench's zoo, of a stand-in for the package; where it is there, of the package itself."""

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from lthbench import registry
from lthbench.architectures import _robustbench
from lthbench.errors import BadInput
from lthbench.kinds import Architecture
from lthbench.spec import Network

#: What the package looks like to us: its zoo, and the imports that PyPI does not fulfil.
FILES = {
    "robustbench/__init__.py": "from .loaders import LISTED",
    "robustbench/loaders.py": (
        "import pkg_resources\n"
        "from autoattack import AutoAttack\n"
        "from autoattack.state import EvaluationState\n"
        "import pathlib\n"
        "LISTED = pathlib.Path(pkg_resources.resource_filename(__name__, 'listed.txt')).read_text()\n"
    ),
    "robustbench/listed.txt": "listed",
    "robustbench/model_zoo/__init__.py": "",
    "robustbench/model_zoo/enums.py": (
        "import enum\n"
        "class BenchmarkDataset(enum.Enum):\n    cifar_10 = 1\n    cifar_100 = 2\n    imagenet = 3\n"
    ),
    "robustbench/model_zoo/models.py": (
        "from torch import nn\n"
        "from .enums import BenchmarkDataset as Sets\n"
        "def small():\n"
        "    return nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU(), nn.Conv2d(4, 6, 3, groups=2),\n"
        "                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 10))\n"
        "def broken():\n    raise RuntimeError('needs an older timm')\n"
        "import torch\nfrom torchvision import models as pt_models\n"
        "def trained():\n    return pt_models.squeezenet1_1(pretrained=True)\n"
        "def fetched():\n"
        "    torch.hub.load_state_dict_from_url('https://example.org/weights.pth', progress=False)\n"
        "def loaded():\n    model = small()\n    model.load_state_dict(small().state_dict())\n"
        "    return model\n"
        "def fixed():\n    model = small()\n    model[0].weight.data.fill_(0.5)\n    return model\n"
        "def computed():\n    model = small()\n"
        "    nn.utils.parametrizations.weight_norm(model[2])\n    return model\n"
        "def shared():\n    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3), *small())\n"
        "    model[1].weight = model[0].weight\n    return model\n"
        "made = {'Small2020': {'model': small}, 'Broken': {'model': broken}, 'Trained': {'model': trained},\n"
        "        'Fetched': {'model': fetched}, 'Loaded': {'model': loaded}, 'Fixed': {'model': fixed},\n"
        "        'Computed': {'model': computed}, 'Shared': {'model': shared}}\n"
        "model_dicts = {Sets.cifar_10: {'Linf': made, 'L2': {}},\n"
        "               Sets.cifar_100: {'Linf': {}}, Sets.imagenet: {'Linf': {}}}\n"
    ),
    "pyautoattack/__init__.py": "class AutoAttack: pass",
    "pyautoattack/state.py": "class EvaluationState: pass",
}
NAME = "robustbench:Small2020"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in for robustbench and pyautoattack, without pkg_resources, forgotten afterwards."""
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    before = {n: m for n, m in sys.modules.items() if n.split(".")[0] in ("robustbench", "pyautoattack")}
    for name in before:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "pkg_resources", raising=False)
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "pkg_resources" else find(n, *a)
    )
    _robustbench._zoo.cache_clear()
    yield
    _robustbench._zoo.cache_clear()
    registry._imported.pop((Architecture, NAME), None)
    for name in [n for n in sys.modules if n.split(".")[0] in ("robustbench", "pyautoattack")]:
        del sys.modules[name]


def network(classes=10):
    return Network(NAME, 1, classes, 3, 32, (0.5,) * 3, (0.5,) * 3)


def test_a_network_of_the_zoo_is_an_architecture(package):
    found = registry.get(Architecture, NAME)
    assert (found.name, found.layer, found.size) == (NAME, "2", 32)
    assert isinstance(found.build(network()), nn.Sequential)
    macs = 15 * 15 * 4 * 27 + 13 * 13 * 6 * 18 + 60
    weights = 4 * 27 + 6 * 18
    assert found.count(network())[:4] == (weights + 4 + 6 + 70, weights, macs, weights)
    assert not {"pkg_resources", "autoattack"} & sys.modules.keys()  # what stood in is gone


def test_what_another_version_of_the_packages_builds_is_another_network(package, monkeypatch):
    versions = {"robustbench": "1.1.1", "timm": "1.0.9", "torchvision": "0.24.0"}
    monkeypatch.setattr(importlib.metadata, "version", lambda name: versions[name])
    found = {registry.record_version(Architecture, NAME)}
    for name in versions:
        versions[name] += ".1"
        found.add(registry.record_version(Architecture, NAME))
    assert len(found) == 4
    assert all(str(version).startswith("1+") for version in found)


def first_weights(build, seed):
    torch.manual_seed(seed)
    model = build()
    return next(m for m in model.modules() if isinstance(m, nn.Conv2d)).weight.detach()


def test_weights_that_torchvision_has_for_a_network_are_left_out(package):
    from torchvision import models

    before, state = models.squeezenet1_1, torch.get_rng_state()
    found = registry.get(Architecture, "robustbench:Trained")
    assert torch.equal(torch.get_rng_state(), state)
    wanted = dataclasses.replace(network(), architecture="robustbench:Trained")
    one, two, again = (first_weights(lambda: found.build(wanted), seed) for seed in (0, 1, 0))
    assert torch.equal(one, again)
    assert not torch.equal(one, two)
    assert models.squeezenet1_1 is before  # asked for weights, it has them again


@pytest.mark.parametrize("name", ["Fetched", "Loaded", "Fixed"])
def test_a_network_that_sets_weights_of_its_own_is_refused(package, name):
    functions = (nn.Module.load_state_dict, torch.hub.load_state_dict_from_url)
    with pytest.raises(BadInput, match=f"{name} cannot be used: its code sets weights of its own"):
        registry.get(Architecture, f"robustbench:{name}")
    assert functions == (nn.Module.load_state_dict, torch.hub.load_state_dict_from_url)


def test_weights_are_refused_in_the_thread_alone_that_builds_a_network():
    layer, before = nn.Linear(2, 2), nn.Module.load_state_dict
    entered = threading.Event()

    def build():
        with _robustbench._without_weights():
            entered.set()

    with ThreadPoolExecutor(2) as pool:
        with _robustbench._without_weights():
            with pytest.raises(_robustbench._Trained):
                layer.load_state_dict(layer.state_dict())
            pool.submit(layer.load_state_dict, layer.state_dict()).result()
            other = pool.submit(build)
            assert not entered.wait(0.1)  # else it would put back what is changed here
        other.result()
    assert nn.Module.load_state_dict is before


def test_a_convolution_that_computes_its_weights_is_refused(package):
    said = "Computed cannot be used: 2.weight is to be pruned, and is no parameter .*weight_norm"
    with pytest.raises(BadInput, match=said):
        registry.get(Architecture, "robustbench:Computed")


def test_weights_that_convolutions_share_are_counted_once(package):
    name = "robustbench:Shared"
    found = registry.get(Architecture, name).count(dataclasses.replace(network(), architecture=name))
    assert found.prunable == 3 * 27 + 4 * 27 + 6 * 18


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["Standard_R50", "Tian2022Deeper_DeiT-S"])
def test_networks_that_robustbench_builds_with_weights_are_drawn(name, monkeypatch):
    if not all(map(importlib.util.find_spec, ("robustbench", "pyautoattack", "timm"))):
        pytest.skip("robustbench is not installed")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: pytest.fail("weights are looked for"))
    wanted = dataclasses.replace(network(1000), architecture=f"robustbench:{name}", size=224)
    found = registry.get(Architecture, wanted.architecture)
    one, two = (first_weights(lambda: found.build(wanted), seed) for seed in (0, 1))
    assert not torch.equal(one, two)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("robustbench:Smal2020", 'no network "Smal2020". Did you mean robustbench:Small2020'),
        ("robustbench:Broken", "robustbench:Broken cannot be built: RuntimeError: needs an older timm"),
    ],
)
def test_what_the_zoo_has_not_is_named(package, name, said):
    with pytest.raises(BadInput) as caught:
        registry.get(Architecture, name)
    assert said in str(caught.value)


def test_other_classes_are_refused(package):
    with pytest.raises(BadInput, match="Small2020 is a network for 10 classes, not 100"):
        registry.get(Architecture, NAME).build(network(100))


def test_without_the_package_it_is_said_how_to_get_it(monkeypatch):
    if importlib.util.find_spec("robustbench") is not None:
        pytest.skip("robustbench is there")
    _robustbench._zoo.cache_clear()
    with pytest.raises(BadInput, match=r"pip install 'lthbench\[robustbench\]'"):
        registry.get(Architecture, NAME)


class Adapted:
    """pyautoattack with the arguments that robustbench 1.1.1 gives its AutoAttack."""

    def __init__(self, model, norm, eps, version, device, log_path=None):
        from pyautoattack import AutoAttack

        del log_path
        self._attack = AutoAttack(model, norm=norm, eps=eps, version=version, device=device)

    def run_standard_evaluation(self, images, labels, bs, state_path=None):
        del state_path
        return self._attack.run_standard_evaluation(images, labels, batch_size=bs)[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_autoattack_is_that_of_robustbenchs_benchmark(monkeypatch):
    if not all(map(importlib.util.find_spec, ("robustbench", "pyautoattack"))):
        pytest.skip("robustbench is not installed")
    from lthbench.compute.rng import generator
    from lthbench.inference import attacks

    with _robustbench._importable():
        benchmark = importlib.import_module("robustbench.eval")
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU(), nn.Flatten(), nn.Linear(784, 10)
    ).eval()
    images = torch.rand(32, 3, 32, 32)
    with torch.no_grad():
        labels = model(images).argmax(1)
    epsilon = 1 / 255
    monkeypatch.setattr(benchmark, "AutoAttack", Adapted)
    monkeypatch.setattr(benchmark, "load_clean_dataset", lambda *given: (images, labels))
    clean, theirs = benchmark.benchmark(model, 32, "cifar10", "Linf", eps=epsilon, batch_size=32)
    ours, _ = attacks.autoattack(model, images, labels, epsilon, generator("x", 0))
    with torch.no_grad():
        held = float((model(ours).argmax(1) == labels).float().mean())
    assert clean == 1.0
    assert 0.0 < theirs < 1.0
    assert held == pytest.approx(theirs, abs=1 / 32)
    assert (ours - images).abs().max() <= epsilon + 1e-6
