"""Attacks: inside the box, stronger with more steps, the same for the same seed."""

import pytest
import torch
from torch import nn

from lthbench import registry
from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.errors import StepFailed
from lthbench.inference import attacks, image_sets
from lthbench.inference.batches import with_gradients
from lthbench.kinds import Architecture, ImageSet, Metric
from lthbench.training.loop import train

EPSILON = 8 / 255


@pytest.fixture(scope="module")
def trained():
    """A ResNet-8 that was trained a little on real digits, ready to be scored."""
    from lthbench.spec import Network, Recipe

    torch.manual_seed(0)
    model = registry.get(Architecture, "resnet8").build(Network("resnet8", 1, 10, 1, 8, (0.3,), (0.4,)))
    recipe = Recipe(4, 0, 32, 0.1, 0.9, True, 5e-4, "linear", 0.5, (), 1.0, 1, False, "float32")
    train(model, loading.load("digits", "train", ()), recipe, 0)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def shown():
    """Test digits in [0, 1], with labels."""
    images = loading.load("digits", "test", ())
    return torch.from_numpy(images.pixels[:200]).float() / 255.0, torch.from_numpy(images.labels[:200])


def accuracy(model, x, labels):
    return float((model(x).argmax(1) == labels).float().mean())


@pytest.mark.parametrize("name", ["fgsm", "fgsm-random", "pgd"])
def test_an_attack_stays_in_the_box_and_depends_on_its_seed_alone(trained, shown, name):
    x, labels = shown
    before = x.clone()
    first, zero = image_sets.SETS[name].attack(trained, x, labels, EPSILON, generator("a"))
    again, _ = image_sets.SETS[name].attack(trained, x, labels, EPSILON, generator("a"))
    other, _ = image_sets.SETS[name].attack(trained, x, labels, EPSILON, generator("b"))
    assert torch.equal(x, before)
    assert float((first - x).abs().max()) <= EPSILON + 1e-6
    assert 0.0 <= float(first.min()) <= float(first.max()) <= 1.0
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "fgsm")
    assert zero.shape == (200,)
    assert not zero.any()


@pytest.mark.parametrize("name", ["fgsm", "fgsm-random", "pgd"])
def test_few_large_images_at_once_are_attacked_as_all_together(trained, shown, name, monkeypatch):
    """At 224 pixels the gradients of 250 images do not fit; noise is drawn for all of them as before."""
    seen, (x, labels) = [], shown
    handle = trained.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    whole, _ = image_sets.SETS[name].attack(trained, x, labels, EPSILON, generator("a"))
    assert set(seen) == {200}
    monkeypatch.setattr(attacks, "with_gradients", lambda height, width: 64)
    seen.clear()
    apart, zero = image_sets.SETS[name].attack(trained, x, labels, EPSILON, generator("a"))
    handle.remove()
    assert seen[:4] == [64, 64, 64, 8]
    assert len(zero) == 200
    assert float(((apart - whole).abs() > 1e-5).float().mean()) < 1e-3  # a gradient near zero may turn over


def test_images_up_to_64_pixels_are_attacked_by_the_batch():
    assert [with_gradients(side, side) for side in (8, 32, 64, 160, 224, 4096)] == [250, 250, 250, 40, 20, 1]


def test_twenty_steps_are_stronger_than_one(trained, shown):
    x, labels = shown
    epsilon = 32 / 255
    found = {
        n: image_sets.SETS[n].attack(trained, x, labels, epsilon, generator("a"))[0] for n in ("fgsm", "pgd")
    }
    clean = accuracy(trained, x, labels)
    assert accuracy(trained, found["pgd"], labels) <= accuracy(trained, found["fgsm"], labels) < clean


def test_pgd_against_a_linear_network_reaches_the_far_corner(shown):
    """The loss grows along one direction, so every value ends epsilon away from the clean one, or clipped."""
    x, labels = shown[0], shown[1] % 2
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 2, bias=False))
    with torch.no_grad():
        model[1].weight[0] = torch.where(torch.arange(64) % 3 == 0, 1.0, -1.0)
        model[1].weight[1] = -model[1].weight[0]
    attacked, _ = attacks.pgd(model, x, labels, EPSILON, generator("a"))
    away = torch.sign(model[1].weight[1 - labels] - model[1].weight[labels]).reshape(x.shape)
    assert torch.allclose(attacked, (x + EPSILON * away).clamp(0, 1), atol=1e-6)


def test_a_network_without_a_gradient_is_counted(shown):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with torch.no_grad():
        model[1].weight.zero_()
    attacked, zero = attacks.fgsm(model, shown[0], shown[1], EPSILON, generator("a"))
    assert zero.all()
    assert torch.equal(attacked, shown[0])


