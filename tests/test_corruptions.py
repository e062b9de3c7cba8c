"""Each corruption against NumPy, SciPy, Matplotlib or Pillow, at the strengths published for CIFAR-C."""

import io
import itertools

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_sample_images

from lthbench import corruptions
from lthbench.corruptions import blur
from lthbench.errors import BadInput
from lthbench.train import generator

SEVERITIES = (1, 2, 3, 4, 5)

#: The strengths in ``make_cifar_c.py`` of Hendrycks & Dietterich 2019, copied by hand.
PUBLISHED = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "speckle_noise": (0.06, 0.10, 0.12, 0.16, 0.20),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1)),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1.0),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": (80, 65, 58, 50, 40),
}
RANDOM = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")

each_severity = pytest.mark.parametrize("severity", SEVERITIES)
each_kind = pytest.mark.parametrize("kind", sorted(corruptions.every()))


@pytest.fixture(scope="module")
def photographs():
    """Scikit-learn's two photographs at 32 pixels, uint8 ``[2, 32, 32, 3]``."""
    small = [Image.fromarray(p).resize((32, 32), Image.Resampling.BOX) for p in load_sample_images().images]
    return np.stack([np.asarray(s) for s in small])


def as_batch(pictures):
    return torch.from_numpy(np.moveaxis(np.asarray(pictures), -1, 1).astype(np.float32) / 255.0)


def apply(kind, batch, severity, seed=0):
    """Corrupted images as float64 ``[N, H, W, C]``."""
    done = corruptions.get(kind).apply(batch.clone(), severity, generator(seed))
    return np.moveaxis(done.numpy().astype(np.float64), 1, -1)


def grey(value, side=64):
    return torch.full((4, 3, side, side), value)


# --------------------------------------------------------------------------------------- all of them


def test_every_shipped_kind_has_published_strengths_to_check():
    assert set(corruptions.every()) == set(PUBLISHED)


def test_an_unknown_kind_is_refused_and_the_nearest_one_named():
    with pytest.raises(BadInput, match="gaussian_noise"):
        corruptions.get("gausian_noise")


@each_kind
@each_severity
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_stay_and_values_are_finite(kind, severity, channels, photographs):
    batch = as_batch(photographs)[:, :channels]
    done = corruptions.get(kind).apply(batch.clone(), severity, generator(1))
    assert done.shape == batch.shape
    assert done.dtype == torch.float32
    assert done.isfinite().all()


@each_kind
@each_severity
def test_images_of_eight_pixels_are_corrupted_too(kind, severity):
    batch = torch.rand((3, 1, 8, 8), generator=generator(2))
    done = corruptions.get(kind).apply(batch.clone(), severity, generator(3))
    assert done.shape == batch.shape
    assert done.isfinite().all()
    assert not torch.equal(done, batch)


@pytest.mark.parametrize("kind", sorted(set(PUBLISHED) - {"gaussian_noise", "speckle_noise", "shot_noise"}))
@each_severity
def test_kinds_without_additive_noise_stay_within_black_and_white(kind, severity, photographs):
    extremes = np.where(photographs > 127, 255, 0).astype(np.uint8)
    done = apply(kind, as_batch(extremes), severity)
    assert -1e-6 <= done.min() <= done.max() <= 1.0 + 1e-6


@each_kind
def test_the_images_given_are_left_as_they_were(kind, photographs):
    batch = as_batch(photographs)
    before = batch.clone()
    corruptions.get(kind).apply(batch, 5, generator(0))
    assert torch.equal(batch, before)


@each_kind
def test_the_same_seed_gives_the_same_images(kind, photographs):
    batch = as_batch(photographs)
    np.testing.assert_array_equal(apply(kind, batch, 3, seed=7), apply(kind, batch, 3, seed=7))


@each_kind
def test_only_noise_depends_on_the_seed(kind, photographs):
    batch = as_batch(photographs)
    differs = bool((apply(kind, batch, 3, seed=7) != apply(kind, batch, 3, seed=8)).any())
    assert differs is (kind in RANDOM)


@each_kind
def test_a_higher_severity_is_further_from_the_image(kind, photographs):
    batch = as_batch(photographs)
    clean = photographs / 255.0
    distances = [np.abs(apply(kind, batch, s).clip(0, 1) - clean).mean() for s in SEVERITIES]
    assert distances[0] > 0
    assert all(a < b for a, b in itertools.pairwise(distances)), distances


# ---------------------------------------------------------------------------------------------- noise


@each_severity
def test_gaussian_noise_has_the_published_deviation_and_no_bias(severity):
    noise = apply("gaussian_noise", grey(0.5), severity) - 0.5
    c = PUBLISHED["gaussian_noise"][severity - 1]
    assert noise.std() == pytest.approx(c, rel=0.02)
    assert abs(noise.mean()) < 4 * c / noise.size**0.5


@each_severity
@pytest.mark.parametrize("value", [0.2, 0.8])
def test_shot_noise_counts_photons(severity, value):
    """Poisson counts at c for white: whole multiples of 1 / c, with mean v and variance v / c."""
    c = PUBLISHED["shot_noise"][severity - 1]
    done = apply("shot_noise", grey(value), severity)
    np.testing.assert_allclose(done * c, np.round(done * c), atol=1e-3)
    assert done.mean() == pytest.approx(value, rel=0.01)
    assert done.var() == pytest.approx(value / c, rel=0.05)


