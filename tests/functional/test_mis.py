"""Choices between images and readers of concepts: planted ones are seen through, noise is not."""

import importlib.util
import sys
import time
import types
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from sklearn.svm import SVC

from lthbench import registry
from lthbench.errors import BadInput, StepFailed
from lthbench.files import cache_folder
from lthbench.functional import concept_bottleneck, image_similarity, mis
from lthbench.kinds import Annotated, Metric
from lthbench.metrics import bottleneck, mis_dreamsim
from lthbench.planning import request

DRAW = np.random.Generator(np.random.PCG64(0))


def directions(n=600, features=40):
    made = DRAW.normal(size=(n, features)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def test_a_unit_that_follows_looks_is_told_and_noise_is_not():
    vectors = directions()
    aligned, noise = vectors @ vectors[0], DRAW.random((600, 30)).astype(np.float32)
    found = mis.choices(np.column_stack([aligned, noise, np.ones(600)]).astype(np.float32), vectors)
    hard, soft = found.hard(), found.soft()
    assert hard[0] >= 0.95
    assert soft[0] > 0.5
    assert hard[1:31].mean() == pytest.approx(0.5, abs=0.1)
    assert np.isnan(hard[31])
    assert np.isnan(soft[31])


def test_a_choice_is_that_of_its_definition():
    vectors, values = directions(), DRAW.random((600, 1)).astype(np.float32)
    found = mis.choices(values, vectors).margins[0]
    order = np.argsort(-values[:, 0])
    for task in (0, 7, 19):
        high, low = ([order[::s][k * 20 + task] for k in range(10)] for s in (1, -1))

        def a(query, references):
            return np.mean([vectors[query] @ vectors[r] for r in references])

        expected = (a(high[0], high[1:]) - a(high[0], low[1:])) - (a(low[0], high[1:]) - a(low[0], low[1:]))
        assert found[task] == pytest.approx(expected, abs=1e-5)


def test_minute_values_are_no_constants_where_that_is_relative():
    vectors, values = directions(), DRAW.random((600, 1)).astype(np.float32)
    minute = np.column_stack([1e-11 * values, 3e-11 + 0 * values, 0 * values]).astype(np.float32)
    assert np.isnan(mis.choices(minute, vectors).hard()).all()
    found = mis.choices(minute, vectors, relative=True)
    assert found.hard()[0] == mis.choices(values, vectors).hard()[0]
    assert np.isnan(found.hard()[1:]).all()


def test_too_few_images_are_named():
    with pytest.raises(StepFailed, match="399 images are too few: 400 are needed"):
        mis.choices(np.zeros((399, 2), dtype=np.float32), directions(399))


def test_images_are_alike_by_colour_and_edges():
    pixels = np.zeros((4, 3, 16, 16), dtype=np.uint8)
    pixels[0, 0], pixels[1, 0], pixels[2, 2] = 200, 210, 200
    pixels[3, :, :, ::2] = 255
    vectors = image_similarity.embedded(pixels)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)
    similar = vectors @ vectors.T
    assert similar[0, 1] > similar[0, 2] + 0.3
    assert similar[0, 1] > similar[0, 3] + 0.3
    grey = image_similarity.embedded(DRAW.integers(0, 256, (3, 1, 8, 8), dtype=np.uint8))
    assert np.isfinite(grey).all()


# -------------------------------------------------------------------------------------------- bottleneck


def bank(n=400):
    """Images with "a" in half of them and "b" in a tenth; "c" is in all."""
    layers = np.zeros((n, 3, 4, 4), dtype=np.int16)
    has = DRAW.random((n, 3)) < (0.5, 0.1, 1.0)
    for k in range(3):
        layers[has[:, k], k] = k + 1
    return Annotated(np.zeros((n, 3, 4, 4), dtype=np.uint8), layers, ("a", "b", "c"), ("x",) * 3), has


def test_vectors_tell_what_features_show():
    some, has = bank()
    features = DRAW.normal(size=(400, 8)).astype(np.float32)
    features[:, 2] += 4 * has[:, 0]
    found = concept_bottleneck.vectors(features, some)
    assert found.auc[0] > 0.95
    assert np.isnan(found.auc[1:]).all()
    assert np.abs(found.directions[0]).argmax() == 2
    assert np.linalg.norm(found.directions[0]) == pytest.approx(1.0)
    projected = features @ found.directions[0] + found.offsets[0]
    assert roc_auc_score(has[:, 0], projected) > 0.95