def test_autoattack_that_is_not_installed_says_how_to_get_it(trained, shown, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyautoattack", None)
    with pytest.raises(StepFailed, match=r"pip install 'lthbench\[robust\]'"):
        attacks.autoattack(trained, shown[0], shown[1], EPSILON, generator("a"))


def linear(classes):
    """A network of one layer, and digits with the labels that it gives them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes)).eval().requires_grad_(False)
    x = torch.rand(6, 1, 8, 8)
    return model, x, model(x).argmax(1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("classes", [4, 7, 12])
def test_autoattack_aims_at_all_wrong_classes_where_they_are_few(classes, monkeypatch):
    package = pytest.importorskip("pyautoattack")
    model, x, labels = linear(classes)
    aimed = []
    run = package.AutoAttack.run_standard_evaluation

    def watched(self, *given, **named):
        aimed.append((self.apgd_targeted.n_target_classes, self.fab.n_target_classes))
        self.apgd.n_iter = self.apgd_targeted.n_iter = self.fab.n_iter = self.square.n_queries = 2
        return run(self, *given, **named)

    monkeypatch.setattr(package.AutoAttack, "run_standard_evaluation", watched)
    attacked, _ = attacks.autoattack(model, x, labels, 1 / 255, generator("a"))
    assert float((attacked - x).abs().max()) <= 1 / 255 + 1e-6
    assert aimed == [(min(9, classes - 1),) * 2]


def test_autoattack_refuses_too_few_classes_and_names_itself_where_it_fails(monkeypatch):
    """Its package is pretended: what it raises fails the metric, not the run."""
    import sys
    from types import ModuleType

    def broken(*given, **named):
        raise IndexError("index -10 is out of bounds")

    def attack(classes):
        model, x, labels = linear(classes)
        attacks.autoattack(model, x, labels, 1 / 255, generator("a"))

    package = ModuleType("pyautoattack")
    monkeypatch.setattr(package, "AutoAttack", broken, raising=False)
    monkeypatch.setitem(sys.modules, "pyautoattack", package)
    with pytest.raises(StepFailed, match="at least 4 classes; this one has 3"):
        attack(3)
    with pytest.raises(StepFailed, match=r"AutoAttack failed: IndexError \(index -10"):
        attack(4)


def test_an_image_set_that_fails_is_named(shown):
    def broken(model, images, labels, draw):
        raise ValueError("no such thing")

    attack = attacks.perturbed_by(ImageSet("odd", perturb=broken))
    with pytest.raises(StepFailed, match=r"image set odd failed: ValueError \(no such thing\)"):
        attack(linear(4)[0], shown[0], shown[1], 0.0, generator("a"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: x[:1], r"gives images of shape \[1, .*\] for \["),
        (lambda x: x * torch.nan, "gives images with values that are not finite"),
        (lambda x: (255 * x).to(torch.uint8), r"gives images of uint8; they must be float32 in \[0, 1\]"),
        (lambda x: 255 * x + 1, r"gives values from .* to .*; pixels must be from 0 to 1"),
    ],
)
def test_what_an_image_set_gives_must_be_images(shown, change, said):
    attack = attacks.perturbed_by(ImageSet("odd", perturb=lambda model, x, labels, draw: change(x)))
    with pytest.raises(StepFailed, match=f"the image set odd {said}"):
        attack(linear(4)[0], shown[0], shown[1], 0.0, generator("a"))


def test_an_image_set_may_round(shown):
    attack = attacks.perturbed_by(ImageSet("odd", perturb=lambda model, x, labels, draw: 0 * x + 1 + 1e-6))
    assert float(attack(linear(4)[0], shown[0], shown[1], 0.0, generator("a"))[0].max()) > 1.0


def test_an_image_set_may_change_its_labels_in_place(shown):
    """As attacks at a target do: the next network's labels are those of the data set."""

    def aimed(model, images, labels, draw):
        return images + 0 * labels.add_(1).view(-1, 1, 1, 1)

    labels = shown[1].clone()
    attacks.perturbed_by(ImageSet("odd", perturb=aimed))(linear(4)[0], shown[0], labels, 0.0, generator("a"))
    assert torch.equal(labels, shown[1])


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error"),
        torch.OutOfMemoryError("of 8 GiB"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
    ],
)
def test_a_device_that_fails_in_an_image_set_is_no_matter_of_the_set(shown, error):
    def lost(model, images, labels, draw):
        raise error

    attack = attacks.perturbed_by(ImageSet("odd", perturb=lost))
    with pytest.raises(type(error)):
        attack(linear(4)[0], shown[0], shown[1], 0.0, generator("a"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_autoattack_is_at_least_as_strong_as_pgd(trained, shown):
    pytest.importorskip("pyautoattack")
    x, labels = shown[0][:40], shown[1][:40]
    epsilon = 32 / 255
    strong, _ = attacks.autoattack(trained, x, labels, epsilon, generator("a"))
    weak, _ = attacks.pgd(trained, x, labels, epsilon, generator("a"))
    assert float((strong - x).abs().max()) <= epsilon + 1e-5
    assert accuracy(trained, strong, labels) <= accuracy(trained, weak, labels)


def test_expensive_attacks_are_measured_only_when_asked_for():
    assert {m.name for m in registry.every(Metric) if not m.usual} == {
        "pgd",
        "autoattack",
        "mis-dreamsim",
        "mis-layers",
        "composition-all",
    }


def test_a_metric_whose_package_is_missing_is_refused_before_anything_runs(tiny_task, monkeypatch):
    import importlib.util

    from lthbench.errors import BadInput
    from lthbench.planning import request

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda n: None if n == "pyautoattack" else find(n))
    with pytest.raises(BadInput, match=r"metric autoattack needs .* pip install 'lthbench\[robust\]'"):
        request.ask(tiny_task, metrics=["accuracy", "autoattack"])
