"""Which numbers a score is made of, where two of a kind stand beside each other: planted ones are apart."""

import csv
import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lthbench import registry, scoring
from lthbench.functional import (
    compositions,
    concept_bottleneck,
    craft,
    dissection,
    faithfulness,
    image_similarity,
    mis,
    saliency_maps,
    unit_activations,
)
from lthbench.kinds import Maps, Metric
from lthbench.metrics import bottleneck, concept_match
from lthbench.metrics import craft as concepts

IMAGES, SIDE = 4, 4
KINDS = ("gradient", "ig", "gradcam")
PIXELS = SIDE * SIDE


def measured(name, context):
    return {(v.score, v.variant): v for v in registry.get(Metric, name).measure(context)}


def ones(count):
    """Maps of so many relevant pixels, the last ones: their Gini index is the share of the others."""
    flat = np.arange(PIXELS) >= PIXELS - count
    return np.tile(flat.reshape(SIDE, SIDE).astype(np.float32), (IMAGES, 1, 1))


def maps_of(*kinds, gaps=(0.0,) * IMAGES):
    """Maps of five kinds, or one for all of them."""
    five = kinds if len(kinds) > 1 else kinds * 5
    return Maps(*(*five, np.array(gaps, np.float32)))


def explained(maps, **more):
    """What metrics of maps see: a network and images, of which nothing is known."""
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(PIXELS, 3)).eval()
    shown = SimpleNamespace(pixels=np.zeros((IMAGES, 1, SIDE, SIDE), np.uint8), labels=np.arange(IMAGES) % 3)
    given = {"network": lambda: model, "images": lambda name: shown, "maps": lambda *of: maps, "own": False}
    return SimpleNamespace(**given | more)


# ----------------------------------------------------------------------------------------------------- maps


def test_each_kind_of_map_has_its_gini_index():
    maps = maps_of(*map(ones, (1, 2, 3, 4, 5)), gaps=(0.01, 0.2, 0.02, np.nan))
    found = measured("gini", explained(maps))
    shown = {
        ("gradient_gini", ""): maps.gradient,
        ("gradient_gini", "sum over channels"): maps.gradient_sum,
        ("ig_gini", ""): maps.ig,
        ("ig_gini", "signed sum over channels"): maps.ig_signed,
        ("gradcam_gini", ""): maps.gradcam,
    }
    for place, kind in shown.items():
        assert found[place].value == pytest.approx(1 - kind[0].sum() / PIXELS), place
    assert found["ig_gap", "share above 5 %"].value == pytest.approx(1 / 3)


def first_pixel(model, images, labels, order):
    """Curves as high as the first pixel of an order stands in its image."""
    return np.tile(order[:, 0].numpy() / PIXELS, (1 + len(faithfulness.SHARES), 1))


def at_random():
    """The pixels of the images in the order of maps by chance."""
    return saliency_maps.ranked(saliency_maps.random_maps((IMAGES, SIDE, SIDE)))


def test_the_road_of_a_random_order_is_that_of_no_map(monkeypatch):
    monkeypatch.setattr(faithfulness, "road", first_pixel)
    map_of = np.arange(1.0, PIXELS * IMAGES + 1, dtype=np.float32).reshape(IMAGES, SIDE, SIDE)
    found = measured("road", explained(maps_of(map_of)))
    assert found["gradient_road_gap", "MoRF"].value == pytest.approx(15 / 16)
    assert found["gradient_road_gap", "LeRF"].value == 0.0
    chance = at_random()[:, 0].mean() / PIXELS
    assert 0.1 < chance < 0.9
    assert found["road_random", ""].value == pytest.approx(chance)
    assert found["road_accuracy", "random 50 %"].value == pytest.approx(chance)


def test_the_headline_of_deletion_is_by_the_map_and_its_variant_by_chance(monkeypatch):
    def regions(model, images, labels, maps):
        return np.stack([np.ones(IMAGES), 1.0 - maps.reshape(IMAGES, -1).argmax(1) / PIXELS])

    monkeypatch.setattr(faithfulness, "deletion", first_pixel)
    monkeypatch.setattr(faithfulness, "insertion", first_pixel)
    monkeypatch.setattr(faithfulness, "regions", regions)
    monkeypatch.setattr(faithfulness, "STEPS", 9)
    found = measured("deletion", explained(maps_of(ones(1))))
    chance = at_random()[:, 0].mean() / PIXELS
    for kind in KINDS:
        for name, part in (("deletion", 1.0), ("insertion", 1.0), ("aopc", 0.5)):
            assert found[f"{kind}_{name}", ""].value == pytest.approx(part * 15 / 16)
            assert found[f"{kind}_{name}", "random attribution"].value == pytest.approx(part * chance)
        assert found["label_probability", f"{kind} deletion 0 %"].value == pytest.approx(15 / 16)


