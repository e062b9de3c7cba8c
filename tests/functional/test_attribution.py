"""Saliency maps by captum against the definitions, and what is wrong with a network named and counted."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from lthbench.errors import StepFailed
from lthbench.functional import saliency
from lthbench.functional.saliency_maps import unpacked
from lthbench.kinds import Images, Maps


def network(inplace=False, weight=1.0):
    """A small network for images of 12 pixels whose module "1" has a grid of 12 pixels."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace),
        nn.Conv2d(6, 4, 3, stride=2, padding=1),
        nn.ReLU(inplace),
        nn.Flatten(),
        nn.Linear(4 * 36, 5),
    )
    with torch.no_grad():
        model[-1].weight.mul_(weight)
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    draw = np.random.Generator(np.random.PCG64(0))
    return Images(draw.integers(0, 256, (7, 3, 12, 12), dtype=np.uint8), np.arange(7) % 5)


def found(model, images, of="labels", classes=None, layer="1"):
    classes = images.labels if classes is None else classes
    arrays: Any = saliency.explain(model, layer, images, classes)
    return unpacked(arrays, of)


def gradient(model, x, labels):
    x = x.clone().requires_grad_()
    model(x).gather(1, labels[:, None]).sum().backward()
    return x.grad


def test_maps_are_those_of_their_definitions(images):
    model, x = network(), torch.from_numpy(images.pixels).float() / 255
    labels = torch.from_numpy(images.labels)
    maps = found(network(), images)
    slopes = gradient(model, x, labels)
    np.testing.assert_allclose(maps.gradient, slopes.abs().amax(1), atol=1e-6)
    np.testing.assert_allclose(maps.gradient_sum, slopes.abs().sum(1), atol=1e-6)
    points, weights = np.polynomial.legendre.leggauss(50)
    path = sum(
        w / 2 * gradient(model, x * float((p + 1) / 2), labels) for p, w in zip(points, weights, strict=True)
    )
    np.testing.assert_allclose(maps.ig, (x * path).abs().sum(1), atol=1e-5)
    np.testing.assert_allclose(maps.ig_signed, (x * path).sum(1), atol=1e-5)
    hidden = model[:2](x).requires_grad_()
    out = model[2:](hidden).gather(1, labels[:, None]).sum()
    (slope,) = torch.autograd.grad(out, hidden)
    cam = torch.relu((slope.mean((2, 3), keepdim=True) * hidden).sum(1))
    np.testing.assert_allclose(maps.gradcam, cam.detach(), atol=1e-6)
    assert maps.gradcam.shape == (7, 12, 12)


def test_integrated_gradients_add_up_to_the_change_in_the_logit(images):
    maps, model = found(network(), images), network()
    x = torch.from_numpy(images.pixels).float() / 255
    change = (model(x) - model(torch.zeros_like(x))).gather(1, torch.from_numpy(images.labels)[:, None])[:, 0]
    np.testing.assert_allclose(maps.ig_signed.sum((1, 2)), change, rtol=0.02, atol=0.01)
    assert np.median(maps.gaps) < 0.02
    gaps = np.abs(maps.ig_signed.sum((1, 2)) - change.numpy()) / np.abs(change.numpy())
    np.testing.assert_allclose(maps.gaps, gaps, atol=1e-3)


def test_a_network_without_biases_leaves_no_gap(images):
    """Such a network of ReLUs is linear on the way from black to the image."""
    model = network()
    for module in model:
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.bias.zero_()
    assert found(model, images).gaps.max() < 1e-3


def test_maps_for_other_classes_are_made_only_where_these_differ(images):
    classes = images.labels.copy()
    classes[[2, 5]] = (classes[[2, 5]] + 1) % 5
    arrays: Any = saliency.explain(network(), "1", images, classes)
    assert arrays["differ"].tolist() == [2, 5]
    assert len(arrays["reference.ig"]) == 2
    own, other = (unpacked(arrays, of) for of in ("labels", "reference"))
    whole = found(network(), Images(images.pixels, classes))
    for name in Maps._fields:
        np.testing.assert_allclose(getattr(other, name), getattr(whole, name), atol=1e-5)
        same = [0, 1, 3, 4, 6]
        np.testing.assert_array_equal(getattr(other, name)[same], getattr(own, name)[same])
    assert not np.allclose(own.gradient[2], other.gradient[2])
    with pytest.raises(ValueError, match="labels or the reference"):
        unpacked(arrays, "labels of dense")


def test_activations_in_place_change_no_map(images):
    plain, inplace = found(network(), images), found(network(inplace=True), images)
    for ours, theirs in zip(plain, inplace, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_batch_at_a_time_gives_the_same_maps(images, monkeypatch):
    whole = found(network(), images)
    monkeypatch.setattr(saliency, "with_gradients", lambda height, width: 2)
    for ours, theirs in zip(whole, found(network(), images), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    "error",
    [
        torch.AcceleratorError("CUDA error"),
        torch.OutOfMemoryError("full"),
        RuntimeError("GET was unable to find an engine to execute this computation"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_device_that_fails_while_a_map_is_made_is_no_matter_of_its_layer(images, monkeypatch, error):
    def lost(*given, **named):
        raise error

    monkeypatch.setattr("captum.attr.LayerGradCam.attribute", lost)
    x = torch.from_numpy(images.pixels).float() / 255
    with pytest.raises(type(error)):
        saliency.gradcam(network(), "1", x, torch.from_numpy(images.labels))


@pytest.mark.parametrize(("layer", "said"), [("stage9", "no layer 'stage9'"), ("6", "'6' has no grid")])
def test_a_layer_that_cannot_be_mapped_costs_its_own_maps_alone(images, layer, said):
    model = network()
    x = torch.from_numpy(images.pixels).float() / 255
    with pytest.raises(StepFailed, match=said):
        saliency.gradcam(model, layer, x, torch.from_numpy(images.labels))
    good, bad = found(network(), images), found(network(), images, layer=layer)
    assert bad.gradcam.shape == (len(images.labels), 1, 1)
    assert np.isnan(bad.gradcam).all()
    for name in ("gradient", "ig", "gaps"):
        np.testing.assert_array_equal(getattr(bad, name), getattr(good, name))


def test_a_network_that_does_not_react_has_maps_of_zeros(images):
    maps = found(network(weight=0.0), images)
    assert not maps.gradient.any()
    assert not maps.gradcam.any()
    assert np.isfinite(maps.ig).all()


def test_maps_that_are_not_finite_are_nan_all_over_and_the_rest_goes_on(images):
    class Broken(nn.Module):
        """Its root has an infinite slope for images whose first pixel is black."""

        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, x):
            return self.inner(x) * x[:, 0, 0, 0, None].sqrt()

    pixels = images.pixels.copy()
    pixels[:, 0, 0, 0] = 100
    pixels[3, 0, 0, 0] = 0
    maps = found(Broken().eval(), Images(pixels, images.labels), layer="inner.1")
    assert np.isnan(maps.gradient[3]).all()
    rest = [0, 1, 2, 4, 5, 6]
    assert np.isfinite(maps.gradient[rest]).all()
    assert np.isfinite(maps.ig[rest]).all()
