"""Explaining many images at once against one at a time, as released code does; ratios of processor time."""

import time

import numpy as np
import pytest
import torch
from scipy.sparse import csc_matrix, lil_matrix
from scipy.sparse.linalg import spsolve
from sklearn.linear_model import Ridge
from sklearn.metrics import pairwise_distances

from lthbench import registry
from lthbench.functional import faithfulness, imputation, lime
from lthbench.inference.folding import folded
from lthbench.inference.predict import ready
from lthbench.kinds import Architecture
from lthbench.spec import Network

pytestmark = pytest.mark.slow

IMAGES = 6


def network(name, size):
    torch.manual_seed(0)
    made = registry.get(Architecture, name).build(Network(name, 1, 10, 3, size, (0.5,) * 3, (0.25,) * 3))
    return ready(made, torch.device("cpu"))


def photographs(count, size):
    """Parts of the two photographs that scikit-learn ships, uint8 ``[count, 3, size, size]``."""
    from sklearn.datasets import load_sample_images

    pictures = load_sample_images().images
    draw = np.random.Generator(np.random.PCG64(0))
    found = []
    for k in range(count):
        picture = pictures[k % 2][:: 64 // size, :: 64 // size]
        y, x = (draw.integers(0, side - size) for side in picture.shape[:2])
        found.append(picture[y : y + size, x : x + size].transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(found))


# ------------------------------------------------------------------------------------------------- LIME


def one_at_a_time(model, pixels, prepared):
    """LIME's way: each copy cut out with NumPy, batches of ten with gradients on, a Ridge for each fit."""
    found = []
    for k, image in enumerate(pixels):
        masks = prepared.masks[k, :, : prepared.counts[k]]
        picture, outputs, batch = image.transpose(1, 2, 0), [], []
        for row in masks:
            copy = picture.copy()
            hidden = np.zeros(prepared.segments[k].shape, dtype=bool)
            for segment in np.where(row == 0)[0]:
                hidden[prepared.segments[k] == segment] = True
            copy[hidden] = 0
            batch.append(copy)
            if len(batch) == 10:
                x = torch.stack([torch.from_numpy(c.transpose(2, 0, 1)).float() / 255 for c in batch])
                outputs.append(model(x).softmax(1).detach().numpy())
                batch = []
        probabilities = np.concatenate(outputs).astype(np.float64)
        y = probabilities[:, probabilities[0].argmax()]

        def fit(row, masks=masks, y=y):
            far = pairwise_distances(masks, masks[row : row + 1], metric="cosine").ravel()
            weights = np.sqrt(np.exp(-(far**2) / 0.25**2))
            for alpha in (0.01, 1.0):  # the first chooses features: all of them
                model = Ridge(alpha=alpha).fit(masks, y, sample_weight=weights)
            return model

        first = fit(0)
        moved = [((fit(row).coef_ - first.coef_) ** 2).sum() for row in prepared.centres[k]]
        found.append([np.mean((y - first.predict(masks)) ** 2), np.mean(moved)])
    return np.array(found)


class Free(torch.nn.Module):
    """A network that costs next to nothing: what is left is the explaining."""

    def __init__(self):
        super().__init__()
        weight = torch.randn(10, 3, generator=torch.Generator().manual_seed(0))
        self.weight = torch.nn.Parameter(weight, requires_grad=False)

    def forward(self, x):
        return x[:, :, 8:24, 8:24].mean((2, 3)) @ (4 * self.weight.T)


@pytest.fixture(scope="module", params=["no network", "resnet20s"])
def linear(request):
    pixels = photographs(IMAGES, 32)
    prepared = lime.prepare(pixels)
    prepared = prepared._replace(centres=prepared.centres[:, :5])
    model = Free().eval() if request.param == "no network" else network(request.param, 32)
    return request.param, model, pixels, prepared


def together(model, pixels, prepared):
    """As the metric does it: by the folded network."""
    model = folded(model)
    outputs = np.stack([lime.probabilities(model, *one) for one in zip(pixels, *prepared[:2], strict=True)])
    return lime.fitted(prepared, outputs)


@pytest.mark.benchmark(timer=time.process_time)
def test_lime_together(benchmark, linear):
    name, model, pixels, prepared = linear
    benchmark.group = f"LIME fidelity and stability, 1,000 copies, {IMAGES} images, {name}"
    together(model, pixels[:1], lime.Prepared(*(field[:1] for field in prepared)))
    found = benchmark.pedantic(together, (model, pixels, prepared), rounds=3)
    expected = one_at_a_time(model.requires_grad_(True), pixels[:2], prepared)
    model.requires_grad_(False)
    np.testing.assert_allclose(found.fidelity[:2], expected[:, 0], rtol=1e-4)
    np.testing.assert_allclose(found.stability[:2], expected[:, 1], rtol=1e-3)


@pytest.mark.benchmark(timer=time.process_time)
def test_lime_one_at_a_time(benchmark, linear):
    name, model, pixels, prepared = linear
    benchmark.group = f"LIME fidelity and stability, 1,000 copies, {IMAGES} images, {name}"
    model.requires_grad_(True).to(memory_format=torch.contiguous_format)
    benchmark.pedantic(one_at_a_time, (model, pixels, prepared), rounds=2)
    model.requires_grad_(False).to(memory_format=torch.channels_last)


@pytest.mark.speed
def test_lime_together_is_faster_than_one_at_a_time(faster):
    pixels = photographs(IMAGES, 32)
    prepared, model = lime.prepare(pixels), Free().eval()
    prepared = prepared._replace(centres=prepared.centres[:, :5])
    # 9.8 times where nothing else runs.
    faster(lambda: one_at_a_time(model, pixels, prepared), lambda: together(model, pixels, prepared), 4)


# ---------------------------------------------------------------------------------------------- folding


@pytest.mark.benchmark(group="ROAD and deletion, ResNet-20, 8 images", timer=time.process_time)
@pytest.mark.parametrize("way", ["folded", "as it was trained"])
def test_pixels_removed_from_what_a_folded_network_sees(benchmark, way):
    model = network("resnet20s", 32)
    model = folded(model) if way == "folded" else model
    x = torch.from_numpy(photographs(8, 32)).float() / 255
    labels, order = torch.zeros(8, dtype=torch.int64), torch.arange(1024).expand(8, -1)

    def removed():
        return [way(model, x, labels, order) for way in (faithfulness.road, faithfulness.deletion)]

    removed()
    benchmark.pedantic(removed, rounds=5)


# ------------------------------------------------------------------------------------------------- ROAD

NEIGHBOURS = [(dy, dx, 1 / 12 if dy and dx else 1 / 6) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if dy or dx]


def solved(image, mask):
    """One image's removed pixels by a sparse direct solver, in the way of ROAD's released code."""
    channels, height, width = image.shape
    flat, removed = image.reshape(channels, -1), mask.reshape(-1)
    places = np.flatnonzero(removed)
    number = np.zeros(height * width, dtype=int)
    number[places] = np.arange(len(places))
    rows, columns = np.divmod(places, width)
    matrix, right = lil_matrix((len(places), len(places))), np.zeros((len(places), channels))
    total = np.ones(len(places))
    for down, along, weight in NEIGHBOURS:
        y, x = rows + down, columns + along
        inside = np.flatnonzero((y >= 0) & (y < height) & (x >= 0) & (x < width))
        total[np.setdiff1d(np.arange(len(places)), inside)] -= weight
        near = y[inside] * width + x[inside]
        known = ~removed[near]
        right[inside[known]] += weight * flat[:, near[known]].T
        matrix[inside[~known], number[near[~known]]] = -weight
    matrix[np.arange(len(places)), np.arange(len(places))] = total
    filled = flat.copy()
    filled[:, places] = spsolve(csc_matrix(matrix), right).T
    return filled.reshape(image.shape)


@pytest.fixture(scope="module")
def holed():
    """Photographs of 32 pixels, an order of pixels by smooth maps, and how many are removed."""
    from scipy.ndimage import gaussian_filter

    x = torch.from_numpy(photographs(96, 32)).float() / 255
    noise = np.random.Generator(np.random.PCG64(1)).random((96, 32, 32))
    maps = np.stack([gaussian_filter(one, 1.0) for one in noise]).reshape(96, -1)
    return x, torch.from_numpy(maps.argsort(1)[:, ::-1].copy()), [round(1024 * k / 10) for k in range(1, 10)]


def masks(order, counts):
    """Which pixels are removed, of each order at each count."""
    found = np.zeros((len(order), len(counts), 1024), dtype=bool)
    for image, places in enumerate(order.numpy()):
        for k, count in enumerate(counts):
            found[image, k, places[:count]] = True
    return found.reshape(-1, 32, 32)


@pytest.mark.benchmark(group="ROAD imputation, 32 pixels, 10 to 90 %, 96 images", timer=time.process_time)
def test_imputation_together(benchmark, holed):
    x, order, counts = holed
    found = benchmark(lambda: [imputation.imputed(x, order, count) for count in counts])
    for k, count in zip((0, 4, 8), (counts[0], counts[4], counts[8]), strict=True):
        mask = np.zeros(1024, dtype=bool)
        mask[order[0, :count]] = True
        np.testing.assert_allclose(found[k][0], solved(x[0].numpy(), mask.reshape(32, 32)), atol=1e-3)


@pytest.mark.benchmark(group="ROAD imputation, 32 pixels, 10 to 90 %, 96 images", timer=time.process_time)
def test_imputation_one_at_a_time(benchmark, holed):
    x, order, counts = holed

    def each():
        for count in counts:
            for image, places in zip(x.numpy(), order[:, :count].numpy(), strict=True):
                mask = np.zeros(1024, dtype=bool)
                mask[places] = True
                solved(image, mask.reshape(32, 32))

    benchmark.pedantic(each, rounds=1)


@pytest.mark.speed
def test_imputation_together_is_faster_than_one_at_a_time(faster, holed):
    x, order, counts = holed
    few = [(image, mask) for image in x[:8].numpy() for mask in masks(order[:1], counts)]
    share = len(few) / (len(x) * len(counts))
    # 8.0 times as measured; sparse solves are of a part of the images.
    faster(
        lambda: [solved(*one) for one in few],
        lambda: [imputation.imputed(x, order, count) for count in counts],
        3,
        share,
    )


@pytest.fixture(scope="module")
def large():
    """Images of 160 pixels, and an order of pixels that takes whole regions, as Grad-CAM does."""
    from scipy.ndimage import gaussian_filter

    x = torch.from_numpy(photographs(96, 32)[:2]).float() / 255
    x = torch.nn.functional.interpolate(x, size=(160, 160), mode="bilinear")
    noise = np.random.Generator(np.random.PCG64(1)).random((2, 160, 160))
    maps = np.stack([gaussian_filter(one, 20.0) for one in noise]).reshape(2, -1)
    return x, torch.from_numpy(maps.argsort(1)[:, ::-1].copy()), [round(25600 * k / 10) for k in (1, 5, 9)]


@pytest.mark.benchmark(group="ROAD imputation, 160 pixels, 10, 50, 90 %", timer=time.process_time)
@pytest.mark.parametrize("way", ["half the image first", "from zeros"])
def test_imputation_of_large_images(benchmark, large, monkeypatch, way):
    x, order, counts = large
    if way == "from zeros":
        monkeypatch.setattr(imputation, "LARGE", 10**6)
    found = benchmark.pedantic(lambda: [imputation.imputed(x, order, c) for c in counts], rounds=2)
    assert all(torch.isfinite(f).all() for f in found)