def test_maps_agree_where_they_are_for_the_class_that_the_dense_parent_predicts():
    def sees(labels):
        maps = {"labels": labels, "reference": np.arange(PIXELS)}
        arrays = {of: np.tile(m.reshape(SIDE, SIDE).astype(np.float32), (2, 1, 1)) for of, m in maps.items()}
        return lambda name, of="labels": maps_of(arrays[of])

    ours, theirs = sees(np.arange(PIXELS)[::-1]), sees(np.roll(np.arange(PIXELS), 5))
    context = SimpleNamespace(own=False, maps=ours, reference=SimpleNamespace(maps=theirs))
    found = measured("agreement", context)
    for kind in KINDS:
        assert found[f"{kind}_rho", ""].value == pytest.approx(1.0)
        assert found[f"{kind}_iou", ""].value == 1.0


# ----------------------------------------------------------------------------------------------------- units


class Choices:
    """Planted shares of right choices; those of the soft score are other ones."""

    def __init__(self, hard):
        self.shares = np.array(hard)

    def hard(self):
        return self.shares

    def soft(self):
        return self.shares / 10.0


def test_the_shares_of_right_choices_are_hard_ones_but_for_the_soft_score(monkeypatch):
    hard = np.array([*np.linspace(0.5, 1.0, 21), np.nan])
    monkeypatch.setattr(unit_activations, "pooled", lambda *of: {"a": np.zeros((2, 1))})
    monkeypatch.setattr(image_similarity, "embedded", lambda pixels: None)
    monkeypatch.setattr(mis, "choices", lambda *of: Choices(hard))
    found = measured("mis", explained(None, layers=lambda: ("a",)))
    values = {place: value.value for place, value in found.items()}
    assert values == pytest.approx(
        {
            ("mis", ""): 0.75,
            ("mis_soft", ""): 0.075,
            ("mis", "5th percentile"): 0.525,
            ("mis", "95th percentile"): 0.975,
            ("mis", "chance"): 0.5,
        }
    )


def test_choices_of_all_layers_are_pooled_and_classes_have_their_accuracies(monkeypatch):
    shares = {"a": [0.5, 0.7, np.nan], "b": [0.9], "softmax": [0.6, 0.8, 1.0]}
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    right = np.array([1, 0, 0, 0, 1, 1, 0])
    logits = SimpleNamespace(values=np.eye(3)[np.where(right, labels, (labels + 1) % 3)], labels=labels)
    attached = {}
    monkeypatch.setattr(unit_activations, "blocks", lambda model: ("a", "b"))
    monkeypatch.setattr(unit_activations, "means", lambda *of: ({"a": "a", "b": "b"}, "softmax"))
    monkeypatch.setattr(image_similarity, "embedded", lambda pixels: None)
    monkeypatch.setattr(mis, "choices", lambda units, vectors, relative: Choices(shares[units]))
    context = explained(None, logits=lambda name: logits, attach=attached.__setitem__)
    found = {place: value.value for place, value in measured("mis-layers", context).items()}
    assert found == pytest.approx(
        {
            ("mis_layers", ""): 0.7,
            ("mis_layers", "a"): 0.6,
            ("mis_layers", "b"): 0.9,
            ("mis_softmax", ""): 0.8,
        }
    )
    rows = csv.DictReader(io.StringIO(attached["mis.csv"].decode()))
    assert [(row["unit"], row["accuracy"]) for row in rows if row["layer"] == "softmax"] == [
        ("1", "0.25"),
        ("2", "1"),
        ("3", "0"),
    ]


@pytest.fixture
def units(monkeypatch):
    """Activations of five units, the last one dead, and their context."""
    maps = np.random.default_rng(0).random((IMAGES, 5, 2, 2), np.float32)
    maps[:, 4] = 0.25
    monkeypatch.setattr(unit_activations, "activations", lambda *of: {"a": maps})
    bank = SimpleNamespace(pixels=np.zeros(IMAGES), names=("red", "wheel"), categories=("colour", "part"))
    more = {"concepts": lambda: bank, "layers": lambda: ("a",), "attach": lambda name, content: None}
    return explained(None, **more)


