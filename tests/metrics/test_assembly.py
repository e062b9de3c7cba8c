"""Scores made of what is computed elsewhere, which constants stand for here: names, variants and signs."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lthbench import registry
from lthbench.execution.measure import check
from lthbench.functional import (
    compositions,
    concept_bottleneck,
    craft,
    curvature,
    directional_curvature,
    dissection,
    faithfulness,
    image_similarity,
    saliency_maps,
    unit_activations,
)
from lthbench.functional import lime as linear
from lthbench.kinds import Maps, Metric
from lthbench.metrics import craft as concepts

IMAGES = 4
KINDS = ("gradient", "ig", "gradcam")


@pytest.fixture
def context():
    """A linear network and images, whose last pixel is the most relevant one in every map."""
    map_of = np.arange(1.0, IMAGES * 16 + 1, dtype=np.float32).reshape(IMAGES, 4, 4)
    maps = Maps(map_of, map_of, map_of, map_of, map_of, np.zeros(IMAGES, np.float32))
    shown = SimpleNamespace(pixels=np.zeros((IMAGES, 1, 4, 4), np.uint8), labels=np.arange(IMAGES) % 3)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 3)).eval()
    bank = SimpleNamespace(
        pixels=np.zeros(IMAGES), names=("red", "wheel"), categories=("colour", "part"), labelled=None
    )
    given = {
        "network": lambda: model,
        "images": lambda name: shown,
        "maps": lambda *of: maps,
        "held": lambda: None,
        "layers": lambda: ("1",),
        "concepts": lambda: bank,
        "attach": lambda name, content: None,
        "own": False,
    }
    return SimpleNamespace(**given, reference=SimpleNamespace(**given))


def measured(name, context):
    return {(v.score, v.variant): v.value for v in registry.get(Metric, name).measure(context)}


def each(value):
    return np.full(IMAGES, value)


def test_the_road_gap_is_high_where_the_most_relevant_pixels_are_missed_more(context, monkeypatch):
    def curve(model, images, labels, order):
        first = order[:, 0] == 15
        return np.tile(np.where(first, 0.25, 0.75), (1 + len(faithfulness.SHARES), 1))

    monkeypatch.setattr(faithfulness, "road", curve)
    found = measured("road", context)
    for kind in KINDS:
        assert found[f"{kind}_road_gap", "MoRF"] == pytest.approx(0.25)
        assert found[f"{kind}_road_gap", "LeRF"] == pytest.approx(0.75)
        assert found[f"{kind}_road_gap", ""] == pytest.approx(0.5)
        assert found["road_accuracy", f"{kind} MoRF 50 %"] == 0.25


def test_each_score_of_lime_has_its_field(context, monkeypatch):
    fields = linear.Linear(*map(each, (0.5, 1.5, 2.5, 3.5, 4.5)))
    monkeypatch.setattr(linear, "explained", lambda model, pixels: fields)
    assert measured("lime", context) == {
        ("lime_fidelity", ""): 0.5,
        ("lime_unexplained", ""): 1.5,
        ("lime_stability", ""): 2.5,
        ("lime_stability", "per segment"): 3.5,
        ("lime_instability", ""): 4.5,
    }


def test_each_trace_has_its_name_and_is_divided_by_the_number_of_parameters(context, monkeypatch):
    monkeypatch.setattr(curvature, "traces", lambda *of: curvature.Traces(*map(each, (1.0, 2.0, 3.0))))
    found = measured("hessian", context)
    assert found["hessian_trace", ""] == 1.0
    assert found["hessian_trace_per_parameter", ""] == pytest.approx(1 / (16 * 3 + 3))
    assert found["hessian_trace_scaled", ""] == 2.0
    assert found["input_hessian_trace", ""] == 3.0


def test_traces_stay_where_there_is_no_eigenvalue(context, monkeypatch):
    monkeypatch.setattr(curvature, "traces", lambda *of: curvature.Traces(*map(each, (1.0, 2.0, 3.0))))
    monkeypatch.setattr(curvature, "no_exact_trace", lambda *of: "it is curved")

    def fails(*of):
        raise RuntimeError("derivative for aten::x_backward is not implemented")

    monkeypatch.setattr(curvature, "_top_eigenvalue", fails)
    values = {v.score: v for v in registry.get(Metric, "hessian").measure(context)}
    assert (values["hessian_trace"].value, values["hessian_trace"].reason) == (1.0, "estimated: it is curved")
    assert math.isnan(values["hessian_top"].value)
    assert "aten::x_backward is not implemented" in values["hessian_top"].reason


def test_an_estimated_trace_that_is_not_above_zero_is_no_value_and_alone(context, monkeypatch):
    below = np.array([-0.2, 0.1, -0.3, 0.2])
    monkeypatch.setattr(directional_curvature, "BATCH", 1)
    monkeypatch.setattr(curvature, "traces", lambda *of: curvature.Traces(each(1.0), below, each(0.0)))
    monkeypatch.setattr(curvature, "no_exact_trace", lambda *of: "it is curved")
    metric = registry.get(Metric, "hessian")
    found = metric.measure(context)
    check(found, metric)
    values = {v.score: v for v in found}
    assert values["hessian_trace"].value == 1.0
    assert math.isnan(values["hessian_trace_scaled"].value)
    reason = "estimated: it is curved; the estimate, -0.05 ± 0.12, is not above 0"
    assert (values["hessian_trace_scaled"].n, values["hessian_trace_scaled"].reason) == (IMAGES, reason)
    # That of outputs that are the same for all images: none of the directions bends.
    assert (values["input_hessian_trace"].value, values["input_hessian_trace"].se) == (0.0, 0.0)


def test_deletion_insertion_and_regions_have_their_curves(context, monkeypatch):
    def curve(first, then):
        return lambda *of: np.stack([each(first), *[each(then)] * faithfulness.STEPS])

    monkeypatch.setattr(faithfulness, "deletion", curve(0.25, 0.25))
    monkeypatch.setattr(faithfulness, "insertion", curve(0.75, 0.75))
    monkeypatch.setattr(faithfulness, "regions", curve(1.0, 0.5))
    found = measured("deletion", context)
    for kind in KINDS:
        for variant in ("", "random attribution"):
            assert found[f"{kind}_deletion", variant] == 0.25
            assert found[f"{kind}_insertion", variant] == 0.75
            assert found[f"{kind}_aopc", variant] == pytest.approx(0.5 * 20 / 21)
        assert found["label_probability", f"{kind} insertion 50 %"] == 0.75


def test_the_headline_of_agreement_is_the_overlap_of_ten_per_cent(context, monkeypatch):
    monkeypatch.setattr(saliency_maps, "overlap", lambda a, b, share: each(share))
    monkeypatch.setattr(saliency_maps, "spearman", lambda a, b: each(0.5))
    monkeypatch.setattr(saliency_maps, "similarity", lambda a, b: each(0.75))
    found = measured("agreement", context)
    for kind in KINDS:
        assert found[f"{kind}_iou", ""] == pytest.approx(0.1)
        assert found[f"{kind}_iou", "top 5 %"] == pytest.approx(0.05)
        assert found[f"{kind}_iou", "top 20 %"] == pytest.approx(0.2)
        assert (found[f"{kind}_rho", ""], found[f"{kind}_ssim", ""]) == (0.5, 0.75)


# ------------------------------------------------------------------------------------------------- concepts


@pytest.fixture
def tallies(monkeypatch):
    """Sets what each unit shares with each concept, one call of ``tally_layers`` after the other."""
    maps = np.random.default_rng(0).random((IMAGES, 5, 2, 2), np.float32)
    monkeypatch.setattr(unit_activations, "activations", lambda *of: {"1": maps})

    def give(*ious):
        def tally(iou):
            units = len(iou)
            return SimpleNamespace(
                iou=lambda counts=None: np.array(iou), active=np.zeros((1, units)), dead=np.zeros(units, bool)
            )

        left = [tally(iou) for iou in ious]
        monkeypatch.setattr(dissection, "tally_layers", lambda *of, **shift: left.pop(0))

    return give


def test_units_are_interpretable_above_the_first_threshold(context, tallies, monkeypatch):
    monkeypatch.setattr(dissection, "as_csv", lambda *of: b"")
    monkeypatch.setattr(dissection, "ceiling", lambda *of: np.ones(2))
    monkeypatch.setattr(dissection, "side_of", lambda bank: 1)
    tallies([(0.06, 0.0), (0.0, 0.045), (0.045, 0.0), (0.03, 0.0)], [(0.06, 0.0), (0.0, 0.06)])
    found = measured("dissection", context)
    assert (found["interpretable_units", ""], found["unique_concepts", ""]) == (1.0, 1.0)
    assert (found["interpretable_units", "IoU 0.04"], found["unique_concepts", "IoU 0.04"]) == (3.0, 2.0)
    assert (found["interpretable_units", "colour"], found["interpretable_units", "part"]) == (1.0, 0.0)
    assert found["interpretable_units", "shuffled masks"] == 2.0


def test_drift_is_a_share_of_what_dense_had_and_of_what_both_have(context, tallies):
    ours = [(0.1, 0.0), (0.0, 0.1), (0.0, 0.1), (0.0, 0.0), (0.1, 0.0)]
    dense = [(0.1, 0.0), (0.1, 0.0), (0.1, 0.0), (0.1, 0.0), (0.0, 0.0)]
    tallies(ours, dense)
    found = measured("drift", context)
    assert found["retained_units", ""] == 3 / 4
    assert found["same_concept_units", ""] == pytest.approx(1 / 3)


def test_formulas_of_three_concepts_and_of_one_have_their_scores(context, tallies, monkeypatch):
    none = np.zeros(1, np.uint64)
    found = {n: compositions.Formula("red", none, iou) for n, iou in ((3, 0.5), (2, 0.4), (1, 0.25))}
    monkeypatch.setattr(compositions, "Packed", lambda *of: None)
    monkeypatch.setattr(compositions, "search", lambda *of: found)
    monkeypatch.setattr(compositions, "by_group", lambda *of: (np.ones(20), np.ones(20)))
    scores = measured("composition", context)
    assert scores == {("composition_iou", ""): 0.5, ("composition_iou_1", ""): 0.25}


def test_each_score_of_concepts_of_a_layer_has_its_name(context, monkeypatch):
    """The first concept alone is important."""
    first = np.eye(craft.CONCEPTS)[0]
    made = SimpleNamespace(lost=0.4)
    monkeypatch.setattr(concepts, "LEAST", IMAGES)
    monkeypatch.setattr(concepts, "crops_of", lambda of: SimpleNamespace(pixels=None))
    monkeypatch.setattr(concepts, "activations_of", lambda *of: np.full((IMAGES, 3), 2.5, np.float32))
    monkeypatch.setattr(image_similarity, "embedded", lambda pixels: np.ones((IMAGES, 2), np.float32))
    monkeypatch.setattr(craft, "halves", lambda labels: np.ones((8, len(labels)), bool))
    monkeypatch.setattr(craft, "part", lambda crops, kept: (crops, np.arange(IMAGES)))
    monkeypatch.setattr(craft, "factored", lambda *of: made)
    scales = []
    monkeypatch.setattr(craft, "importance", lambda *of: scales.append(of[-1]) or first)
    monkeypatch.setattr(craft, "coherence", lambda *of: 0.1 * first + 0.9 * (1 - first))
    monkeypatch.setattr(craft, "purity", lambda *of: np.full(craft.CONCEPTS, 0.2))
    monkeypatch.setattr(craft, "redundancy", lambda *of: 0.3)
    monkeypatch.setattr(saliency_maps, "gini", lambda shares: np.array([0.5]))
    read = []
    monkeypatch.setattr(context, "network", lambda: read.append("network"))
    found = measured("craft", context)
    assert read == ["network"]  # once
    assert set(scales) == {2.5}, "the largest activation, by which craft.factored divides"
    expected = {"coherence": 0.1, "purity": 0.2, "redundancy": 0.3, "loss": 0.4, "focus": 0.5}
    assert found == pytest.approx({(f"concept_{name}", ""): value for name, value in expected.items()})


def test_concepts_of_too_few_images_have_no_scores(context):
    """Of two images of a class a concept is in all of them whatever the network does."""
    images = context.images("pictured")
    images.labels = np.repeat(np.arange(300), 2)
    logits = SimpleNamespace(values=np.zeros((600, 300)), labels=images.labels)
    read = SimpleNamespace(**vars(context) | {"logits": lambda name: logits})
    for name, why in (
        ("craft", "6 images of 3 classes; 30 are needed"),
        ("concept-match", "6 images of 3 classes; 30 are needed"),
        ("concept-weights", "600 training images of 300 classes; 5 a class are needed (concept_images)"),
    ):
        values = registry.get(Metric, name).measure(read)
        assert all(np.isnan(v.value) and np.isnan(v.se) and v.reason == why for v in values), values


def test_a_head_of_few_images_a_class_is_not_fitted(context, monkeypatch):
    images = context.images("read")
    images.labels = np.repeat(np.arange(300), 4)
    logits = SimpleNamespace(values=np.zeros((1200, 300)), labels=images.labels)
    read = SimpleNamespace(**vars(context) | {"own": True, "logits": lambda name: logits})
    told = concept_bottleneck.Vectors(np.ones((2, 3)), np.zeros(2), np.array([0.9, 0.8]))
    monkeypatch.setattr(unit_activations, "pooled", lambda *of: {"1": np.zeros((1, 3))})
    monkeypatch.setattr(concept_bottleneck, "vectors", lambda *of: told)
    monkeypatch.setattr(concept_bottleneck, "head", None)
    auc, *others = registry.get(Metric, "bottleneck").measure(read)
    assert (auc.score, auc.value) == ("cav_auc", pytest.approx(0.85))
    assert {v.score for v in others} == {"bottleneck_accuracy", "bottleneck_gap"}
    for value in others:
        assert np.isnan(value.value)
        assert value.reason.startswith("1,200 training images of 300 classes; 5 a class are needed")
