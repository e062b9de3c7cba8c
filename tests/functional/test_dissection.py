"""Units against concepts: planted units are found, shuffled ones are not; counts by scikit-learn and brute
force.
"""

import csv
import io
import itertools
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import jaccard_score
from torch import nn

from lthbench.errors import StepFailed
from lthbench.functional import compositions, concept_bottleneck, dissection, unit_activations
from lthbench.kinds import Annotated
from lthbench.metrics import composition
from lthbench.results.unit_rows import parsed

NAMES = ("red", "green", "disc", "square", "left", "stripes", "dots", "sky")


def bank(n=60, size=16, seed=0, often=1.0):
    """Images whose first layer has two colours in blobs, and whose second has one of the other concepts."""
    draw = np.random.Generator(np.random.PCG64(seed))
    layers = np.zeros((n, 2, size, size), dtype=np.int16)
    for k in range(n):
        for layer, choices in ((0, (1, 2)), (1, (3, 4, 5, 6, 7, 8))):
            y, x = draw.integers(0, size - 4, 2)
            if draw.random() > often:
                continue
            layers[k, layer, y : y + 4, x : x + 4] = draw.choice(choices)
    categories = ("colour",) * 2 + ("shape",) * 6
    return Annotated(np.zeros((n, 3, size, size), dtype=np.uint8), layers, NAMES, categories)


def made(some, seed=0):
    """Units: one is on at green, one at green or sky, one never changes, the others are noise."""
    draw = np.random.Generator(np.random.PCG64(seed + 1))
    n, _, size, _ = some.layers.shape
    noise = draw.random((n, 6, size, size)).astype(np.float32)
    noise[:, 0] += 10 * (some.layers[:, 0] == 2) * (draw.random((n, size, size)) < 0.35)
    noise[:, 1] += (
        10 * ((some.layers[:, 0] == 2) | (some.layers[:, 1] == 8)) * (draw.random((n, size, size)) < 0.2)
    )
    noise[:, 2] = 0.25
    return noise


def on(some, activations):
    """Where each unit is on, by the definition: bool ``[units, N, size, size]``."""
    levels = np.sort(activations.transpose(1, 0, 2, 3).reshape(activations.shape[1], -1), axis=1)
    share = int(np.ceil((1 - dissection.QUANTILE) * (levels.shape[1] - 1)))
    return (activations > levels[:, share][None, :, None, None]).transpose(1, 0, 2, 3)


def concepts(some):
    return np.stack([(some.layers == k + 1).any(1) for k in range(len(some.names))])


def test_intersection_over_union_is_that_of_scikit_learn():
    some = bank()
    activations = made(some)
    found = dissection.tally(activations, some).iou()
    for u, unit in enumerate(on(some, activations)):
        assert unit.mean() <= dissection.QUANTILE
        for c, concept in enumerate(concepts(some)):
            expected = 0.0 if u == 2 else jaccard_score(concept.ravel(), unit.ravel(), zero_division=0)
            assert found[u, c] == pytest.approx(expected)


def test_a_planted_unit_is_found_and_a_shuffled_one_is_not():
    some = bank()
    activations = made(some)
    labels, scores = dissection.best(dissection.tally(activations, some).iou())
    assert NAMES[labels[0]] == "green"
    assert scores[0] > 3 * scores[3:].max()
    shuffled = dissection.tally(activations, some, shift=30)
    assert dissection.best(shuffled.iou())[1][0] < 0.5 * scores[0]
    assert shuffled.labelled.sum(0).tolist() == dissection.tally(activations, some).labelled.sum(0).tolist()


def test_maps_are_enlarged_as_pictures_are():
    """A unit on a coarse grid is compared at the masks' size, bilinear, with corners that are not aligned."""
    grid = np.random.Generator(np.random.PCG64(0)).random((5, 2, 4, 4)).astype(np.float32)
    ((_, first), *_) = dissection.active(grid, np.array([0.5, 0.5], dtype=np.float32), 16)
    from PIL import Image

    for unit in range(2):
        large = np.asarray(Image.fromarray(grid[0, unit]).resize((16, 16), Image.Resampling.BILINEAR))
        near = np.abs(large - 0.5) > 1e-5
        assert (first[unit] == (large > 0.5))[near].all()


def test_a_concept_in_two_layers_is_counted_once():
    some = bank()
    twice = some._replace(layers=np.concatenate([some.layers, some.layers[:, ::-1]], axis=1))
    activations = made(some)
    plain, doubled = (dissection.tally(activations, b) for b in (some, twice))
    np.testing.assert_array_equal(plain.iou(), doubled.iou())


