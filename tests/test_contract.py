"""What every plug-in promises, tested for each one that is found."""

import copy
import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from lthbench import api, channels, data, masks, plan, registry, table
from lthbench.errors import BadInput
from lthbench.kinds import Architecture, Bank, Criterion, Dataset, Method, Metric
from lthbench.runner import Runner
from lthbench.spec import Network, Train, history
from lthbench.store import Store
from lthbench.train import generator

METHODS = [m for m in registry.names(Method) if m != "dense"]
#: All but AutoAttack, which takes minutes for a batch and a package of its own (tests/test_attacks.py).
METRICS = [m for m in registry.names(Metric) if m != "autoattack"]


def facts_of(record):
    """The texts that a listing shows."""
    return [
        getattr(record, f) for f in ("title", "formula", "source", "cost", "licence") if hasattr(record, f)
    ]


@pytest.mark.parametrize("kind", [Architecture, Bank, Dataset, Method, Metric], ids=lambda k: k.__name__)
def test_records_say_what_they_are(kind):
    for record in registry.every(kind):
        assert all(text.strip() for text in facts_of(record)), record.name
        assert registry.get(kind, record.name.upper().replace("-", "_")) == record


# ---------------------------------------------------------------------------------------- architectures


def small(architecture, size=None):
    """A network of 10 classes at the architecture's own size."""
    return Network(architecture.name, 1, 10, 3, size or architecture.size, (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.fixture(scope="module", params=registry.names(Architecture))
def built(request):
    """An architecture with its network, built from seed 0."""
    architecture = registry.get(Architecture, request.param)
    channels = 1 if architecture.name == "resnet8" else 3
    network = small(architecture)
    if channels == 1:
        network = dataclasses.replace(network, channels=1, mean=(0.5,), std=(0.2,))
    torch.manual_seed(0)
    return architecture, network, architecture.build(network)


def test_parameters_and_prunable_weights_are_as_declared(built):
    architecture, network, model = built
    counts = architecture.count(network)
    assert sum(p.numel() for p in model.parameters()) == counts.parameters
    assert sum(w.numel() for w in masks.prunable(model).values()) == counts.prunable


def test_the_floor_is_what_is_left_with_one_filter_wherever_filters_can_go(built):
    architecture, network, model = built
    found = channels.cuts(model)
    first = {c.producer: torch.arange(model.get_submodule(c.producer).out_channels) == 0 for c in found}
    mask = channels.mask_without(model, found, first)
    assert sum(int(mask[name].sum()) for name in masks.prunable(model)) == architecture.count(network).floor


def test_multiply_adds_are_as_declared(built):
    """Counted from the shapes that pass through each convolution and linear layer."""
    architecture, network, model = built
    counted = []

    def convolution(module, inputs, output):
        counted.append(output[0].numel() * module.weight[0].numel())

    def linear(module, inputs, output):
        counted.append(module.weight.numel())

    hooks = [m.register_forward_hook(convolution) for m in model.modules() if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_hook(linear) for m in model.modules() if isinstance(m, nn.Linear)]
    with torch.no_grad():
        model.eval()(torch.rand(1, network.channels, network.size, network.size))
    for hook in hooks:
        hook.remove()
    assert sum(counted) == architecture.count(network).macs


def test_logits_have_their_shape_and_pixels_are_normalised_inside(built):
    architecture, network, model = built
    x = torch.rand(3, network.channels, network.size, network.size)
    before = x.clone()
    other = dataclasses.replace(network, mean=tuple(m + 0.25 for m in network.mean))
    torch.manual_seed(0)
    shifted = architecture.build(other)
    with torch.no_grad():
        logits = model.eval()(x)
        assert logits.shape == (3, network.classes)
        assert torch.isfinite(logits).all()
        assert torch.equal(x, before)
        # Normalised by the batch: freshly drawn weights alone may let through nothing but the bias.
        fitted, fitted_shifted = (by_batch(m)(y) for m, y in ((model, x), (shifted, x + 0.25)))
    spread = fitted.std(0).max()
    assert spread > 1e-3
    assert torch.allclose(fitted, fitted_shifted, rtol=0.0, atol=0.02 * float(spread))


def by_batch(model):
    """A copy of the network whose batch normalisation looks at the batch, without dropout."""
    model = copy.deepcopy(model).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return model


def test_weights_come_from_the_global_generator_alone(built):
    architecture, network, model = built
    torch.manual_seed(0)
    same = architecture.build(network).state_dict()
    torch.manual_seed(1)
    other = architecture.build(network).state_dict()
    assert all(torch.equal(v, same[k]) for k, v in model.state_dict().items())
    assert any(not torch.equal(v, other[k]) for k, v in model.state_dict().items())


def test_the_layer_for_maps_is_there_and_has_a_grid(built):
    architecture, network, model = built
    seen = []
    hook = model.get_submodule(architecture.layer).register_forward_hook(lambda m, i, o: seen.append(o.shape))
    with torch.no_grad():
        model.eval()(torch.rand(2, network.channels, network.size, network.size))
    hook.remove()
    assert len(seen) == 1
    assert len(seen[0]) == 4
    assert min(seen[0][2:]) >= 2


# ---------------------------------------------------------------------------------------------- methods


def criteria():
    """Every pruning criterion that a method uses."""
    found = {m.criterion.name: m.criterion for m in registry.every(Method) if m.criterion is not None}
    return [pytest.param(c, id=name) for name, c in sorted(found.items())]


@pytest.mark.parametrize("criterion", criteria())
def test_a_criterion_scores_every_prunable_weight_finitely_and_repeatably(criterion, network):
    assert isinstance(criterion, Criterion)
    images = data.per_class(data.load("digits", "train", ()), criterion.per_class)
    results = []
    for _ in range(2):
        torch.manual_seed(0)
        model = registry.get(Architecture, "resnet8").build(network).train()
        batch = (torch.from_numpy(images.pixels).float() / 255.0, torch.from_numpy(images.labels))
        if not criterion.per_class:
            batch = (torch.ones(1, 1, 8, 8), torch.zeros(1, dtype=torch.int64))
        results.append(criterion.score(model, iter([batch]), generator("x", 0)))
    weights = masks.prunable(model)
    assert results[0].keys() == weights.keys()
    for name, score in results[0].items():
        assert score.shape == weights[name].shape
        assert torch.isfinite(score).all()
        assert not score.requires_grad
        assert torch.equal(score, results[1][name])


@pytest.fixture(scope="module")
def ran(tmp_path_factory, tiny_task):
    """Every method, at two sparsities of the small task, with every metric."""
    asked = api.ask(tiny_task, METHODS, rounds=[1, 3], seeds=1, metrics=METRICS, concepts="shapes")
    made = plan.plan(asked, ())
    store = Store(tmp_path_factory.mktemp("store"))
    store.open()
    runner = Runner(store, ())
    failures = runner.do(made.steps)
    return made, runner, table.build(made, store, failures), failures


def test_nothing_fails(ran):
    assert ran[3] == {}


@pytest.mark.parametrize("method", METHODS)
def test_a_method_yields_networks_of_the_density_asked_for(ran, method):
    made, runner, _, _ = ran
    entries = [e for e in made.entries if e.method == method]
    assert [e.sparsity for e in entries] == [0.5, 0.875]
    criterion = registry.get(Method, method).criterion
    for entry in entries:
        weights = masks.prunable(runner.network(entry.network))
        held = runner.held(entry.network) or {n: torch.ones_like(w, dtype=bool) for n, w in weights.items()}
        assert all(not weights[n][~held[n]].any() for n in weights)
        kept = sum(k for k, _ in masks.count(held).values())
        wanted = Fraction(1 - entry.sparsity) * 73_872
        if criterion is None or criterion.unit == "filter":
            assert kept == pytest.approx(float(wanted), rel=0.1)
        elif criterion.unit == "kernel":
            assert 0 <= wanted - kept < 9
        else:
            assert kept == round(wanted)


def test_tickets_are_made_from_the_cell_alone(ran):
    """Only a ticket's own recipe, data and seed stand in the steps it hangs from."""
    made = ran[0]
    for entry in made.entries:
        trainings = [s for s in history(entry.network) if isinstance(s, Train)]
        assert {t.seed for t in trainings} == {entry.seed}
        assert {t.data for t in trainings} == {made.sources[0]}


# ---------------------------------------------------------------------------------------------- metrics


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_yields_its_scores_in_their_ranges(ran, metric):
    scores = {s.name: s for s in registry.get(Metric, metric).scores}
    rows = ran[2][ran[2]["metric"] == metric]
    networks = rows.groupby(["method", "sparsity", "seed"])
    assert len(networks) == 1 + 2 * len(METHODS)
    for _, found in networks:
        assert set(found["score"]) == scores.keys()
        for row in found.itertuples():
            assert math.isfinite(row.value) or row.reason
            assert (
                not math.isfinite(row.value) or scores[row.score].low <= row.value <= scores[row.score].high
            )
            assert not math.isfinite(row.se) or row.se >= 0.0
            assert row.n > 0


def test_every_score_belongs_to_one_metric():
    names = [s.name for m in registry.every(Metric) for s in m.scores]
    assert len(names) == len(set(names))


# --------------------------------------------------------------------------------------------- data sets


@pytest.mark.parametrize("name", registry.names(Dataset))
def test_a_data_set_that_is_found_is_as_declared(name):
    dataset = registry.get(Dataset, name)
    assert len(dataset.mean) == len(dataset.std) == dataset.channels
    assert len(set(dataset.classes)) == len(dataset.classes)
    places = data.folders()
    if dataset.locate(places) is None:
        assert "--data" in dataset.obtain
        pytest.skip(f"{name} is not on this machine")
    for split, count in dataset.splits.items():
        failure = ""
        try:
            images = data.load(name, split, places)
        except BadInput as error:
            failure = str(error)
        if failure:  # a copy may hold the test images alone, and says so
            assert split != "test"
            assert "test images only" in failure
            continue
        assert len(images.labels) == len(images.pixels) == count
        assert images.pixels.dtype == np.uint8
        assert set(np.unique(images.labels)) <= set(range(len(dataset.classes)))