def test_vectors_are_those_of_a_linear_svm():
    some, has = bank()
    features = (DRAW.normal(size=(400, 5)) + has[:, :1]).astype(np.float32)
    found = concept_bottleneck.vectors(features, some)
    draw = np.random.Generator(np.random.PCG64(0))
    train = np.concatenate(
        [draw.permutation(np.flatnonzero(has[:, 0] == side))[:50] for side in (True, False)]
    )
    scaled = (features - features.mean(0)) / (features.std(0) + 1e-6)
    model = SVC(C=concept_bottleneck.PENALTY, kernel="linear").fit(scaled[train], has[train, 0])
    projected = features @ found.directions[0] + found.offsets[0]
    decided = model.decision_function(scaled)
    np.testing.assert_allclose(np.corrcoef(projected, decided)[0, 1], 1.0, atol=1e-6)
    assert (np.sign(projected) == np.sign(decided)).all()


def test_a_head_reads_classes_from_concepts_and_is_the_same_again():
    directions_ = np.eye(6)[:4]
    found = concept_bottleneck.Vectors(directions_, np.zeros(4), np.full(4, 0.9))
    labels = DRAW.integers(0, 3, 900)
    features = DRAW.normal(size=(900, 6)).astype(np.float32)
    features[np.arange(900), labels] += 4
    halves = [(features[s], labels[s]) for s in (slice(0, 600), slice(600, 900))]
    first, second = (concept_bottleneck.head(found, np.ones(4, dtype=bool), *halves) for _ in range(2))
    assert first.right.mean() > 0.9
    np.testing.assert_array_equal(first.weights, second.weights)
    assert first.weights.argmax(1).tolist() == [0, 1, 2]
    assert concept_bottleneck.top_overlap(first.weights, second.weights, 2).tolist() == [1.0] * 3


def test_the_error_of_the_gap_is_that_of_paired_hits(monkeypatch):
    """Network and head err on the same images here, so that the gap is surer than either accuracy."""
    network = (DRAW.random(500) < 0.8).astype(float)
    head = network * (DRAW.random(500) < 0.95)
    made = concept_bottleneck.Head(np.ones((2, 2)), head, np.arange(2), np.arange(2))
    found = concept_bottleneck.Vectors(np.eye(2), np.zeros(2), np.full(2, 0.9))
    monkeypatch.setattr(bottleneck, "read", lambda context: (found, made, network))
    bank = types.SimpleNamespace(pixels=np.zeros(9), names=("a", "b"), categories=("x", "x"))
    context = types.SimpleNamespace(
        attach=lambda *content: None,
        concepts=lambda: bank,
        images=lambda name: types.SimpleNamespace(labels=network),
    )
    values = {v.score: v for v in registry.get(Metric, "bottleneck").measure(context)}
    assert values["bottleneck_gap"].value == pytest.approx((network - head).mean())
    assert values["bottleneck_gap"].se == pytest.approx((network - head).std(ddof=1) / 500**0.5)
    assert values["bottleneck_gap"].se < 0.6 * values["bottleneck_accuracy"].se


def test_top_concepts_overlap_as_sets_do():
    ours = np.array([[3.0, 2.0, 1.0, 0.0], [0.0, 1.0, 2.0, 3.0]])
    theirs = np.array([[3.0, 2.0, 1.0, 0.0], [3.0, 2.0, 1.0, 0.0]])
    assert concept_bottleneck.top_overlap(ours, theirs, 2).tolist() == [1.0, 0.0]
    assert concept_bottleneck.top_overlap(ours, theirs, 3).tolist() == pytest.approx([1.0, 0.5])


#: The weights of five classes for 30 concepts in two sparse heads, by class: place and weight.
OURS = ({4: 2.0}, {7: 1.0, 9: -1.0}, {1: 1.0, 2: 2.0, 3: 3.0, 5: 0.5}, {6: -1.0}, {8: 1.0})
THEIRS = ({20: 2.0}, {7: 3.0, 11: 1.0}, {1: 1.0, 2: 2.0, 3: 3.0}, {6: -2.0}, {6: -2.0})


