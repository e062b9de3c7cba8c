"""Pruning methods: each score against its definition, and each ticket against the paper's procedure."""

import pytest
import torch
from torch.nn import functional as F

from lthbench import masks
from lthbench.compute.rng import generator
from lthbench.data import loading
from lthbench.execution.runner import Runner
from lthbench.kinds import Architecture
from lthbench.methods import omp, random, snip
from lthbench.planning import plan, request
from lthbench.registry import get
from lthbench.spec import Init, Rewind, Train, history
from lthbench.store import LocalStore


@pytest.fixture
def model(network):
    """ResNet-8 at initialisation, in training mode."""
    torch.manual_seed(0)
    return get(Architecture, "resnet8").build(network).train()


@pytest.fixture(scope="module")
def batch():
    """Ten digits of each class, in [0, 1]."""
    images = loading.per_class(loading.load("digits", "train", ()), 10)
    return torch.from_numpy(images.pixels).float() / 255.0, torch.from_numpy(images.labels)


def test_snip_is_the_size_of_the_gradient_of_a_mask(model, batch):
    """Lee et al. 2019: the score is |dL/dc| for connection indicators c = 1 that multiply the weights."""
    weights = {n: w.detach() for n, w in masks.prunable(model).items()}
    indicators = {n: torch.ones_like(w, requires_grad=True) for n, w in weights.items()}
    masked = {n: weights[n] * indicators[n] for n in weights}
    loss = F.cross_entropy(torch.func.functional_call(model, masked, batch[0]), batch[1])
    expected = torch.autograd.grad(loss, list(indicators.values()))
    scores = snip.sensitivity(model, iter([batch]), generator())
    for name, e in zip(indicators, expected, strict=True):
        assert torch.allclose(scores[name], e.abs(), rtol=1e-4, atol=1e-8)


def test_signed_snip_scores_of_a_layer_cancel_under_batch_statistics(model, batch):
    """Batch normalisation makes the loss blind to a layer's scale, so by Euler's theorem sum(g * w) = 0."""
    weights = masks.prunable(model)
    loss = F.cross_entropy(model(batch[0]), batch[1])
    for (name, w), g in zip(weights.items(), torch.autograd.grad(loss, list(weights.values())), strict=True):
        effect = g * w.detach()
        assert abs(float(effect.sum())) < 1e-3 * float(effect.abs().sum()), name


def test_magnitude_is_the_absolute_weight(model):
    scores = omp.magnitude(model, iter(()), generator())
    assert all(torch.equal(scores[n], w.abs()) for n, w in masks.prunable(model).items())


def test_random_masks_nest_over_densities_and_differ_over_seeds(model):
    def mask(seed, density):
        return masks.top(random.uniform(model, iter(()), generator("prune", seed)), density)

    large, small = mask(0, 0.5), mask(0, 0.2)
    assert all(not (small[n] & ~large[n]).any() for n in large)
    assert not all(torch.equal(large[n], m) for n, m in mask(1, 0.5).items())
    kept = {n: k / total for n, (k, total) in masks.count(large).items() if total > 2000}
    assert all(0.45 < share < 0.55 for share in kept.values())


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_task):
    """The networks of imp, omp, snip and random on the small task, trained; with the store's runner."""
    asked = request.ask(
        tiny_task, ["imp", "omp", "snip", "random"], rounds=[1, 2, 3], seeds=1, metrics=["accuracy"]
    )
    made = plan.plan(asked, ())
    store = LocalStore(tmp_path_factory.mktemp("store"))
    store.open()
    runner = Runner(store, ())
    assert runner.do(made.steps) == {}
    return {(e.method, e.sparsity): e.network for e in made.entries}, runner


@pytest.mark.parametrize("method", ["imp", "omp", "snip", "random"])
@pytest.mark.parametrize("density", [0.5, 0.25, 0.125])
def test_a_ticket_keeps_exactly_its_density(done, method, density):
    networks, runner = done
    network = networks[method, 1.0 - density]
    mask = runner.space.mask(network.mask)
    counted = masks.count(mask).values()
    assert sum(k for k, _ in counted) == round(density * 73_872)
    for name, weight in masks.prunable(runner.space.network(network)).items():
        assert not weight[~mask[name]].any()
        assert weight[mask[name]].all()


def test_imp_masks_nest_and_keep_the_largest_of_each_round(done):
    networks, runner = done
    outer = None
    for density in (0.5, 0.25, 0.125):
        network = networks["imp", 1.0 - density]
        mask = runner.space.mask(network.mask)
        trained = masks.prunable(runner.space.network(network.mask.given))
        kept = torch.cat([trained[n].abs()[m] for n, m in mask.items()])
        lost = torch.cat([trained[n].abs()[~m if outer is None else outer[n] & ~m] for n, m in mask.items()])
        assert kept.min() >= lost.max()
        if outer is not None:
            assert all(not (m & ~outer[n]).any() for n, m in mask.items())
        outer = mask


def test_imp_and_omp_rewind_to_the_bits_of_the_dense_run(done):
    """The weights rewound to are those that the dense training passed through, however they are made."""
    networks, runner = done
    dense = networks["dense", 0.0]
    rewind = networks["omp", 0.5].start
    assert rewind == Rewind(dense, 1)
    assert networks["imp", 0.875].start == rewind
    passed = runner.space.network(rewind).state_dict()
    alone = Runner(LocalStore(runner.store.root.parent / "alone"), ())
    alone.store.open()
    alone.do([s for s in history(rewind) if s.key != dense.key])
    made = alone.space.network(rewind).state_dict()
    assert all(torch.equal(passed[k], made[k]) for k in passed)


@pytest.mark.parametrize("method", ["snip", "random"])
def test_pruning_at_initialisation_trains_from_it(done, method):
    networks, _ = done
    for density in (0.5, 0.25, 0.125):
        network = networks[method, 1.0 - density]
        assert isinstance(network.start, Init)
        assert network.mask.given == network.start


def test_the_same_steps_in_two_stores_are_equal_to_the_bit(done, tmp_path):
    networks, runner = done
    other = Runner(LocalStore(tmp_path), ())
    other.store.open()
    network = networks["imp", 0.75]
    assert other.do(list(history(network))) == {}
    for step in history(network):
        name = "weights.safetensors" if isinstance(step, Train | Init | Rewind) else "mask.safetensors"
        assert other.store.read(step, name) == runner.store.read(step, name)
