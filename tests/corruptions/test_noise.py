"""Noise against its moments, at the published strengths for 32 and for 224 pixels."""

import numpy as np
import pytest
import torch

each_severity = pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
each_size = pytest.mark.parametrize("size", [32, 224])


def even(value, size):
    """Even images of one value: about as many pixels for each size."""
    return torch.full((32 if size == 32 else 1, 3, size, size), value)


@each_severity
@each_size
def test_gaussian_noise_has_the_published_deviation_and_no_bias(severity, size, apply, published):
    noise = apply("gaussian_noise", even(0.5, size), severity) - 0.5
    c = published("gaussian_noise", size, severity)
    assert noise.std() == pytest.approx(c, rel=0.02)
    assert abs(noise.mean()) < 4 * c / noise.size**0.5


@each_severity
@each_size
@pytest.mark.parametrize("value", [0.2, 0.8])
def test_shot_noise_counts_photons(severity, size, value, apply, published):
    """Poisson counts at c for white: whole multiples of 1 / c, with mean v and variance v / c."""
    c = published("shot_noise", size, severity)
    done = apply("shot_noise", even(value, size), severity)
    np.testing.assert_allclose(done * c, np.round(done * c), atol=1e-3)
    assert done.mean() == pytest.approx(value, rel=0.02)
    assert done.var() == pytest.approx(value / c, rel=0.05)


@each_severity
@each_size
def test_impulse_noise_sets_the_published_share_half_to_black_half_to_white(severity, size, apply, published):
    done = apply("impulse_noise", even(0.5, size), severity)
    c = published("impulse_noise", size, severity)
    tolerance = 4 * (c / 2 / done.size) ** 0.5
    assert (done == 0).mean() == pytest.approx(c / 2, abs=tolerance)
    assert (done == 1).mean() == pytest.approx(c / 2, abs=tolerance)
    assert set(np.unique(done)) == {0.0, 0.5, 1.0}


def test_impulse_noise_strikes_each_channel_by_itself(apply):
    struck = (apply("impulse_noise", even(0.5, 32), 5) != 0.5).sum(-1)
    assert (struck == 1).sum() > 10 * (struck == 3).sum()


@each_severity
@each_size
@pytest.mark.parametrize("value", [0.25, 0.5])
def test_speckle_noise_grows_with_the_value(severity, size, value, apply, published):
    noise = apply("speckle_noise", even(value, size), severity) - value
    assert noise.std() == pytest.approx(published("speckle_noise", size, severity) * value, rel=0.02)


@pytest.mark.parametrize("kind", ["shot_noise", "speckle_noise"])
def test_black_has_no_noise_that_grows_with_the_value(kind, apply):
    assert not apply(kind, even(0.0, 32), 5).any()
