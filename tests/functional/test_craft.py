"""CRAFT: Sobol indices against closed forms and SciPy, factors that are planted, and what is said of
concepts.
"""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from lthbench.functional import craft
from lthbench.networks.vision_transformer import VisionTransformer
from lthbench.spec import Network


def concepts(n=200, units=12, seed=0):
    """Factors of disjoint units: concept k is in the crops k, k + 10, ..., more of it in the first."""
    draw = np.random.Generator(np.random.PCG64(seed))
    amounts = np.zeros((n, craft.CONCEPTS))
    amounts[np.arange(n), np.arange(n) % craft.CONCEPTS] = 1.0 + draw.random(n)
    return craft.Concepts(amounts, draw.random((craft.CONCEPTS, units)), 0.0)


# ------------------------------------------------------------------------------------------------- Sobol


def test_total_indices_of_a_sum_are_its_shares_and_add_up_to_one():
    weights = np.array([5.0, 3.0, 2.0, 1.0, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0])
    found = craft.total_sobol(lambda masks: (masks @ weights)[:, None], 10)[:, 0]
    expected = weights**2 / (weights**2).sum()
    assert found.sum() == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(found, expected, atol=0.04)
    assert (found[6:] == 0).all()


def test_total_indices_are_those_of_scipy_and_of_the_closed_form():
    def ishigami(x):
        x = (2 * x - 1) * np.pi
        return np.sin(x[:, 0]) + 7 * np.sin(x[:, 1]) ** 2 + 0.1 * x[:, 2] ** 4 * np.sin(x[:, 0])

    found = craft.total_sobol(lambda masks: ishigami(masks)[:, None], 3, 4096)[:, 0]
    theirs = stats.sobol_indices(
        func=lambda x: ishigami(x.T), n=4096, dists=[stats.uniform(0, 1)] * 3, rng=np.random.default_rng(1)
    )
    np.testing.assert_allclose(found, theirs.total_order, atol=0.03)
    np.testing.assert_allclose(found, [0.5576, 0.4424, 0.2437], atol=0.02)


def test_the_estimator_is_that_of_jansen():
    first, second = craft.design(4, 64)

    def function(x):
        return (x[:, :1] * x[:, 1:2] + x[:, 2:3] ** 2) * 3

    plain = function(first)
    variance = np.concatenate([plain, function(second)]).var()
    found = craft.total_sobol(function, 4, 64)
    for k in range(4):
        mixed = np.where(np.arange(4) == k, second, first)
        assert found[k, 0] == pytest.approx(
            ((plain - function(mixed)) ** 2).sum() / (2 * 64 * variance), abs=1e-12
        )
    assert not craft.total_sobol(lambda x: np.ones((len(x), 2)), 4, 64).any()


# ------------------------------------------------------------------------------------------------- crops


def test_crops_are_parts_of_their_images_enlarged():
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    made = craft.cropped(pixels, np.array([5, 1, 5]))
    assert made.pixels.shape == (48, 3, 32, 32)
    assert made.image.tolist() == [0] * 16 + [1] * 16 + [2] * 16
    assert set(made.labels[made.image == 1]) == {1}
    crop = torch.from_numpy(pixels[1:2, :, 0:9, 7:16]).float()
    large = nn.functional.interpolate(crop, (32, 32), mode="bilinear", align_corners=False)
    assert np.abs(made.pixels[17].astype(float) - large[0].numpy()).max() <= 0.51


def test_large_crops_are_enlarged_a_few_at_a_time(monkeypatch):
    """As floats, those of 150 images of 224 pixels would be 1.4 GB, three times."""
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (3, 3, 32, 32), dtype=np.uint8)
    whole, seen, plain = craft.cropped(pixels, np.arange(3)), [], nn.functional.interpolate
    monkeypatch.setattr(craft, "BLOCK", 20)
    monkeypatch.setattr(
        nn.functional, "interpolate", lambda x, *a, **k: seen.append(len(x)) or plain(x, *a, **k)
    )
    np.testing.assert_array_equal(craft.cropped(pixels, np.arange(3)).pixels, whole.pixels)
    assert seen == [20, 20, 8]


