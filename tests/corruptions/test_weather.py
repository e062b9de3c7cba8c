"""Weather against NumPy, SciPy and Matplotlib on the same random draws, for 32 and for 224 pixels."""

import math

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from scipy import ndimage

from lthbench.compute.rng import generator
from lthbench.corruptions import _textures, weather

each_severity = pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
each_size = pytest.mark.parametrize("size", [32, 224])
LUMA = np.array([0.299, 0.587, 0.114])

# -------------------------------------------------------------------------------------------- brightness


@each_severity
@each_size
def test_brightness_raises_the_value_of_matplotlibs_hsv(
    severity, size, photographs, as_batch, apply, published
):
    hsv = rgb_to_hsv(photographs(size) / 255.0)
    hsv[..., 2] = (hsv[..., 2] + published("brightness", size, severity)).clip(0, 1)
    done = apply("brightness", as_batch(photographs(size)), severity)
    np.testing.assert_allclose(done, hsv_to_rgb(hsv), atol=1e-6)


def test_brightness_makes_black_grey_and_keeps_white(apply):
    np.testing.assert_allclose(apply("brightness", torch.zeros((1, 3, 32, 32)), 5), 0.3, atol=1e-6)
    np.testing.assert_allclose(apply("brightness", torch.ones((1, 3, 32, 32)), 5), 1.0, atol=1e-6)


# -------------------------------------------------------------------------------------------------- snow


def snowed_one(picture, noise, degrees, c):
    """The published snow in NumPy: zoom by SciPy, bytes, a smear tap by tap, the layer and itself turned."""
    size = len(picture)
    layer = c[0] + c[1] * noise
    kept = math.ceil(size / c[2])
    top = (size - kept) // 2
    layer = ndimage.zoom(layer[top : top + kept, top : top + kept], c[2], order=1)
    trim = (len(layer) - size) // 2
    layer = layer[trim : trim + size, trim : trim + size].copy()
    layer[layer < c[3]] = 0
    layer = np.floor(layer.clip(0, 1) * 255 + 1e-3)
    taps = np.exp(-(np.arange(2 * c[4] + 1) ** 2) / (2 * c[5] ** 2))
    angle = math.radians(degrees)
    total = np.zeros_like(layer)
    for i, tap in enumerate(taps / taps.sum()):
        rows = np.clip(np.arange(size) + math.ceil(i * math.sin(angle) - 0.5), 0, size - 1)
        columns = np.clip(np.arange(size) + math.ceil(i * math.cos(angle) - 0.5), 0, size - 1)
        total += tap * layer[np.ix_(rows, columns)]
    layer = np.floor(np.round(total * 257) / 257)[..., None] / 255
    white = np.maximum(picture, (picture @ LUMA)[..., None] * 1.5 + 0.5)
    return (c[6] * picture + (1 - c[6]) * white + layer + np.rot90(layer, 2)).clip(0, 1)


@each_severity
@each_size
def test_snow_is_the_published_one_on_the_same_draws(severity, size, photographs, as_batch, apply, published):
    draw = generator(6)
    noise = torch.randn((2, 1, size, size), generator=draw).double().numpy()[:, 0]
    angles = 90 * torch.rand(2, generator=draw, dtype=torch.float64).numpy() - 135
    done = apply("snow", as_batch(photographs(size)), severity, seed=6)
    c = published("snow", size, severity)
    for picture, field, angle, found in zip(photographs(size) / 255.0, noise, angles, done, strict=True):
        off = np.abs(found - snowed_one(picture, field, angle, c))
        assert (off > 1e-4).mean() < 5e-3, "in float32 a value may be no flake, or cut to the next level"


@pytest.mark.parametrize(("degrees", "rows"), [(-90.0, True), (-180.0, False)])
def test_flakes_fall_along_the_angle(degrees, rows):
    """No flake but one, in a black image: it is drawn out up, or to the left, and so is its turned copy."""
    noise = torch.full((1, 1, 9, 9), -9.0)
    noise[0, 0, 2, 2] = 9.0
    done = weather.snowed(torch.zeros((1, 1, 9, 9)), noise, torch.tensor([degrees]), (0, 1, 1, 0.5, 4, 2, 1))
    lit = done[0, 0] > 0
    assert lit.any(1 if rows else 0).sum() >= 5
    assert lit.any(0 if rows else 1).sum() == 2


# --------------------------------------------------------------------------------------------------- fog