def test_dead_units_detect_nothing():
    some = bank()
    counted = dissection.tally(made(some), some)
    assert counted.dead.tolist() == [False, False, True, False, False, False]
    assert not counted.iou()[2].any()


def test_groups_of_images_weigh_as_they_are_drawn():
    some = bank()
    activations = made(some)
    counted = dissection.tally(activations, some)
    found = []
    for group in range(dissection.GROUPS):
        twice = np.zeros(dissection.GROUPS)
        twice[group] = 2
        some_images = np.arange(60) % dissection.GROUPS == group
        unit, concept = on(some, activations)[0][some_images], concepts(some)[1][some_images]
        found.append(counted.iou(twice)[0, 1])
        assert found[-1] == pytest.approx(jaccard_score(concept.ravel(), unit.ravel(), zero_division=0))
    assert max(found) > 0


def test_the_ceiling_is_what_a_perfect_unit_reaches():
    some = bank()
    reach = dissection.ceiling(dissection.tally(made(some), some), some.layers[:, 0].size)
    share = concepts(some).mean((1, 2, 3))
    assert reach == pytest.approx(np.minimum(share / 0.005, 0.005 / share))
    assert (dissection.tally(made(some), some).iou() <= reach * 1.05).all()


def test_the_csv_has_the_columns_of_netdissect():
    some = bank()
    activations = {"a": made(some), "b": made(some)[:, :2]}
    counted = dissection.tally_layers(activations, some)
    rows = list(csv.DictReader(io.StringIO(dissection.as_csv(counted, activations, some).decode())))
    assert [(r["layer"], r["unit"]) for r in rows] == [
        *(("a", str(k)) for k in range(1, 7)),
        ("b", "1"),
        ("b", "2"),
    ]
    first = rows[0]
    assert (first["category"], first["label"], first["dead"]) == ("colour", "green", "0")
    counts = [int(first[name]) for name in ("truth", "activation", "intersect")]
    assert float(first["iou"]) == pytest.approx(counts[2] / (counts[0] + counts[1] - counts[2]), rel=1e-5)
    assert (rows[6]["score"], rows[6]["label"]) == (first["score"], first["label"])


# ------------------------------------------------------------------------------------------ compositions


def brute_force(some, unit):
    """The best intersection over union of all formulas ``(a op b) op c``, by length."""
    masks = concepts(some).reshape(len(some.names), -1)
    ops = (np.logical_or, np.logical_and, lambda a, b: a & ~b)

    def iou(formula):
        return (formula & unit).sum() / max((formula | unit).sum(), 1)

    pairs = [op(masks[a], masks[b]) for a, b in itertools.permutations(range(8), 2) for op in ops]
    best = {1: max(map(iou, masks)), 2: max(map(iou, pairs))}
    best[3] = max(best[2], *(iou(op(pair, mask)) for pair in pairs for mask in masks for op in ops))
    return best


def test_beam_search_finds_what_brute_force_does():
    some = bank(n=400, size=16, often=0.15)  # concepts about as rare as units are on
    activations = made(some)
    packed = compositions.Packed(activations, some)
    for u, unit in enumerate(on(some, activations)):
        found, best = compositions.search(packed, u), brute_force(some, unit.ravel())
        assert found[1].iou == pytest.approx(best[1])
        for length in (2, 3):
            assert found[length].iou <= best[length] + 1e-12
            # A unit of noise has many formulas of about the same worth: there the beam may miss the best.
            assert found[length].iou >= best[length] - (1e-3 if u < 2 else 0.02)
            assert found[length].iou >= found[length - 1].iou


def test_a_planted_formula_is_written_out():
    some = bank(n=200)
    packed = compositions.Packed(made(some), some)
    text = compositions.search(packed, 1)[2].text
    assert text in ("(green OR sky)", "(sky OR green)")


def test_a_search_among_all_candidates_is_no_worse_and_few_are_the_best_alone():
    some = bank()
    packed = compositions.Packed(made(some), some)
    every, few = (compositions.search(packed, 1, n) for n in (0, 1))
    usual = compositions.search(packed, 1)
    assert {n: f.text for n, f in every.items()} == {n: f.text for n, f in usual.items()}  # eight concepts
    assert few[1].text == usual[1].text
    assert few[3].iou <= usual[3].iou


