"""The exact trace of the Hessian against Hutchinson's estimate with PyHessian's number of vectors."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from lthbench.data import loading
from lthbench.functional import curvature
from lthbench.kinds import Architecture
from lthbench.registry import get
from lthbench.spec import Network

PROBES = 100

pytestmark = [pytest.mark.slow, pytest.mark.benchmark(group="Hessian trace, ResNet-20, 32 images")]


@pytest.fixture(scope="module")
def setting():
    """ResNet-20 on 32 photograph patches of 32 pixels, with statistics from them."""
    from sklearn.datasets import load_sample_images

    torch.manual_seed(0)
    photo = torch.from_numpy(load_sample_images().images[0].copy()).permute(2, 0, 1).float() / 255.0
    draw = np.random.default_rng(0)
    corners = [(int(draw.integers(0, 390)), int(draw.integers(0, 600))) for _ in range(32)]
    images = torch.stack([photo[:, top : top + 32, left : left + 32] for top, left in corners])
    network = Network("resnet20s", 1, 10, 3, 32, (0.5,) * 3, (0.25,) * 3)
    model = get(Architecture, "resnet20s").build(network)
    with torch.no_grad():
        model.train()(images)
    return model.eval(), images, torch.from_numpy(loading.order(32, "labels") % 10)


def hutchinson(model, images, labels, probes):
    """Double backward passes on the kept graph of the gradient."""
    parameters = list(model.requires_grad_(True).parameters())
    gradients = torch.autograd.grad(F.cross_entropy(model(images), labels), parameters, create_graph=True)
    draw = torch.Generator().manual_seed(0)
    found = []
    for _ in range(probes):
        v = [torch.randint(0, 2, p.shape, generator=draw).float() * 2 - 1 for p in parameters]
        products = torch.autograd.grad(gradients, parameters, v, retain_graph=True)
        found.append(sum(float((a * b).sum()) for a, b in zip(v, products, strict=True)))
    return np.mean(found), np.std(found, ddof=1) / np.sqrt(probes)


def test_exact(benchmark, setting):
    model, images, labels = setting
    exact = benchmark.pedantic(
        lambda: curvature.traces(model.requires_grad_(False), images, None).weights.mean(), rounds=2
    )
    estimate, error = hutchinson(model, images, labels, 40)
    assert abs(exact - estimate) < 4 * error


def test_hutchinson_with_a_hundred_vectors(benchmark, setting):
    model, images, labels = setting
    estimate, error = benchmark.pedantic(lambda: hutchinson(model, images, labels, PROBES), rounds=1)
    assert error > 0.01 * estimate  # and is still not exact


@pytest.mark.speed
def test_exact_is_faster_than_a_hundred_vectors(faster, setting):
    model, images, labels = setting
    few, fewer = images[:8], 10

    def exact():
        return curvature.traces(model.requires_grad_(False), few, None)

    faster(lambda: hutchinson(model, few, labels[:8], fewer), exact, 4, share=fewer / PROBES)