@each_severity
def test_impulse_noise_sets_the_published_share_half_to_black_half_to_white(severity):
    done = apply("impulse_noise", grey(0.5, side=128), severity)
    c = PUBLISHED["impulse_noise"][severity - 1]
    tolerance = 4 * (c / 2 / done.size) ** 0.5
    assert (done == 0).mean() == pytest.approx(c / 2, abs=tolerance)
    assert (done == 1).mean() == pytest.approx(c / 2, abs=tolerance)
    assert set(np.unique(done)) == {0.0, 0.5, 1.0}


def test_impulse_noise_strikes_each_channel_by_itself():
    done = apply("impulse_noise", grey(0.5), 5)
    struck = (done != 0.5).sum(-1)
    assert (struck == 1).sum() > 10 * (struck == 3).sum()


@each_severity
@pytest.mark.parametrize("value", [0.25, 0.5])
def test_speckle_noise_grows_with_the_value(severity, value):
    noise = apply("speckle_noise", grey(value), severity) - value
    assert noise.std() == pytest.approx(PUBLISHED["speckle_noise"][severity - 1] * value, rel=0.02)


@pytest.mark.parametrize("kind", ["shot_noise", "speckle_noise"])
def test_black_has_no_noise_that_grows_with_the_value(kind):
    assert not apply(kind, grey(0.0), 5).any()


# ----------------------------------------------------------------------------------------------- blur


@each_severity
def test_gaussian_blur_is_that_of_scipy(severity, photographs):
    sigma = PUBLISHED["gaussian_blur"][severity - 1]
    wide = photographs.astype(np.float64) / 255.0
    expected = ndimage.gaussian_filter(wide, (0, sigma, sigma, 0), mode="nearest", truncate=4.0)
    np.testing.assert_allclose(apply("gaussian_blur", as_batch(photographs), severity), expected, atol=1e-6)


@each_severity
def test_defocus_blur_is_a_correlation_with_a_softened_disk(severity, photographs):
    """The disk of the published code: radius and softness, on a grid of 17, softened by 3 x 3 taps."""
    radius, softness = PUBLISHED["defocus_blur"][severity - 1]
    y, x = np.mgrid[-8:9, -8:9]
    disk = (x**2 + y**2 <= radius**2).astype(float)
    taps = np.exp(-(np.array([-1.0, 0.0, 1.0]) ** 2) / (2 * softness**2))
    taps /= taps.sum()
    kernel = ndimage.correlate(disk / disk.sum(), np.outer(taps, taps), mode="mirror")
    wide = photographs.astype(np.float64) / 255.0
    expected = ndimage.correlate(wide, kernel[None, :, :, None], mode="mirror")
    np.testing.assert_allclose(apply("defocus_blur", as_batch(photographs), severity), expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["gaussian_blur", "defocus_blur"])
def test_blur_leaves_an_even_image_even(kind):
    np.testing.assert_allclose(apply(kind, grey(0.3), 5), 0.3, atol=1e-6)


@pytest.mark.parametrize(("border", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge")])
def test_a_kernel_wider_than_the_image_meets_the_edges_that_numpy_pads(border, numpy_mode):
    image = torch.rand((1, 1, 3, 4), generator=generator(0), dtype=torch.float64)
    kernel = torch.rand((15, 11), generator=generator(1), dtype=torch.float64)
    padded = np.pad(image[0, 0].numpy(), ((7, 7), (5, 5)), mode=numpy_mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (15, 11))
    expected = (windows * kernel.numpy()).sum((-1, -2))
    np.testing.assert_allclose(blur.convolve(image, kernel, border)[0, 0], expected, rtol=1e-12)


# -------------------------------------------------------------------------------- weather and digital


@each_severity
def test_brightness_raises_the_value_of_matplotlibs_hsv(severity, photographs):
    hsv = rgb_to_hsv(photographs / 255.0)
    hsv[..., 2] = (hsv[..., 2] + PUBLISHED["brightness"][severity - 1]).clip(0, 1)
    np.testing.assert_allclose(
        apply("brightness", as_batch(photographs), severity), hsv_to_rgb(hsv), atol=1e-6
    )


def test_brightness_makes_black_grey_and_keeps_white():
    np.testing.assert_allclose(apply("brightness", grey(0.0), 5), 0.3, atol=1e-6)
    np.testing.assert_allclose(apply("brightness", grey(1.0), 5), 1.0, atol=1e-6)


@each_severity
def test_contrast_pulls_towards_the_mean_of_each_image_and_channel(severity, photographs):
    wide = photographs / 255.0
    means = wide.mean((1, 2), keepdims=True)
    expected = means + PUBLISHED["contrast"][severity - 1] * (wide - means)
    np.testing.assert_allclose(apply("contrast", as_batch(photographs), severity), expected, atol=1e-6)


@each_severity
def test_pixelation_is_pillows_box_filter_down_and_up(severity, photographs):
    small = int(32 * PUBLISHED["pixelate"][severity - 1])
    done = apply("pixelate", as_batch(photographs), severity)
    for picture, found in zip(photographs, done, strict=True):
        coarse = Image.fromarray(picture).resize((small, small), Image.Resampling.BOX)
        expected = np.asarray(coarse.resize((32, 32), Image.Resampling.BOX))
        np.testing.assert_array_equal(np.round(found * 255), expected)


@each_severity
def test_jpeg_is_pillows_at_the_published_quality(severity, photographs):
    done = apply("jpeg_compression", as_batch(photographs), severity)
    for picture, found in zip(photographs, done, strict=True):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=PUBLISHED["jpeg_compression"][severity - 1])
        np.testing.assert_array_equal(np.round(found * 255), np.asarray(Image.open(file)))