def test_counts_by_group_add_up_to_the_formula():
    some = bank(n=50, size=10)  # pixels that fill no whole word
    packed = compositions.Packed(made(some), some)
    for unit in (0, 1, 4):
        formula = compositions.search(packed, unit)[3]
        inside, either = compositions.by_group(packed, unit, formula)
        assert inside.shape == (dissection.GROUPS,)
        assert inside.sum() / either.sum() == pytest.approx(formula.iou)


@pytest.mark.parametrize("size", [16, 13])
def test_all_concepts_are_packed_and_counted_as_one_by_one(size):
    some = bank(n=23, size=size)
    some.layers[:, 1][some.layers[:, 0] == 2] = 2  # a concept that pixels have in two layers
    packed = compositions.Packed(made(some), some)
    order = np.argsort(np.arange(23) % dissection.GROUPS, kind="stable")
    for k, concept in enumerate(concepts(some)):
        bits = np.unpackbits(packed.concepts[k].view(np.uint8)).reshape(23, -1)
        assert (bits[:, : size * size] == concept[order].reshape(23, -1)).all()
        assert not bits[:, size * size :].any()
    assert (concept_bottleneck.shares(some) == concepts(some).mean((2, 3)).T).all()


def test_a_bank_without_a_concept_in_any_image_is_no_formula():
    some = bank()
    empty = some._replace(layers=np.zeros_like(some.layers))
    packed = compositions.Packed(made(some), empty)
    assert compositions.search(packed, 0)[3].iou == 0.0


def test_formulas_of_names_with_quotes_and_commas_read_back(monkeypatch):
    some = bank()._replace(names=tuple(f'12" {name}, wide' for name in NAMES))
    monkeypatch.setattr(unit_activations, "activations", lambda *_: {"a": made(some)[:, :2]})
    kept = {}
    context = SimpleNamespace(
        concepts=lambda: some, network=lambda: None, layers=list, attach=kept.__setitem__
    )
    composition.explained(context, 2, 4, ("one", "other"))
    found = parsed(kept["formulas.csv"], "composition", "here")
    assert [(u.layer, u.unit) for u in found] == [("a", 1), ("a", 2)]
    assert '12" green, wide' in found[0].concept


# -------------------------------------------------------------------------------------------- activations


def test_means_are_those_of_the_maps_and_blocks_hold_several_convolutions():
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(3, 4, 3)
            self.stage1 = nn.Sequential(nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Conv2d(5, 6, 3))
            self.stage2 = nn.Sequential(nn.Conv2d(6, 5, 3), nn.Conv2d(5, 7, 3))
            self.fc = nn.Linear(7, 3)

        def forward(self, x):
            return self.fc(self.stage2(self.stage1(self.stem(x))).mean((2, 3)))

    net = Net().eval()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 3, 12, 12), dtype=np.uint8)
    layers = unit_activations.blocks(net)
    assert layers == ("stage1", "stage2")
    found, chances = unit_activations.means(net, layers, pixels)
    maps = unit_activations.activations(net, layers, pixels)
    for layer in layers:
        np.testing.assert_allclose(found[layer], maps[layer].mean((2, 3)), rtol=1e-5, atol=1e-6)
    expected = torch.softmax(net(torch.from_numpy(pixels) / 255.0), 1).detach().numpy()
    np.testing.assert_allclose(chances, expected, rtol=1e-5)
    with pytest.raises(StepFailed, match="layer 'fc' has no grid of units"):
        unit_activations.means(net, ("fc",), pixels)


def test_activations_are_those_of_the_layers():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.Flatten()).eval()
    model.requires_grad_(False)
    pixels = np.random.Generator(np.random.PCG64(0)).integers(0, 256, (70, 3, 9, 9), dtype=np.uint8)
    found = unit_activations.activations(model, ("1", "2"), pixels)
    x = torch.from_numpy(pixels).float() / 255
    np.testing.assert_allclose(found["1"], model[:2](x), atol=1e-6)
    np.testing.assert_allclose(found["2"], model[:3](x), atol=1e-6)
    for layer, said in (("9", "no layer '9'"), ("3", "'3' has no grid")):
        with pytest.raises(StepFailed, match=said):
            unit_activations.activations(model, (layer,), pixels)
    model[0].bias[1] = float("nan")
    with pytest.raises(StepFailed, match="not finite"):
        unit_activations.activations(model, ("1",), pixels)