def test_planted_concepts_are_found_again():
    planted = concepts()
    planted = planted._replace(directions=np.eye(craft.CONCEPTS, 12) + 0.0)
    found = craft.factored((planted.amounts @ planted.directions).astype(np.float32))
    assert found.lost < 0.02
    correlation, columns = craft.matched(found, planted)
    assert correlation > 0.98
    assert sorted(columns) == list(range(craft.CONCEPTS))
    again = craft.factored((planted.amounts @ planted.directions).astype(np.float32))
    np.testing.assert_array_equal(found.amounts, again.amounts)


@pytest.mark.parametrize("units", [1, 4, 9])
def test_a_layer_of_fewer_units_than_concepts_has_concepts_as_well(units):
    """As many as any other, so that it can be compared: the units themselves would do."""
    draw = np.random.Generator(np.random.PCG64(0))
    activations = (draw.random((60, units)) * (draw.random((60, units)) < 0.5)).astype(np.float32)
    found = craft.factored(activations)
    assert found.amounts.shape == (60, craft.CONCEPTS)
    assert found.directions.shape == (craft.CONCEPTS, units)
    assert found.lost < 0.02
    scaled = activations / activations.max()
    np.testing.assert_allclose(found.amounts @ found.directions, scaled, atol=0.05)
    assert craft.matched(found, craft.factored(draw.random((60, 12)).astype(np.float32)))[1].shape == (10,)
    assert 0.0 <= craft.redundancy(found) <= 1.0 + 1e-9
    assert not craft.factored(np.zeros((60, units), dtype=np.float32)).amounts.any()


def test_concepts_match_whatever_their_order_and_size():
    ours = concepts()
    order = np.random.Generator(np.random.PCG64(1)).permutation(craft.CONCEPTS)
    theirs = ours._replace(amounts=7 * ours.amounts[:, order])
    value, columns = craft.matched(ours, theirs)
    assert value == pytest.approx(1.0)
    assert order[columns].tolist() == list(range(craft.CONCEPTS))
    shuffled = ours._replace(amounts=ours.amounts[np.random.Generator(np.random.PCG64(2)).permutation(200)])
    assert craft.matched(ours, shuffled)[0] < 0.3