def heads():
    made = np.zeros((2, 5, 30))
    for head, classes in zip(made, (OURS, THEIRS), strict=True):
        for weights, given in zip(head, classes, strict=True):
            weights[list(given)] = list(given.values())
    return made


def test_concepts_without_a_weight_are_not_shared():
    """Two heads that have nothing in common, of one concept each, agreed in two of three."""
    ours, theirs = heads()
    found = concept_bottleneck.top_overlap(ours, theirs, 3)
    np.testing.assert_allclose(found, [0.0, 0.5, 1.0, np.nan, 0.0])


def test_overlap_by_chance_is_of_as_many_concepts_as_speak_for_a_class():
    ours, theirs = heads()
    found = concept_bottleneck.overlap_by_chance(ours, theirs, 3)
    np.testing.assert_allclose(found[[0, 1, 3, 4]], [1 / 30, 2 / 30 * 1 / 2, np.nan, 0.0])
    draw = np.random.Generator(np.random.PCG64(0))
    shared = (np.argsort(draw.random((20000, 30)), axis=1)[:, :3] < 3).sum(1)
    assert found[2] == pytest.approx((shared / (6 - shared)).mean(), rel=0.05)


def test_classes_that_no_concept_speaks_for_are_left_out(monkeypatch):
    own, dense = heads()
    shown = types.SimpleNamespace(labels=np.zeros(50))
    context = types.SimpleNamespace(own=False, weights=own, images=lambda name: shown)
    context.reference = types.SimpleNamespace(weights=dense)
    monkeypatch.setattr(bottleneck, "read", lambda of: (None, types.SimpleNamespace(weights=of.weights), 0.0))
    monkeypatch.setattr(bottleneck, "too_few", lambda context: "")
    metric = registry.get(Metric, "concept-weights")
    found = {v.variant: v for v in metric.measure(context) if v.score == "concept_overlap"}
    assert found[""].value == pytest.approx(1.5 / 4)
    assert found["top 5"].value == pytest.approx((0.5 + 0.75) / 4)
    chance = concept_bottleneck.overlap_by_chance(own, dense, 3)
    assert found["chance"].value == pytest.approx(np.nanmean(chance))
    assert np.isnan(found["chance"].se)
    assert {v.reason for v in found.values()} == {"1 of 5 classes have no concept with a weight above 0"}
    context.weights = context.reference.weights = np.minimum(own, 0.0)
    none = {v.variant: v for v in metric.measure(context) if v.score == "concept_overlap"}
    assert all(np.isnan((v.value, v.se)).all() for v in none.values())
    assert none[""].reason == "5 of 5 classes have no concept with a weight above 0"


def test_weights_of_few_concepts_have_a_correlation_but_no_overlap(monkeypatch):
    """The top three of three are the same in any two networks; the order of their weights is not."""
    weights = {
        "ours": np.array([[3.0, 2.0, 1.0], [1.0, 0.5, 0.0]]),
        "dense": np.array([[1.0, 2.0, 3.0], [9.0, 5.0, 0.0]]),
    }

    def read(context):
        return None, types.SimpleNamespace(weights=weights[context.name]), 0.0

    def measured(concepts):
        for name, own in weights.items():
            weights[name] = own[:, :concepts]
        shown = types.SimpleNamespace(labels=np.zeros(50))
        context = types.SimpleNamespace(name="ours", own=False, images=lambda name: shown)
        context.reference = types.SimpleNamespace(name="dense")
        return registry.get(Metric, "concept-weights").measure(context)

    monkeypatch.setattr(bottleneck, "read", read)
    monkeypatch.setattr(bottleneck, "too_few", lambda context: "")
    for concepts in (3, 2):
        overlap, rho = measured(concepts)
        assert (overlap.score, rho.score) == ("concept_overlap", "concept_rho")
        assert np.isnan(overlap.value)
        assert overlap.reason == f"the dense parent tells {concepts} concepts"
        assert rho.value == pytest.approx(0.0)  # one class is the other way round, one is the same
        assert rho.se == pytest.approx(1.0)
        assert rho.reason == ""


