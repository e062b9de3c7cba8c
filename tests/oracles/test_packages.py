"""Ours against packages that need an environment of their own: see tests/oracles/packages.py."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from lthbench import corruptions, registry
from lthbench.compute.rng import generator
from lthbench.corruptions import official
from lthbench.inference import attacks
from lthbench.kinds import Dataset

HERE = Path(__file__).parent
SPEC = importlib.util.spec_from_file_location("oracle_inputs", HERE / "inputs.py")
inputs = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(inputs)

each_severity = pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])


@pytest.fixture(scope="module")
def kept():
    with np.load(HERE / "packages.npz") as values:
        return dict(values)


def test_fgsm_is_that_of_torchattacks(kept):
    images, labels = inputs.small_images()
    found, zero = attacks.fgsm(inputs.network().eval(), images, labels, 8 / 255, generator("x", 0))
    assert not zero.any()
    np.testing.assert_allclose(found.numpy(), kept["attack/fgsm"], atol=1e-6)
    assert np.abs(found.numpy() - images.numpy()).max() == pytest.approx(8 / 255, abs=1e-6)


def test_pgd_from_the_image_itself_is_that_of_torchattacks(kept, monkeypatch):
    monkeypatch.setattr(attacks, "_random_start", lambda x, epsilon, draw: x)
    images, labels = inputs.small_images()
    found, _ = attacks.pgd(inputs.network().eval(), images, labels, 8 / 255, generator("x", 0))
    np.testing.assert_allclose(found.numpy(), kept["attack/pgd"], atol=1e-6)
    assert (np.abs(found.numpy() - kept["attack/fgsm"]) > 1e-3).any(), "PGD should not be FGSM again"


def corrupted(kind, severity, copies=1):
    """Our kind on the picture, as uint8 ``[copies, 224, 224, 3]``."""
    batch = torch.from_numpy(inputs.picture()).permute(2, 0, 1).float().div(255).expand(copies, -1, -1, -1)
    done = corruptions.get(kind).apply(batch.clone(), severity, generator("corruption", kind, severity))
    return (done.clamp(0, 1) * 255 + 1e-3).to(torch.uint8).permute(0, 2, 3, 1).numpy()


@each_severity
@pytest.mark.parametrize("kind", inputs.FIXED)
def test_kinds_that_draw_nothing_are_those_of_imagecorruptions(kept, kind, severity):
    """To within a level: what should be whole, and is 1e-14 below, is cut down there and not here."""
    theirs = kept[f"corruption/{kind}"][severity - 1].astype(int)
    ours = corrupted(kind, severity)[0, 96:128, 96:128].astype(int)
    assert np.abs(ours - theirs).max() <= 1
    assert np.abs(ours - theirs).mean() < 0.25


@each_severity
@pytest.mark.parametrize("kind", inputs.RANDOM)
def test_kinds_that_draw_move_the_picture_as_far_as_those_of_imagecorruptions(kept, kind, severity):
    moved = corrupted(kind, severity, copies=12).astype(float) - inputs.picture()
    mean, size = kept[f"corruption/{kind}"][severity - 1]
    assert np.abs(moved).mean() == pytest.approx(size, rel=0.06)
    assert moved.mean() == pytest.approx(mean, abs=0.06 * size)


def test_published_arrays_are_handed_out_as_robustbenchs_loader_does(kept, tmp_path):
    inputs.write_cifar_c(tmp_path / "CIFAR-10-C", "fog")
    cifar = registry.get(Dataset, "cifar10")
    for severity in (1, 3, 5):
        found = official.load(cifar, "fog", severity, (tmp_path,))
        digest = hashlib.sha256(
            np.ascontiguousarray(found.pixels).tobytes() + found.labels.tobytes()
        ).digest()
        assert digest == kept[f"loader/severity {severity}"].tobytes(), severity