def test_draws_of_units_are_the_scores_of_groups_as_often_as_they_are_drawn(units, monkeypatch):
    draw = np.random.default_rng(0)
    shared = draw.integers(1, 30, (dissection.GROUPS, 5, 2))
    on, labelled = shared.sum(2) + draw.integers(0, 40, shared.shape[:2]), shared.sum(1) + 20
    dead = np.array([False] * 4 + [True])
    counted = dissection.Tally(shared, on, labelled, dead)
    monkeypatch.setattr(dissection, "tally_layers", lambda *of, **shift: counted)
    monkeypatch.setattr(dissection, "as_csv", lambda *of: b"")
    monkeypatch.setattr(dissection, "side_of", lambda bank: 100)
    found = measured("dissection", units)["mean_best_iou", ""]

    def score(places):
        both, first, second = (part[places].sum(0) for part in (shared, on, labelled))
        ious = both / (first[:, None] + second - both)
        return np.append(ious[:4].max(1), 0.0).mean()

    groups = np.arange(dissection.GROUPS)
    assert found.value == pytest.approx(score(groups))
    for r in (0, 7, 199):
        times = scoring.resamples(dissection.GROUPS)[r].astype(int)
        assert found.draws[r] == pytest.approx(score(np.repeat(groups, times)))
    assert found.se == pytest.approx(found.draws.std(ddof=1))
    assert found.se > 0


def test_draws_of_formulas_are_those_of_their_own_length(units, monkeypatch):
    draw = np.random.default_rng(0)
    words = np.zeros(1, np.uint64)
    formulas = {n: compositions.Formula(str(n), words, iou) for n, iou in ((3, 0.5), (2, 0.4), (1, 0.25))}
    inside = {str(n): draw.integers(1, 9, (5, 20)).astype(float) for n in (1, 3)}
    either = {text: part + draw.integers(0, 9, part.shape) for text, part in inside.items()}
    monkeypatch.setattr(compositions, "Packed", lambda *of: None)
    monkeypatch.setattr(compositions, "search", lambda *of: formulas)
    monkeypatch.setattr(
        compositions, "by_group", lambda packed, place, of: (inside[of.text][place], either[of.text][place])
    )
    found = measured("composition", units)
    for score, text in (("composition_iou", "3"), ("composition_iou_1", "1")):
        for r in (0, 7, 199):
            places = np.repeat(np.arange(20), scoring.resamples(20)[r].astype(int))
            ious = inside[text][:, places].sum(1) / either[text][:, places].sum(1)
            assert found[score, ""].draws[r] == pytest.approx(ious[:4].sum() / 5)
        assert found[score, ""].se == pytest.approx(found[score, ""].draws.std(ddof=1))


# -------------------------------------------------------------------------------------------------- concepts


def test_concepts_are_matched_with_those_of_the_dense_parent(monkeypatch):
    draw = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 12)
    made = {name: draw.random((36, craft.CONCEPTS)) for name in ("ours", "dense")}
    crops = craft.Crops(np.zeros((36, 1, 1, 1), np.uint8), np.arange(36), labels)
    monkeypatch.setattr(concepts, "crops_of", lambda context: crops)
    monkeypatch.setattr(concepts, "activations_of", lambda context, crops: made[context.name])
    monkeypatch.setattr(craft, "factored", lambda amounts: craft.Concepts(amounts, np.eye(10), 0.0))
    monkeypatch.setattr(concept_match, "_pictured", lambda *of: b"")
    context = SimpleNamespace(
        name="ours",
        own=False,
        attach=lambda name, content: None,
        images=lambda name: SimpleNamespace(labels=labels),
        reference=SimpleNamespace(name="dense"),
    )
    found = measured("concept-match", context)["concept_match", ""]
    ours, theirs = (craft.Concepts(made[name], np.eye(10), 0.0) for name in ("ours", "dense"))
    assert found.value == pytest.approx(craft.matched(ours, theirs)[0])
    assert found.value < 0.6


def test_a_head_reads_the_concepts_that_dense_tells(monkeypatch):
    """And that the network's images tell at all, however well."""
    auc = {"ours": [0.9, 0.5, 0.5, np.nan], "dense": [0.5, 0.9, 0.8, 0.9]}
    seen = []

    def vectors(features, bank):
        return concept_bottleneck.Vectors(np.eye(4), np.zeros(4), np.array(auc[str(features)]))

    monkeypatch.setattr(unit_activations, "pooled", lambda model, layers, pixels: {layers[0]: model})
    monkeypatch.setattr(concept_bottleneck, "vectors", vectors)
    monkeypatch.setattr(concept_bottleneck, "head", lambda found, kept, *pairs: seen.append(kept.tolist()))
    logits = SimpleNamespace(values=np.eye(2)[[0, 1] * 6], labels=np.array([0, 1] * 6))
    images = SimpleNamespace(pixels=None, labels=logits.labels)
    given = {"layers": lambda: ("a",), "concepts": lambda: images, "images": lambda name: images}
    given["logits"] = lambda name: logits
    reference = SimpleNamespace(network=lambda: "dense", **given)
    context = SimpleNamespace(network=lambda: "ours", own=False, reference=reference, **given)
    bottleneck.read(context)
    assert seen == [[False, True, True, False]]
