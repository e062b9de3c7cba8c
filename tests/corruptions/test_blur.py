"""Blur against SciPy, and against loops over pixels, at the published strengths for 32 and 224 pixels."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from lthbench.compute.rng import generator
from lthbench.corruptions import _filters, blur

each_severity = pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
each_size = pytest.mark.parametrize("size", [32, 224])


@each_severity
@each_size
def test_gaussian_blur_is_that_of_scipy(severity, size, photographs, as_batch, apply, published):
    sigma = published("gaussian_blur", size, severity)
    wide = photographs(size) / 255.0
    expected = ndimage.gaussian_filter(wide, (0, sigma, sigma, 0), mode="nearest", truncate=4.0)
    done = apply("gaussian_blur", as_batch(photographs(size)), severity)
    np.testing.assert_allclose(done, expected, atol=5e-6)


@each_severity
@each_size
def test_defocus_blur_is_a_correlation_with_a_softened_disk(
    severity, size, photographs, as_batch, apply, published
):
    """The disk of the published code: on a grid of 17, softened by 3 x 3 taps; above radius 8, 21 and 5."""
    radius, softness = published("defocus_blur", size, severity)
    half, reach = (8, 1) if radius <= 8 else (10, 2)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    disk = (x**2 + y**2 <= radius**2).astype(float)
    taps = np.exp(-(np.arange(-reach, reach + 1.0) ** 2) / (2 * softness**2))
    taps /= taps.sum()
    kernel = ndimage.correlate(disk / disk.sum(), np.outer(taps, taps), mode="mirror")
    wide = photographs(size) / 255.0
    expected = ndimage.correlate(wide, kernel[None, :, :, None], mode="mirror")
    done = apply("defocus_blur", as_batch(photographs(size)), severity)
    np.testing.assert_allclose(done, expected, atol=5e-6)


@pytest.mark.parametrize("kind", ["gaussian_blur", "defocus_blur", "zoom_blur", "motion_blur", "glass_blur"])
@each_size
def test_blur_leaves_an_even_image_even(kind, size, apply):
    for severity in (1, 5):
        done = apply(kind, torch.full((2, 3, size, size), 102 / 255), severity)
        # The widest published disk touches its grid's edge, where softening mirrors it: it sums to 1.0108.
        gain = 1.0108 if (kind, size, severity) == ("defocus_blur", 224, 5) else 1.0
        np.testing.assert_allclose(done, gain * 102 / 255, atol=3e-5)


@pytest.mark.parametrize(("border", "numpy_mode"), [("reflect", "reflect"), ("replicate", "edge")])
def test_a_kernel_wider_than_the_image_meets_the_edges_that_numpy_pads(border, numpy_mode):
    image = torch.rand((1, 1, 3, 4), generator=generator(0), dtype=torch.float64)
    kernel = torch.rand((15, 11), generator=generator(1), dtype=torch.float64)
    padded = np.pad(image[0, 0].numpy(), ((7, 7), (5, 5)), mode=numpy_mode)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (15, 11))
    expected = (windows * kernel.numpy()).sum((-1, -2))
    np.testing.assert_allclose(_filters.convolve(image, kernel, border)[0, 0], expected, rtol=1e-12)


# ------------------------------------------------------------------------------------------------- glass


def copied_in_turn(picture, moves, far):
    """The published loop: from the lower right, each pixel takes the colour of a near one."""
    picture = picture.copy()
    size = len(picture)
    for h in range(size - far, far, -1):
        for w in range(size - far, far, -1):
            dx, dy = moves[:, h - far - 1, w - far - 1]
            # Both sides are views of the picture, so the second assignment finds the first one done.
            picture[h, w], picture[h + dy, w + dx] = picture[h + dy, w + dx], picture[h, w]
    return picture


@pytest.mark.parametrize(("size", "far"), [(8, 1), (32, 1), (24, 2), (40, 4)])
def test_sources_of_glass_are_those_of_the_published_loop(size, far):
    inner = size - 2 * far
    moves = torch.randint(-far, far, (3, 2, inner, inner), generator=generator(size))
    found = blur.sources(moves, size, far)
    here = np.arange(size * size).reshape(size, size, 1)
    for one, source in zip(moves.numpy(), found.numpy(), strict=True):
        np.testing.assert_array_equal(source, copied_in_turn(here, one, far)[..., 0])


def test_images_smaller_than_the_reach_of_glass_stay_whole():
    found = blur.sources(torch.zeros((2, 2, 0, 0), dtype=torch.int64), 4, 4)
    np.testing.assert_array_equal(found[1], np.arange(16).reshape(4, 4))


@each_severity
@each_size
def test_glass_blur_is_the_published_one_on_the_same_draws(
    severity, size, photographs, as_batch, apply, published
):
    sigma, far, rounds = published("glass_blur", size, severity)
    draw = generator(5)

    def smooth(pictures):
        return ndimage.gaussian_filter(pictures, (0, sigma, sigma, 0), mode="nearest", truncate=4.0)

    pictures = np.floor(smooth(photographs(size) / 255.0) * 255 + 1e-3)
    for _ in range(rounds):
        moves = torch.randint(-far, far, (2, 2, size - 2 * far, size - 2 * far), generator=draw).numpy()
        pictures = np.stack([copied_in_turn(p, m, far) for p, m in zip(pictures, moves, strict=True)])
    done = apply("glass_blur", as_batch(photographs(size)), severity, seed=5)
    off = np.abs(done - smooth(pictures / 255.0))
    assert off.max() < 1.01 / 255
    assert (off > 1e-5).mean() < 1e-2, "a value may be cut to the next level in float32"


# ------------------------------------------------------------------------------------------------ motion


def smeared_one(picture, radius, sigma, degrees):
    """ImageMagick's MotionBlurImage, tap by tap, float64: 16 bits, then the level below (tests/oracles)."""
    width = 2 * math.ceil(radius) + 1
    taps = np.exp(-(np.arange(width) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    angle = math.radians(degrees)
    size = len(picture)
    total = np.zeros_like(picture)
    for i, tap in enumerate(taps):
        rows = np.clip(np.arange(size) + math.ceil(i * math.sin(angle) - 0.5), 0, size - 1)
        columns = np.clip(np.arange(size) + math.ceil(i * math.cos(angle) - 0.5), 0, size - 1)
        total += tap * picture[np.ix_(rows, columns)]
    return np.floor(np.round(total * 65535) / 257) / 255


@each_severity
@each_size
def test_motion_blur_is_a_smear_along_a_line_drawn_for_each_image(
    severity, size, photographs, as_batch, apply, published
):
    radius, sigma = published("motion_blur", size, severity)
    angles = 90 * torch.rand(2, generator=generator(4), dtype=torch.float64).numpy() - 45
    done = apply("motion_blur", as_batch(photographs(size)), severity, seed=4)
    for picture, found, angle in zip(photographs(size) / 255.0, done, angles, strict=True):
        off = np.abs(found - smeared_one(picture, radius, sigma, angle))
        assert off.max() < 1.01 / 255
        assert (off > 1e-5).mean() < 1e-3, "only what lies at the edge of the next level may be off"


@pytest.mark.parametrize(("degrees", "axis"), [(0.0, 2), (90.0, 1)])
def test_a_smear_along_an_axis_blurs_along_that_axis_alone(degrees, axis, as_pictures):
    batch = torch.zeros((1, 1, 9, 9))
    batch[0, 0, 6, 6] = 1.0
    done = as_pictures(_filters.smeared(batch, 3, 1.5, torch.tensor([degrees])))[..., 0]
    assert (done.sum(axis) > 0).sum() == 1
    assert (np.diff(done.sum(3 - axis)[0, :7]) > 0).sum() >= 3


# -------------------------------------------------------------------------------------------------- zoom


def zoomed_one(picture, factor):
    """The published clipped_zoom, by SciPy."""
    size = len(picture)
    kept = math.ceil(size / factor)
    top = (size - kept) // 2
    wide = ndimage.zoom(picture[top : top + kept, top : top + kept], (factor, factor, 1), order=1)
    trim = (len(wide) - size) // 2
    return wide[trim : trim + size, trim : trim + size]


@each_severity
@each_size
def test_zoom_blur_is_the_mean_of_scipys_zooms(severity, size, photographs, as_batch, apply, published):
    stop, step = published("zoom_blur", size, severity)
    factors = np.arange(1, stop, step)
    done = apply("zoom_blur", as_batch(photographs(size)), severity)
    for picture, found in zip(photographs(size) / 255.0, done, strict=True):
        total = picture + sum(zoomed_one(picture, f) for f in factors)
        np.testing.assert_allclose(found, total / (len(factors) + 1), atol=1e-5)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_small_images_are_zoomed_by_as_many_pixels_as_at_32(size):
    for severity in (1, 5):
        small, whole = blur.zoom_factors(size, severity), blur.zoom_factors(32, severity)
        np.testing.assert_allclose((np.array(small) - 1) * size, (np.array(whole) - 1) * 32, rtol=1e-12)
