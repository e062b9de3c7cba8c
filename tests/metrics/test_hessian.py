"""Loss geometry as it is scored: over the weights that the mask leaves, of these images and labels."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lthbench import registry
from lthbench.compute.rng import generator
from lthbench.errors import StepFailed
from lthbench.functional import curvature, directional_curvature
from lthbench.kinds import Metric

PRUNED = ("1.weight", "3.weight")


@pytest.fixture
def context():
    """Two layers of which a mask leaves half the weights, and twelve images."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).eval()
    model.requires_grad_(False)
    mask = {name: torch.rand_like(dict(model.named_parameters())[name]) < 0.5 for name in PRUNED}
    for name, kept in mask.items():
        model.get_parameter(name).mul_(kept)
    draw = np.random.default_rng(0)
    shown = SimpleNamespace(
        pixels=draw.integers(0, 256, (12, 1, 2, 3), dtype=np.uint8), labels=draw.integers(0, 3, 12)
    )
    return SimpleNamespace(network=lambda: model, held=lambda: mask, images=lambda name: shown)


def measured(context):
    return {v.score: v.value for v in registry.get(Metric, "hessian").measure(context)}


def exact(context):
    """The Hessian over the surviving parameters, and these, in full, float64."""
    model, shown = context.network(), context.images("geometry")
    named = {name: p.double() for name, p in model.named_parameters()}
    pixels, labels = torch.from_numpy(shown.pixels).double() / 255.0, torch.from_numpy(shown.labels)

    def loss(flat):
        parts = torch.split(flat, [p.numel() for p in named.values()])
        values = {name: part.reshape(named[name].shape) for name, part in zip(named, parts, strict=True)}
        return F.cross_entropy(torch.func.functional_call(model, values, pixels), labels)

    flat = torch.cat([p.reshape(-1) for p in named.values()])
    whole = [context.held().get(name, torch.ones_like(p)).reshape(-1).bool() for name, p in named.items()]
    alive = torch.cat(whole)
    return torch.autograd.functional.hessian(loss, flat)[alive][:, alive], flat[alive]


def test_the_scores_are_those_of_the_hessian_over_the_weights_that_the_mask_leaves(context):
    hessian, weights = exact(context)
    found = measured(context)
    assert len(weights) < 40
    trace = float(hessian.trace())
    assert found["hessian_trace"] == pytest.approx(trace, rel=1e-4)
    assert found["hessian_trace_per_parameter"] == pytest.approx(trace / len(weights), rel=1e-4)
    scaled = float((hessian.diagonal() * weights**2).sum())
    assert found["hessian_trace_scaled"] == pytest.approx(scaled, rel=1e-4)
    assert found["hessian_top"] == pytest.approx(float(torch.linalg.eigvalsh(hessian)[-1]), rel=1e-3)


def test_estimates_are_of_the_mask_and_the_labels(context, monkeypatch):
    """Exact traces need no labels; those of curved networks are estimated by them."""
    seen, plain = [], curvature.traces
    monkeypatch.setattr(curvature, "traces", lambda *of: seen.append(of) or plain(*of))
    measured(context)
    ((model, pixels, mask, labels),) = seen
    shown = context.images("geometry")
    assert (model, mask) == (context.network(), context.held())
    assert torch.equal(labels, torch.from_numpy(shown.labels))
    assert torch.equal(pixels, torch.from_numpy(shown.pixels).float() / 255.0)


def curved(seed, images):
    """The traces of a network with GELU, by score; images and directions are those of a seed."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 16), nn.GELU(), nn.Linear(16, 3)).eval()
    model.requires_grad_(False)
    for layer in (1, 3):
        model[layer].weight.mul_(3.0)
    draw = np.random.default_rng(seed)
    pixels, labels = draw.integers(0, 256, (images, 1, 3, 3), dtype=np.uint8), draw.integers(0, 3, images)
    shown = SimpleNamespace(pixels=pixels, labels=labels)
    context = SimpleNamespace(network=lambda: model, held=lambda: None, images=lambda name: shown)
    return {v.score: v for v in registry.get(Metric, "hessian").measure(context)}


def without_eigenvalue(monkeypatch):
    def fails(*of):
        raise StepFailed("it is not asked for")

    monkeypatch.setattr(curvature, "top_eigenvalue", fails)


@pytest.mark.long
def test_the_error_of_estimated_traces_is_their_spread_over_other_directions_and_images(monkeypatch):
    """The last batch has half as many images as the others."""
    without_eigenvalue(monkeypatch)
    monkeypatch.setattr(directional_curvature, "PROBES", 1)
    found = []
    for seed in range(60):
        monkeypatch.setattr(directional_curvature, "generator", lambda *of, seed=seed: generator(seed, *of))
        found.append(curved(seed, 72))
    for score in (
        "hessian_trace",
        "hessian_trace_per_parameter",
        "hessian_trace_scaled",
        "input_hessian_trace",
    ):
        spread = np.std([values[score].value for values in found], ddof=1)
        errors = [values[score].se for values in found]
        assert np.sqrt(np.square(errors).mean()) == pytest.approx(spread, rel=0.25), score
    for values in found[:5]:
        trace = values["hessian_trace"]
        assert trace.draws.std(ddof=1) == pytest.approx(trace.se, rel=0.2)
        assert trace.draws.mean() == pytest.approx(trace.value, abs=0.3 * trace.se)


def test_an_estimate_from_one_batch_has_no_error(monkeypatch):
    without_eigenvalue(monkeypatch)
    trace, pixels = (curved(0, 16)[score] for score in ("hessian_trace", "input_hessian_trace"))
    assert trace.value > 0.0
    assert math.isnan(trace.se)
    assert trace.draws is None
    assert pixels.se > 0.0