def peak_of(function):
    """The bytes that a function takes at most beyond what there was."""
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_thresholds_are_found_for_a_few_units_at_a_time(monkeypatch):
    activations = np.random.default_rng(0).random((50, 64, 20, 20), dtype=np.float32)
    whole = dissection.thresholds(activations)
    expected = np.quantile(activations, 1 - dissection.QUANTILE, axis=(0, 2, 3), method="higher")
    np.testing.assert_array_equal(whole, expected)
    monkeypatch.setattr(dissection, "BLOCK", 5 * 50 * 20 * 20)
    np.testing.assert_array_equal(dissection.thresholds(activations), whole)
    assert peak_of(lambda: dissection.thresholds(activations)) < 0.5 * activations.nbytes
    assert peak_of(lambda: unit_activations.dead(activations)) < 0.5 * activations.nbytes


def test_a_thousand_concepts_of_which_an_image_has_few_take_little_memory():
    """As bits of all images, those of Broden would be 119 GB, and again as much for each unit."""
    some = bank(n=200, size=48)
    some = some._replace(names=tuple(map(str, range(1000))), categories=("object",) * 1000)
    planted, coarse = made(some)[:, :2], np.random.default_rng(0).random((200, 1, 6, 6), dtype=np.float32)

    def searched():
        packed = compositions.Packed(planted, some)
        assert compositions.search(packed, 0)[3].iou > 0.0

    assert peak_of(searched) < 0.2 * (1000 * 200 * 48 * 48 // 8)
    assert peak_of(lambda: dissection.tally(coarse, some)) < some.layers.nbytes


def test_activations_beyond_the_memory_of_the_machine_name_the_number_of_images(monkeypatch):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2)).eval()
    monkeypatch.setattr(unit_activations, "beyond", lambda needed: f"{needed} bytes")
    with pytest.raises(StepFailed, match=r"on 70 images take 40320 bytes: set concept_images"):
        unit_activations.activations(model, ("1",), np.zeros((70, 3, 8, 8), dtype=np.uint8))


def test_the_strongest_images_of_units_are_those_of_the_largest_peaks():
    activations = made(bank())
    images, on = dissection.strongest(activations, 5)
    cuts = dissection.thresholds(activations)
    for unit in (0, 1, 3):
        peaks = activations[:, unit].reshape(len(activations), -1).max(1)
        assert peaks[images[unit]].tolist() == sorted(peaks, reverse=True)[:5]
        np.testing.assert_array_equal(on[unit], activations[images[unit], unit] > cuts[unit])
    assert images.shape == (6, 5)


class Lazy:
    """Images as a stream has them: no more than a batch may be decoded at once."""

    def __init__(self, pixels, most):
        self.pixels, self.most = pixels, most
        self.shape, self.dtype, self.nbytes = pixels.shape, pixels.dtype, pixels.nbytes

    def __len__(self):
        return len(self.pixels)

    def __getitem__(self, chosen):
        found = self.pixels[chosen]
        assert len(found) <= self.most
        return found


def test_pooled_units_are_the_means_of_their_maps_to_the_bit():
    pixels = np.random.default_rng(0).integers(0, 256, (70, 3, 32, 32), dtype=np.uint8)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU()).eval()
    maps = unit_activations.activations(model, ("1", "3"), pixels)
    found = unit_activations.pooled(model, ("1", "3"), Lazy(pixels, 32))
    assert list(found) == ["1", "3"]
    for layer, units in found.items():
        np.testing.assert_array_equal(units, maps[layer].mean((2, 3)))


@torch.no_grad()
def test_activations_in_place_change_no_units():
    """What a layer gives is kept as it is, whatever is done to it after."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 2)).eval()
    found = unit_activations.activations(model, ("0", "1"), pixels)
    expected = model[0](torch.from_numpy(pixels).float() / 255.0).numpy()
    assert expected.min() < 0.0
    np.testing.assert_allclose(found["0"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["1"], expected.clip(min=0.0), rtol=1e-5, atol=1e-6)
    means, _ = unit_activations.means(model, ("0",), pixels)
    np.testing.assert_allclose(means["0"], expected.mean((2, 3)), rtol=1e-4, atol=1e-6)


def test_a_layer_that_is_called_twice_has_no_maps_of_its_own():
    shared = nn.Conv2d(1, 1, 3, padding=1)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Flatten(), nn.Linear(64, 2)).eval()
    pixels = np.zeros((5, 1, 8, 8), dtype=np.uint8)
    for look in (unit_activations.activations, unit_activations.means):
        with pytest.raises(StepFailed, match="layer '0' is called more than once"):
            look(model, ("0",), pixels)
