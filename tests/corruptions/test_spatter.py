"""Spatter, step by step, against plain loops and SciPy on the same random draws."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from lthbench.compute.rng import generator
from lthbench.corruptions import _liquid

each_severity = pytest.mark.parametrize("severity", [1, 2, 3, 4, 5])


@pytest.fixture(scope="module")
def layers():
    """Layers of drops with smooth and with hard edges, whole levels ``[6, 1, 24, 24]``; the last is empty."""
    rng = np.random.default_rng(2)
    fields = [
        ndimage.gaussian_filter(rng.normal(0.65, 0.3, (24, 24)), s, mode="nearest") for s in (0.7, 1, 2, 3)
    ]
    drops = [np.where(f < 0.69, 0, f) for f in fields] + [rng.random((24, 24)) > 0.8, np.zeros((24, 24))]
    return torch.from_numpy(np.floor(np.stack(drops).clip(0, 1) * 255))[:, None].float()


def canny_one(levels, low=50, high=150):
    """Canny 1986 as OpenCV does it: Sobel, L1 norm, four directions by angle, hysteresis by components."""
    wide = np.pad(levels.astype(np.int64), 1, mode="edge")
    size = levels.shape[0]
    dx, dy = np.zeros((2, size, size), np.int64)
    for y in range(size):
        for x in range(size):
            w = wide[y : y + 3, x : x + 3]
            dx[y, x] = (w[:, 2] - w[:, 0]) @ (1, 2, 1)
            dy[y, x] = (w[2] - w[0]) @ (1, 2, 1)
    norm = np.pad(np.abs(dx) + np.abs(dy), 1)
    ridge = np.zeros((size, size), bool)
    for y in range(size):
        for x in range(size):
            here = norm[y + 1, x + 1]
            angle = np.degrees(np.arctan2(abs(dy[y, x]), abs(dx[y, x])))
            if angle < 22.5:
                top = here > norm[y + 1, x] and here >= norm[y + 1, x + 2]
            elif angle > 67.5:
                top = here > norm[y, x + 1] and here >= norm[y + 2, x + 1]
            else:
                s = -1 if (dx[y, x] < 0) != (dy[y, x] < 0) else 1
                top = here > norm[y, x + 1 - s] and here > norm[y + 2, x + 1 + s]
            ridge[y, x] = top and here > low
    parts, count = ndimage.label(ridge, np.ones((3, 3)))
    strong = ndimage.maximum(norm[1:-1, 1:-1], parts, np.arange(count + 1)) > high
    return ridge & strong[parts]


def chamfer_one(edges):
    """Borgefors' two passes over the image, 5 x 5, at most 20."""
    size = edges.shape[0]
    wide = np.full((size + 4, size + 4), 1e6)
    wide[2:-2, 2:-2] = np.where(edges, 0, 1e6)
    before = {(0, -1): 1.0, (-1, 0): 1.0, (-1, -1): 1.4, (-1, 1): 1.4}
    before |= dict.fromkeys(((-1, -2), (-2, -1), (-1, 2), (-2, 1)), 2.1969)
    for sign, order in ((1, range(2, size + 2)), (-1, range(size + 1, 1, -1))):
        for y in order:
            for x in order:
                near = [wide[y + sign * dy, x + sign * dx] + length for (dy, dx), length in before.items()]
                wide[y, x] = min(wide[y, x], *near)
    return wide[2:-2, 2:-2].clip(max=20)


def equalized_one(levels):
    """Histogram equalisation: the lowest level to 0, the highest to 255."""
    counts = np.bincount(levels.ravel(), minlength=256)
    first = counts[levels.min()]
    if first == levels.size:
        return levels
    table = np.round(np.float32(np.cumsum(counts) - first) * np.float32(255.0 / (levels.size - first)))
    return table[levels].astype(np.int64)


def drops_one(levels):
    """The published layer of water."""
    distance = ndimage.uniform_filter(chamfer_one(canny_one(levels)), 3, mode="mirror")
    raised = equalized_one(np.floor(distance + 1e-4).astype(np.int64))
    kernel = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    relief = ndimage.correlate(raised, kernel, mode="mirror").clip(0, 255).astype(float)
    thick = levels * np.round(ndimage.uniform_filter(relief, 3, mode="mirror"))
    return thick / max(thick.max(), 1)


def test_edges_are_those_of_canny(layers):
    for layer, found in zip(layers.numpy(), _liquid.canny(layers).numpy(), strict=True):
        np.testing.assert_array_equal(found[0], canny_one(layer[0]))
    assert _liquid.canny(layers)[:-1].any((1, 2, 3)).all(), "the cases hold no edges"


def test_distances_are_those_of_the_chamfer_passes(layers):
    edges = _liquid.canny(layers)
    for edge, found in zip(edges.numpy(), _liquid.distances(edges).numpy(), strict=True):
        np.testing.assert_allclose(found[0], chamfer_one(edge[0]), atol=1e-5)
    one = torch.zeros((1, 1, 24, 24), dtype=torch.bool)
    one[0, 0, 0, 0] = True
    found = _liquid.distances(one)[0, 0]
    assert found[0, 3] == 3
    assert found[2, 2] == pytest.approx(2.8)
    assert found[4, 2] == pytest.approx(2 * 2.1969)
    assert found[23, 23] == 20


def test_levels_are_spread_by_their_ranks(layers):
    for layer, found in zip(layers.numpy(), _liquid.equalized(layers).numpy(), strict=True):
        np.testing.assert_array_equal(found[0], equalized_one(layer[0].astype(np.int64)))


def test_water_is_the_published_one(layers):
    for layer, found in zip(layers.numpy(), _liquid.drops(layers).numpy(), strict=True):
        np.testing.assert_allclose(found[0], drops_one(layer[0].astype(np.int64)), atol=1e-5)
    assert not _liquid.drops(layers)[-1].any()


@each_severity
@pytest.mark.parametrize("size", [32, 224])
def test_spatter_is_the_published_one_on_the_same_draws(
    severity, size, photographs, as_batch, apply, published
):
    mean, deviation, width, least, last, mud = published("spatter", size, severity)
    noise = torch.randn((2, 1, size, size), generator=generator(9)).double().numpy()[:, 0]
    done = apply("spatter", as_batch(photographs(size)), severity, seed=9)
    for picture, field, found in zip(photographs(size) / 255.0, noise, done, strict=True):
        liquid = ndimage.gaussian_filter(mean + deviation * field, width, mode="nearest", truncate=4.0)
        if mud:
            spots = (liquid > least).astype(float)
            spots = ndimage.gaussian_filter(spots, last, mode="nearest", truncate=4.0)[..., None]
            spots[spots < 0.8] = 0
            expected = picture * (1 - spots) + spots * np.array([63, 42, 20]) / 255
        else:
            levels = np.floor(np.where(liquid < least, 0, liquid).clip(0, 1) * 255 + 1e-3).astype(np.int64)
            expected = picture + last * drops_one(levels)[..., None] * np.array([175, 238, 238]) / 255
        assert (np.abs(found - expected.clip(0, 1)) > 1e-4).mean() < 2e-3