def test_top_crops_are_of_different_images():
    ours = concepts()
    crops = craft.Crops(np.zeros((200, 1, 1, 1), np.uint8), np.arange(200) // 40, np.arange(200) // 100)
    for k, top in enumerate(craft.tops(ours, crops)):
        assert len(set(crops.image[top])) == len(top) == 5
        for image in range(5):
            mine = ours.amounts[image * 40 : image * 40 + 40, k]
            assert mine.max() == pytest.approx(ours.amounts[top[crops.image[top] == image][0], k])


def test_purity_is_one_for_one_class_and_zero_for_all_alike():
    ours = concepts()
    single = craft.Crops(np.zeros((200, 1, 1, 1), np.uint8), np.arange(200), np.arange(200) % 10 // 5)
    np.testing.assert_allclose(craft.purity(ours, single), 1.0)
    mixed = craft.Crops(np.zeros((200, 1, 1, 1), np.uint8), np.arange(200), np.arange(200) // 10 % 2)
    assert (craft.purity(ours, mixed) < 0.6).all()
    split = craft.purity(
        ours._replace(amounts=np.ones_like(ours.amounts)), mixed._replace(labels=np.arange(200) % 2)
    )
    np.testing.assert_allclose(split, 0.0, atol=1e-12)


def test_redundancy_is_one_for_doubled_concepts_and_zero_for_orthogonal_ones():
    ours = concepts(units=10)
    assert craft.redundancy(ours._replace(directions=np.eye(10))) == pytest.approx(0.0)
    doubled = np.repeat(np.eye(10)[:5], 2, axis=0) * np.arange(1, 11)[:, None]
    assert craft.redundancy(ours._replace(directions=doubled)) == pytest.approx(1.0)


def test_coherence_is_high_where_top_crops_look_alike():
    ours = concepts()
    crops = craft.Crops(np.zeros((200, 1, 1, 1), np.uint8), np.arange(200), np.zeros(200, np.int64))
    alike = np.eye(craft.CONCEPTS)[np.arange(200) % craft.CONCEPTS].astype(np.float32)
    np.testing.assert_allclose(
        craft.coherence(ours, crops, alike), 1 - (20 * 10 * 19) / (200 * 199), atol=1e-6
    )
    noise = np.random.Generator(np.random.PCG64(0)).normal(size=(200, 30)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    assert np.abs(craft.coherence(ours, crops, noise)).max() < 0.15


def test_importance_follows_what_the_head_reads():
    """A head that reads one unit alone: only the concept of that unit matters."""
    model = nn.Sequential(
        nn.Conv2d(1, 12, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 2)
    )
    model.requires_grad_(False).eval()
    model[0].weight.fill_(1.0)
    model[0].bias.zero_()
    model[4].weight.zero_()
    model[4].weight[1, 3] = 5.0
    given = craft.Concepts(np.zeros((1, 10)), np.eye(10, 12), 0.0)
    pixels = np.full((2, 1, 4, 4), 200, dtype=np.uint8)
    found = craft.importance(model, "1", pixels, 1, given, 1.0)
    assert found[3] == pytest.approx(1.0, abs=0.05)
    assert np.abs(np.delete(found, 3)).max() < 1e-9
    assert not craft.importance(model, "1", pixels, 0, given, 1.0).any()


@torch.no_grad()
def test_with_all_concepts_a_layer_is_as_large_as_it_was(monkeypatch):
    """The logits are then the network's own: activations were divided by their largest, and are enlarged."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 10, 1), nn.ReLU(), nn.Flatten(), nn.Linear(160, 2)).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 4, 4), dtype=np.uint8)
    x = torch.from_numpy(pixels).float() / 255.0
    scale = 0.25 * float(model[:2](x).max())
    given = craft.Concepts(np.zeros((1, 10)), np.eye(10), 0.0)
    monkeypatch.setattr(craft, "total_sobol", lambda logit, count: logit(np.ones((count, count))))
    found = craft.importance(model, "1", pixels, 1, given, scale)
    assert found == pytest.approx(float(model(x)[:, 1].mean()), rel=1e-4)


@torch.no_grad()
def test_maps_in_place_of_a_layers_are_left_as_they_are():
    """What follows the layer may overwrite them, and may be done again for all maps apart."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(32, 2)).eval()
    grid = torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    before = grid.clone()
    craft._headed(model, "0", np.zeros((1, 4, 4), dtype=np.uint8), grid)
    assert torch.equal(grid, before)


@torch.no_grad()
def test_what_comes_before_the_maps_of_a_transformer_is_computed_once():
    """Logits of several maps in place of one image's: as of that image each time, and of one pass before."""
    torch.manual_seed(0)
    network = Network("vit-tiny", 2, 4, 3, 16, (0.5,) * 3, (0.25,) * 3, (8, 16))
    model = VisionTransformer(network, (8, 16), 3, 2, 4).eval()
    model.head.weight.normal_()
    image = np.random.default_rng(0).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    grid = torch.randn(5, 16, 4, 4)
    seen = []
    model.blocks[1].register_forward_hook(lambda module, arguments, made: seen.append(len(made)))
    found = craft._headed(model, "grid", image, grid)
    assert seen == [1]
    model.grid.register_forward_hook(lambda module, arguments, made: grid)
    pixels = torch.from_numpy(image)[None].float() / 255.0
    np.testing.assert_allclose(found, model(pixels.expand(5, -1, -1, -1)).numpy(), atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-3