def test_dreamsims_vectors_are_asked_for_as_it_wants_them(monkeypatch):
    """A stand-in for the package, whose weights would have to be fetched."""
    seen = []

    class Model:
        def embed(self, x):
            seen.append(tuple(x.shape))
            return torch.stack([x.mean((1, 2, 3)), x.std((1, 2, 3))], dim=1)

    def prepare(image):
        assert (image.mode, image.size) == ("RGB", (8, 6))
        return torch.from_numpy(np.asarray(image) / 255.0).permute(2, 0, 1)[None]

    def loads(pretrained, device, cache_dir):
        Path(cache_dir).mkdir(exist_ok=True)
        return Model(), prepare

    module = types.ModuleType("dreamsim")
    module.__dict__["dreamsim"] = loads
    monkeypatch.setitem(sys.modules, "dreamsim", module)
    pixels = DRAW.integers(0, 256, (3, 1, 6, 8), dtype=np.uint8)
    found = mis_dreamsim.embedded(pixels, "cpu")
    assert seen == [(1, 3, 6, 8)] * 3
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-6)
    assert mis_dreamsim.embedded(pixels.copy(), "cpu") is found  # the next network's
    monkeypatch.setattr(mis_dreamsim, "AT_ONCE", 2)
    np.testing.assert_allclose(mis_dreamsim.embedded(pixels, "cpu:0"), found, atol=1e-6)
    assert seen[3:] == [(2, 3, 6, 8), (1, 3, 6, 8)]


class Fetching:
    """A stand-in for the package that fetches as it does: files in its folder are whole, it thinks."""

    def __init__(self):
        self.fetched, self.loaded, self.cut_off = [], [], False

    def __call__(self, pretrained, device, cache_dir):
        folder = Path(cache_dir)
        folder.mkdir(exist_ok=True)
        if not (folder / "lora").is_dir():
            print("Downloading checkpoint")
            self.fetched.append(folder)
            time.sleep(0.05)
            (folder / "pretrained.zip").write_bytes(b"packed")
            (folder / "lora").mkdir()
            if self.cut_off:
                raise KeyboardInterrupt
            (folder / "lora" / "weights").write_bytes(b"whole")
        torch.hub.set_dir(cache_dir)
        self.loaded.append((folder / "lora" / "weights").read_bytes())
        return None, None


@pytest.fixture
def fetching(monkeypatch):
    module = types.ModuleType("dreamsim")
    module.__dict__["dreamsim"] = made = Fetching()
    monkeypatch.setitem(sys.modules, "dreamsim", module)
    return made


def test_dreamsims_weights_are_fetched_once_into_the_cache(fetching, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    hub = torch.hub.get_dir()
    mis_dreamsim._loaded("cpu")
    mis_dreamsim._loaded("cpu")
    (folder,) = (p for p in (cache_folder() / "dreamsim").iterdir() if p.is_dir())
    assert len(fetching.fetched) == 1
    assert fetching.loaded == [b"whole"] * 3
    assert [p.name for p in folder.iterdir()] == ["lora"]
    assert list(tmp_path.iterdir()) == []
    assert torch.hub.get_dir() == hub
    said = capsys.readouterr()
    assert (said.out, "Downloading" in said.err) == ("", True)


def test_workers_wait_for_the_one_that_fetches_dreamsims_weights(fetching, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(mis_dreamsim._fetch, [tmp_path / "dreamsim" / "1.0"] * 4))
    assert len(fetching.fetched) == 1


def test_of_dreamsims_weights_that_were_cut_off_none_are_used(fetching):
    fetching.cut_off = True
    with pytest.raises(KeyboardInterrupt):
        mis_dreamsim._loaded("cpu")
    fetching.cut_off = False
    mis_dreamsim._loaded("cpu")
    assert fetching.loaded == [b"whole"] * 2


def test_that_dreamsims_weights_cannot_be_fetched_is_a_reason(monkeypatch, fetching):
    def offline(pretrained, device, cache_dir):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(sys.modules["dreamsim"], "dreamsim", offline)
    with pytest.raises(StepFailed, match=r"DreamSim's weights cannot be put into .*no route to host"):
        mis_dreamsim._loaded("cpu")


def test_mis_by_dreamsim_says_what_is_missing(tiny_task):
    if importlib.util.find_spec("dreamsim") is None:
        with pytest.raises(BadInput, match=r"needs the package dreamsim: pip install 'lthbench\[mis\]'"):
            request.ask(tiny_task, ["omp"], metrics=["mis-dreamsim"])
    assert "mis-dreamsim" not in request.ask("c10-r20s").metrics
