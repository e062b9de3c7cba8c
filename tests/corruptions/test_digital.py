"""Digital kinds against NumPy, SciPy, Matplotlib or Pillow, for 32 and for 224 pixels."""

import io

import numpy as np
import pytest
import torch
from matplotlib.colors import hsv_to_rgb, rgb_to_hsv
from PIL import Image
from scipy import ndimage

from lthbench.compute.rng import generator
from lthbench.corruptions import digital

each_severity = pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])
each_size = pytest.mark.parametrize("size", [32, 224])


@each_severity
@each_size
def test_contrast_pulls_towards_the_mean_of_each_image_and_channel(
    severity, size, photographs, as_batch, apply, published
):
    wide = photographs(size) / 255.0
    means = wide.mean((1, 2), keepdims=True)
    expected = means + published("contrast", size, severity) * (wide - means)
    np.testing.assert_allclose(apply("contrast", as_batch(photographs(size)), severity), expected, atol=1e-6)


@each_severity
@pytest.mark.parametrize("size", [8, 31, 32, 64, 224])
def test_pixelation_is_pillows_box_filter_down_and_up(severity, size, as_batch, apply, published):
    share = np.log(max(size, 32) / 32) / np.log(7)
    low, high = (published("pixelate", s, severity) for s in (32, 224))
    c = {32: low, 224: high}.get(size, low ** (1 - share) * high**share if size > 32 else low)
    small = int(size * c)
    pictures = np.random.default_rng(size).integers(0, 256, (6, size, size, 3), dtype=np.uint8)
    done = apply("pixelate", as_batch(pictures), severity)
    for picture, found in zip(pictures, done, strict=True):
        coarse = Image.fromarray(picture).resize((small, small), Image.Resampling.BOX)
        expected = np.asarray(coarse.resize((size, size), Image.Resampling.BOX))
        np.testing.assert_array_equal(np.round(found * 255), expected)


@each_severity
@each_size
def test_jpeg_is_pillows_at_the_published_quality(severity, size, photographs, as_batch, apply, published):
    done = apply("jpeg_compression", as_batch(photographs(size)), severity)
    for picture, found in zip(photographs(size), done, strict=True):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=published("jpeg_compression", size, severity))
        np.testing.assert_array_equal(np.round(found * 255), np.asarray(Image.open(file)))


# ----------------------------------------------------------------------------------------------- elastic


def bent_one(picture, moves, fields, amplitude, width):
    """The published transform by SciPy: an affine map by its inverse, then a field of displacements."""
    size = len(picture)
    middle, arm = size // 2, size // 3
    before = np.array(
        [[middle + arm, middle + arm], [middle + arm, middle - arm], [middle - arm, middle - arm]]
    )
    forth, *_ = np.linalg.lstsq(np.c_[before, np.ones(3)], before + moves, rcond=None)
    back = np.linalg.inv(np.c_[forth, [0, 0, 1]])
    y, x = np.mgrid[:size, :size].astype(float)
    source = np.stack([x.ravel(), y.ravel(), np.ones(size * size)], 1) @ back
    skewed = np.stack(
        [
            ndimage.map_coordinates(picture[..., c], (source[:, 1], source[:, 0]), order=1, mode="mirror")
            for c in range(3)
        ],
        -1,
    ).reshape(picture.shape)
    if width:
        fields = [ndimage.gaussian_filter(f, width, mode="reflect", truncate=3) for f in fields]
    dx, dy = (amplitude * f for f in fields)
    return np.stack(
        [
            ndimage.map_coordinates(skewed[..., c], (y + dy, x + dx), order=1, mode="reflect")
            for c in range(3)
        ],
        -1,
    )


@each_severity
@each_size
def test_elastic_transform_is_the_published_one_on_the_same_draws(
    severity, size, photographs, as_batch, apply, published
):
    amplitude, width, jitter = (size * c for c in published("elastic_transform", size, severity))
    draw = generator(2)
    moves = jitter * (2 * torch.rand((2, 3, 2), generator=draw, dtype=torch.float64).numpy() - 1)
    fields = 2 * torch.rand((2, 2, size, size), generator=draw).double().numpy() - 1
    done = apply("elastic_transform", as_batch(photographs(size)), severity, seed=2)
    for picture, move, field, found in zip(photographs(size) / 255.0, moves, fields, done, strict=True):
        expected = bent_one(picture, move, field, amplitude, width)
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert np.abs(found - expected).mean() < 2e-5


def test_without_moves_nothing_is_skewed_and_a_whole_step_shifts(photographs, as_batch):
    batch = as_batch(photographs(32))
    still = digital.skewed(batch, torch.zeros((2, 3, 2), dtype=torch.float64))
    torch.testing.assert_close(still, batch, atol=1e-5, rtol=0)
    along = torch.zeros((2, 2, 32, 32))
    along[:, 0] = 3.0
    torch.testing.assert_close(digital.displaced(batch, along)[..., :-3], batch[..., 3:], atol=1e-5, rtol=0)
    shifted = digital.skewed(batch, torch.tensor([[[0.0, 2.0]] * 3] * 2).double())
    torch.testing.assert_close(shifted[:, :, 2:], batch[:, :, :-2], atol=1e-5, rtol=0)


# ---------------------------------------------------------------------------------------------- saturate


@each_severity
@each_size
def test_saturation_is_scaled_and_raised_in_matplotlibs_hsv(
    severity, size, photographs, as_batch, apply, published
):
    scale, added = published("saturate", size, severity)
    hsv = rgb_to_hsv(photographs(size) / 255.0)
    hsv[..., 1] = (hsv[..., 1] * scale + added).clip(0, 1)
    done = apply("saturate", as_batch(photographs(size)), severity)
    np.testing.assert_allclose(done, hsv_to_rgb(hsv), atol=3e-6)


def test_grey_turns_red_where_saturation_is_added_and_black_stays_black(apply):
    grey = apply("saturate", torch.full((1, 3, 32, 32), 0.5), 5)
    np.testing.assert_allclose(grey[0, 0, 0], [0.5, 0.4, 0.4], atol=1e-6)
    np.testing.assert_allclose(apply("saturate", torch.full((1, 3, 32, 32), 0.5), 3), 0.5, atol=1e-6)
    assert not apply("saturate", torch.zeros((1, 3, 32, 32)), 5).any()
