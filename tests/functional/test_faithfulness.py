"""Curves of networks of which it is known what they look at; imputation by hand."""

import numpy as np
import pytest
import torch
from scipy import sparse
from scipy.ndimage import gaussian_filter
from scipy.sparse.linalg import spsolve
from torch import nn

from lthbench.functional import faithfulness, imputation, lime, saliency_maps

#: Where the planted network looks, in images of 16 pixels.
SPOT = np.s_[4:8, 4:8]


class Spot(nn.Module):
    """Says 1 where a square is brighter than a half, else 0."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()), requires_grad=False)

    def forward(self, x):
        bright = x[:, :, 4:8, 4:8].mean((1, 2, 3)) * self.weight
        return 20 * torch.stack([0.5 - bright, bright - 0.5], 1)


@pytest.fixture(scope="module")
def planted():
    """Images with a bright square on dark ground, labels, and a map that knows where it is."""
    x = torch.full((6, 3, 16, 16), 0.1)
    x[:, :, 4:8, 4:8] = 0.9
    known = saliency_maps.random_maps((6, 16, 16)) * 0.5
    known[:, *SPOT] += 1.0
    return x, torch.ones(6, dtype=torch.int64), known


def orders(known):
    order = torch.from_numpy(saliency_maps.ranked(known))
    return order, order.flip(1)


def test_road_tells_a_map_that_knows_from_one_that_does_not(planted):
    x, labels, known = planted
    most, least = (faithfulness.road(Spot(), x, labels, o) for o in orders(known))
    assert most.shape == (10, 6)
    assert most[0].tolist() == [1.0] * 6
    assert most[1:].max() == 0.0
    assert least[:9].min() == 1.0
    gap = faithfulness.area(least) - faithfulness.area(most)
    assert (gap > 0.8).all()
    np.testing.assert_allclose(faithfulness.area(most), 0.05 / 0.9)
    np.testing.assert_allclose(faithfulness.mean_fall(most), 0.9)
    np.testing.assert_array_equal(most, faithfulness.road(Spot(), x, labels, orders(known)[0]))


def test_deletion_falls_and_insertion_rises_with_what_is_looked_at(planted):
    x, labels, known = planted
    first, last = orders(known)
    deleted = [faithfulness.under(faithfulness.deletion(Spot(), x, labels, o)) for o in (first, last)]
    assert (deleted[0] < 0.1).all()
    assert (deleted[1] > 0.9).all()
    shown = faithfulness.insertion(Spot(), x, labels, first)
    assert shown.shape == (21, 6)
    assert (shown[0] < 0.5).all()
    assert (shown[2:] > 0.99).all()
    assert faithfulness.under(np.array([[1.0], [0.5], [0.0]])) == pytest.approx(0.5)


def test_regions_turn_black_in_the_order_of_their_sums(planted):
    x, labels, known = planted
    found = faithfulness.regions(Spot(), x, labels, known)
    assert found.shape == (17, 6)
    sums = known.reshape(6, 4, 4, 4, 4).sum((2, 4)).reshape(6, -1)
    for k in range(6):
        image, curve = x[k : k + 1].clone(), []
        for region in [None, *np.argsort(-sums[k])]:
            if region is not None:
                row, column = 4 * (region // 4), 4 * (region % 4)
                image[:, :, row : row + 4, column : column + 4] = 0.0
            curve.append(float(Spot()(image).softmax(1)[0, 1]))
        np.testing.assert_allclose(found[:, k], curve, atol=1e-6)


def test_curves_of_parts_are_those_of_all(planted, monkeypatch):
    x, labels, known = planted
    first = orders(known)[0]
    whole = faithfulness.deletion(Spot(), x, labels, first)
    monkeypatch.setattr(faithfulness, "VALUES", 2 * x[0].numel())
    np.testing.assert_allclose(faithfulness.in_parts(faithfulness.deletion, Spot(), x, labels, first), whole)
    assert faithfulness.in_parts(faithfulness.road, Spot(), x, labels, first).shape == (10, 6)


def test_an_image_of_another_shape_is_covered_by_regions():
    x = torch.rand(2, 3, 10, 14, generator=torch.Generator().manual_seed(0))
    model = nn.Sequential(nn.Flatten(), nn.Linear(420, 3)).requires_grad_(False)
    found = faithfulness.regions(model, x, torch.tensor([0, 1]), np.ones((2, 10, 14)))
    black = model(torch.zeros_like(x)).softmax(1)
    np.testing.assert_allclose(found[-1], [black[0, 0], black[1, 1]], atol=1e-6)


def test_imputation_leaves_known_pixels_and_averages_the_others():
    x = torch.rand(2, 3, 6, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    order = torch.stack([torch.randperm(42, generator=torch.Generator().manual_seed(s)) for s in (1, 2)])
    filled = imputation.imputed(x, order, 20, 1e-12)
    for k in range(2):
        removed = set(order[k, :20].tolist())
        for pixel in range(42):
            row, column = divmod(pixel, 7)
            if pixel not in removed:
                assert torch.equal(filled[k, :, row, column], x[k, :, row, column])
                continue
            total, weights = torch.zeros(3, dtype=torch.float64), 0.0
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    if (down or right) and 0 <= row + down < 6 and 0 <= column + right < 7:
                        weight = 1 / 12 if down and right else 1 / 6
                        total += weight * filled[k, :, row + down, column + right]
                        weights += weight
            torch.testing.assert_close(filled[k, :, row, column], total / weights, atol=1e-9, rtol=0)


def direct(image: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """An image ``[C, H, W]`` with pixels ``[H, W]`` removed and filled in by a sparse direct solver."""
    height, width = removed.shape
    rows, columns = (
        sparse.diags_array([np.ones(n - 1), np.full(n, 2.0), np.ones(n - 1)], offsets=(-1, 0, 1))
        for n in (height, width)
    )
    weights = (sparse.kron(rows, columns) / 12.0 - sparse.eye_array(height * width) / 3.0).tocsr()
    matrix = (sparse.diags_array(np.asarray(weights.sum(1)).ravel()) - weights).tocsr()
    hole, flat = removed.ravel(), image.reshape(len(image), -1).astype(np.float64).T
    filled = flat.copy()
    filled[hole] = spsolve(matrix[hole][:, hole].tocsc(), weights[hole][:, ~hole] @ flat[~hole])
    return filled.T.reshape(image.shape)


@pytest.mark.parametrize("size", [(20, 31), (70, 97), (131, 66)])
@pytest.mark.parametrize("share", [0.1, 0.9])
@pytest.mark.parametrize("shape", ["scattered", "disc", "all but a disc"])
def test_imputation_is_within_a_thousandth_of_a_direct_solution(size, share, shape):
    """Small images, and large ones, for which half the image is solved first; wide holes too."""
    height, width = size
    draw = np.random.default_rng(0)
    image = gaussian_filter(draw.random((2, height, width)), (0, 3, 3))
    image = ((image - image.min()) / np.ptp(image)).astype(np.float32)
    far = (np.arange(height)[:, None] - 0.4 * height) ** 2 + (np.arange(width) - 0.6 * width) ** 2
    first = {"scattered": draw.random(size), "disc": far, "all but a disc": -far}[shape]
    order = torch.from_numpy(first.ravel().argsort())[None]
    count = round(share * height * width)
    found = imputation.imputed(torch.from_numpy(image)[None], order, count)[0].numpy()
    removed = np.zeros(height * width, dtype=bool)
    removed[order[0, :count].numpy()] = True
    np.testing.assert_allclose(found, direct(image, removed.reshape(size)), atol=1e-3)
    assert np.array_equal(found[:, ~removed.reshape(size)], image[:, ~removed.reshape(size)])


def test_a_flat_image_stays_flat_and_the_input_is_left_alone():
    x = torch.full((3, 1, 8, 8), 0.4)
    order = torch.arange(64).expand(3, -1)
    assert torch.allclose(imputation.imputed(x, order, 63), x, atol=1e-4)
    assert torch.equal(imputation.imputed(x, order, 0), x)
    black = imputation.imputed(torch.zeros_like(x), order, 30)
    assert not black.any()


@pytest.mark.parametrize(("count", "columns"), [(64, 64), (-1, 64), (5, 63)])
def test_what_cannot_be_imputed_is_refused(count, columns):
    with pytest.raises(ValueError, match=r"(count|order) must"):
        imputation.imputed(torch.zeros(1, 1, 8, 8), torch.arange(columns)[None], count)


# ------------------------------------------------------------------------------------------------- LIME


class Patch(nn.Module):
    """Two classes by how bright each pixel is, with weights of its own; ``scale`` 0: by nothing."""

    def __init__(self, scale):
        super().__init__()
        weight = torch.randn(1 * 8 * 8, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight * scale, requires_grad=False)

    def forward(self, x):
        value = x.flatten(1) @ self.weight
        return torch.stack([value, -value], 1)


def digits(n=4):
    return np.random.Generator(np.random.PCG64(3)).integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)


def test_a_network_that_is_nearly_linear_in_superpixels_is_explained_by_them():
    found = lime.explained(Patch(0.02), digits())
    assert (found.scaled < 0.01).all()
    wild = lime.explained(Patch(5.0), digits())
    assert (wild.scaled > 0.1).all()
    assert (wild.stability > found.stability).all()


def test_a_constant_network_has_perfect_raw_scores_and_no_scaled_one():
    found = lime.explained(Patch(0.0), digits())
    assert found.fidelity == pytest.approx(0.0, abs=1e-20)
    assert found.stability == pytest.approx(0.0, abs=1e-20)
    assert np.isnan(found.scaled).all()


def test_copies_are_the_same_for_every_network_and_show_their_segments():
    first = lime.prepare(digits())
    lime.prepare(digits(2))
    for one, other in zip(first, lime.prepare(digits()), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    assert first.counts.tolist() == [16] * 4
    assert (first.masks[:, 0] == 1).all()
    assert first.masks[:, 1:].mean() == pytest.approx(0.5, abs=0.02)
    np.testing.assert_array_equal(first.segments[0, :2, :2], 0)
    seen = []

    class Watching(Patch):
        def forward(self, x):
            seen.append(x.clone())
            return super().forward(x)

    pixels = digits()
    lime.probabilities(Watching(1.0), pixels[1], first.segments[1], first.masks[1])
    shown = torch.cat(seen)
    assert shown.shape == (1000, 1, 8, 8)
    for copy in (0, 5, 999):
        expected = pixels[1, 0] / 255 * first.masks[1, copy][first.segments[1]]
        np.testing.assert_allclose(shown[copy, 0], expected, atol=1e-6)


def test_segments_of_all_parts_of_the_images_are_made_once_for_all_networks(monkeypatch):
    cut = []
    plain = lime.segmented
    monkeypatch.setattr(lime, "_segments", {})
    monkeypatch.setattr(lime, "TOGETHER", 2)
    monkeypatch.setattr(lime, "segmented", lambda image: cut.append(1) or plain(image))
    first = lime.explained(Patch(1.0), digits(5))
    assert len(cut) == 5
    again = lime.explained(Patch(1.0), digits(5))
    assert len(cut) == 5
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    monkeypatch.setattr(lime, "KEPT", 3 * 64)  # more would fill memory: the oldest go
    lime.explained(Patch(1.0), digits(6))
    assert sum(kept.nbytes for kept in lime._segments.values()) <= 3 * 64


@pytest.mark.parametrize(("size", "most"), [(32, 32 * 32 / 20), (160, 400)])
def test_larger_images_are_cut_into_superpixels(size, most):
    y, x = np.mgrid[:size, :size] / size
    image = np.stack([128 + 100 * np.sin(9 * x + 5 * y * k) for k in range(3)]).astype(np.uint8)
    found = lime.segmented(image)
    assert found.shape == (size, size)
    assert 4 <= found.max() + 1 <= most
    assert set(np.unique(found)) == set(range(found.max() + 1))
    grey = lime.segmented(image[:1])
    assert grey.shape == (size, size)