def plasma_one(draws, decay):
    """The diamond-square algorithm point by point, as Fournier et al. 1982 and the published code have it."""
    size = len(draws)
    heights = np.zeros((size, size))
    step, wobble = size, 100.0
    while step >= 2:
        half = step // 2
        for y in range(half, size, step):
            for x in range(half, size, step):
                corners = [
                    heights[(y + dy) % size, (x + dx) % size] for dy in (-half, half) for dx in (-half, half)
                ]
                heights[y, x] = sum(corners) / 4 + wobble**2 * draws[y, x]
        for y in range(0, size, half):
            for x in range(half if y % step == 0 else 0, size, step):
                sides = [
                    heights[(y + dy) % size, (x + dx) % size]
                    for dy, dx in ((half, 0), (-half, 0), (0, half), (0, -half))
                ]
                heights[y, x] = sum(sides) / 4 + wobble**2 * draws[y, x]
        step, wobble = half, wobble / decay
    heights -= heights.min()
    return heights / heights.max()


@pytest.mark.parametrize("size", [2, 8, 32, 64])
@pytest.mark.parametrize("decay", [1.5, 3.0])
def test_plasma_is_diamonds_and_squares(size, decay):
    draws = 2 * torch.rand((3, size, size), generator=generator(size), dtype=torch.float64) - 1
    for one, found in zip(draws.numpy(), _textures.plasma(draws, decay).numpy(), strict=True):
        np.testing.assert_allclose(found, plasma_one(one, decay), atol=1e-12)


@each_severity
@each_size
def test_fog_adds_plasma_and_keeps_the_brightest(severity, size, photographs, as_batch, apply, published):
    thickness, decay = published("fog", size, severity)
    whole = 1 << (size - 1).bit_length()
    draws = 2 * torch.rand((2, whole, whole), generator=generator(3), dtype=torch.float64) - 1
    heights = _textures.plasma(draws, decay).numpy()[:, :size, :size, None]
    wide = photographs(size) / 255.0
    brightest = wide.max((1, 2, 3), keepdims=True)
    expected = ((wide + thickness * heights) * brightest / (brightest + thickness)).clip(0, 1)
    done = apply("fog", as_batch(photographs(size)), severity, seed=3)
    np.testing.assert_allclose(done, expected, atol=1e-6)


def test_plasma_spans_all_heights_and_is_rougher_where_it_decays_less():
    draws = 2 * torch.rand((20, 64, 64), generator=generator(1), dtype=torch.float64) - 1
    rough, smooth = (_textures.plasma(draws, d) for d in (1.4, 3.0))
    for maps in (rough, smooth):
        assert maps.amin((1, 2)).abs().max() == 0
        assert (maps.amax((1, 2)) == 1).all()
    steps = [maps.diff(dim=1).abs().mean() for maps in (rough, smooth)]
    assert steps[0] > 2 * steps[1]


# ------------------------------------------------------------------------------------------------- frost


@each_severity
@each_size
def test_frost_mixes_the_image_with_crystals_in_the_published_shares(
    severity, size, photographs, as_batch, apply, published
):
    own, added = published("frost_procedural", size, severity)
    frost = np.moveaxis(_textures.crystals(2, size, generator(8)).numpy(), 1, -1)
    expected = (own * photographs(size) / 255.0 + added * frost).clip(0, 1)
    done = apply("frost_procedural", as_batch(photographs(size)), severity, seed=8)
    np.testing.assert_allclose(done, expected, atol=1e-6)


@pytest.mark.parametrize("size", [8, 32, 64, 224])
def test_crystals_are_as_bright_and_as_uneven_as_the_photographs_were_measured_to_be(size):
    frost = _textures.crystals(200, size, generator("frost"))
    assert 0 <= frost.min() <= frost.max() <= 1
    np.testing.assert_allclose(frost.mean((0, 2, 3)), _textures.FROST_MEAN, atol=0.05)
    np.testing.assert_allclose(frost.mean((2, 3)).std(0), _textures.FROST_BETWEEN, atol=0.03)
    np.testing.assert_allclose(frost.std((2, 3)).mean(), _textures.FROST_WITHIN, atol=0.01)


def test_crystals_have_ridges():
    """What is folded at zero has a sharp top: the levels lean to the dark side, with a long bright tail."""
    frost = _textures.crystals(50, 64, generator("ridges"))[:, 0].double()
    centred = frost - frost.mean((1, 2), keepdim=True)
    skew = (centred**3).mean((1, 2)) / centred.square().mean((1, 2)) ** 1.5
    assert skew.median() > 0.5
