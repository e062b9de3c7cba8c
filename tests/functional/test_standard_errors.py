"""Standard errors over images against the spread over other images, leaving images out, and closed forms."""

import numpy as np
import pytest
import torch
from torch import nn

from lthbench import scoring
from lthbench.functional import craft, curvature
from lthbench.functional.directional_curvature import along
from lthbench.functional.unit_activations import dead, dead_without

# ---------------------------------------------------------------------------------------- temperature


def drawn_logits(seed, n=300):
    """Logits three times too large, of images that are not equally hard."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 4)) * rng.choice([0.3, 1.5], (n, 1))
    labels = (logits + rng.gumbel(size=logits.shape)).argmax(1)
    return (3.0 * logits).astype(np.float32), labels


def test_the_error_of_a_temperature_is_its_spread_over_other_images():
    pairs = [drawn_logits(seed) for seed in range(60)]
    found = np.array([scoring.best_temperature(z, y) for z, y in pairs])
    errors = [scoring.temperature_error(z, y, t) for (z, y), t in zip(pairs, found, strict=True)]
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(found.std(ddof=1), rel=0.25)
    inside = np.abs(found - 3.0) < 1.96 * np.array(errors)
    assert 0.87 <= inside.mean() <= 1.0


@pytest.mark.parametrize(("labels", "scale"), [([0, 1], 5.0), ([1, 0], 5.0), ([0, 0], 0.001)])
def test_where_one_way_is_always_better_a_temperature_has_no_error(labels, scale):
    logits = scale * np.eye(2, dtype=np.float32)
    found = scoring.best_temperature(logits, np.array(labels))
    assert np.isnan(scoring.temperature_error(logits, np.array(labels), found))


# ------------------------------------------------------------------------------------------ dead units


def sparse_units(seed, n=40, units=60):
    """Units that react to one image in three down to one in two hundred."""
    rng = np.random.default_rng(seed)
    on = rng.random((n, units)) < np.geomspace(0.3, 0.005, units)
    return (on * rng.random((n, units)))[:, :, None, None].repeat(2, 2).astype(np.float32)


def test_dead_units_without_an_image_are_those_of_the_others():
    made = np.concatenate([sparse_units(0), -sparse_units(1)], 1)
    expected = [dead(np.delete(made, k, 0)).sum() for k in range(len(made))]
    assert dead_without(made).tolist() == expected
    assert len(set(expected)) > 1
    assert dead_without(made[:1]).tolist() == [120]


def test_the_error_of_the_count_of_dead_units_is_no_smaller_than_its_spread():
    counts = np.array([dead(sparse_units(seed)).sum() for seed in range(200)])
    errors = [scoring.jackknife_error(dead_without(sparse_units(seed)).astype(float)) for seed in range(60)]
    ratio = np.sqrt(np.square(errors).mean()) / counts.std(ddof=1)
    assert 1.0 <= ratio < 1.8


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=30)
    without = np.array([np.delete(values, k).mean() for k in range(30)])
    assert scoring.jackknife_error(without) == pytest.approx(scoring.mean_and_error(values)[1])
    assert np.isnan(scoring.jackknife_error(np.ones(1)))


# ------------------------------------------------------------------------------------------ eigenvalue


def softmax_regression(n=60):
    """A linear layer on flat images, and the exact Hessian of the loss of each image."""
    rng = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 3)).requires_grad_(False).eval()
    model[1].weight.copy_(torch.randn(3, 6, generator=rng))
    model[1].bias.zero_()
    images = torch.rand(n, 1, 2, 3, generator=rng) ** 2
    labels = torch.randint(0, 3, (n,), generator=rng)
    p = model(images).double().softmax(1).numpy()
    x = images.flatten(1).double().numpy()
    bends = np.einsum("ni,ij->nij", p, np.eye(3)) - np.einsum("ni,nj->nij", p, p)
    weights = np.einsum("nij,na,nb->niajb", bends, x, x).reshape(n, 18, 18)
    mixed = np.einsum("nij,na->niaj", bends, x).reshape(n, 18, 3)
    whole = np.block([[weights, mixed], [mixed.transpose(0, 2, 1), bends]])
    return model, images, labels, whole


def test_the_error_of_the_top_eigenvalue_is_that_of_leaving_images_out():
    model, images, labels, whole = softmax_regression()
    value, vector = curvature.top_eigenvalue(model, images, labels, None)
    assert value == pytest.approx(np.linalg.eigvalsh(whole.mean(0))[-1], rel=1e-3)
    found = along(model, images, labels, vector).numpy()
    flat = np.concatenate([v.reshape(-1).numpy() for v in vector.values()]).astype(float)
    np.testing.assert_allclose(found, np.einsum("a,nab,b->n", flat, whole, flat), rtol=1e-3, atol=1e-6)
    assert found.mean() == pytest.approx(value, rel=1e-3)
    without = np.array([np.linalg.eigvalsh(np.delete(whole, k, 0).mean(0))[-1] for k in range(len(whole))])
    error = scoring.mean_and_error(found)[1]
    assert error == pytest.approx(scoring.jackknife_error(without), rel=0.1)


def test_pruned_weights_have_no_part_in_the_vector():
    model, images, labels, _ = softmax_regression()
    mask = {"1.weight": torch.rand(3, 6, generator=torch.Generator().manual_seed(1)) < 0.5}
    _, vector = curvature.top_eigenvalue(model, images, labels, mask)
    assert not vector["1.weight"][~mask["1.weight"]].any()
    assert vector["1.weight"][mask["1.weight"]].any()


# ------------------------------------------------------------------------------------------------ CRAFT


def test_halves_take_one_of_two_images_of_a_class():
    found = craft.halves(np.repeat([4, 7, 9], [10, 7, 1]))
    assert (found[:, 0:10:2] ^ found[:, 1:10:2]).all()
    assert (found[:, 10:16:2] ^ found[:, 11:16:2]).all()
    assert len({tuple(half) for half in found}) == craft.HALVES


def test_the_spread_of_a_mean_over_halves_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=(400, 60))
    halves = craft.halves(np.repeat([0, 1, 2], 20))
    variances = (values @ halves.T / halves.sum(1)).var(1, ddof=1)
    assert variances.mean() == pytest.approx(1 / 60, rel=0.1)


def planted_activations(seed, n=80):
    """Units of four crops of each image, of ten concepts that share units; images have few concepts."""
    fixed, rng = np.random.default_rng(99), np.random.default_rng(seed)
    directions = np.eye(10, 16) + 0.4 * fixed.random((10, 16)) * (fixed.random((10, 16)) < 0.4)
    amounts = rng.gamma(0.5, size=(n, 1, 10)) * rng.random((n, 4, 10))
    made = amounts.reshape(-1, 10) @ directions
    return (made * (1 + 0.15 * rng.normal(size=made.shape))).clip(0).astype(np.float32)


@pytest.mark.long
def test_errors_of_factors_are_their_spread_over_other_images():
    def scores(made, iterations=1000):
        ours = craft.factored(made[:, :16], iterations)
        both = (craft.factored(made[:, :units]) for units in (16, 14))
        return ours.lost, craft.redundancy(ours), craft.matched(*both)[0]

    image = np.repeat(np.arange(80), 4)
    spread = np.std([scores(planted_activations(seed)) for seed in range(30)], axis=0, ddof=1)
    errors = []
    for seed in range(30, 34):
        made, halves = planted_activations(seed), craft.halves(np.zeros(80, dtype=np.int64))
        errors.append(np.var([scores(made[half[image]], craft.HASTY) for half in halves], axis=0, ddof=1))
    ratios = np.sqrt(np.mean(errors, 0)) / spread
    assert ((ratios > 0.6) & (ratios < 2.0)).all(), ratios
