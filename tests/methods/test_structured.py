"""Pruning by unit: filters, kernels, and the small dense network; allocation over layers."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lthbench import api, masks
from lthbench.errors import BadInput
from lthbench.kinds import Architecture
from lthbench.masks import structured
from lthbench.methods import small
from lthbench.planning import plan, request
from lthbench.planning.flops import flops
from lthbench.registry import get
from lthbench.spec import Network, Train
from lthbench.store import open_store
from lthbench.store.artifacts import MASK, WEIGHTS
from lthbench.training.optimization import learning_rate

TESTS = Path(__file__).parents[1]
RESNET20 = Network("resnet20s", 1, 10, 3, 32, (0.5,) * 3, (0.2,) * 3)


@pytest.fixture(scope="module")
def model():
    """ResNet-20 with random weights."""
    torch.manual_seed(0)
    return get(Architecture, "resnet20s").build(RESNET20).eval()


def magnitudes(model):
    return {n: w.detach().abs() for n, w in masks.prunable(model).items()}


@pytest.mark.parametrize("density", [0.9, 0.5, 0.2, 0.05])
def test_filters_go_whole_and_by_their_norm_in_every_layer(model, density):
    scores = magnitudes(model)
    mask = structured.top_filters(model, scores, density)
    kept = sum(k for k, _ in masks.count(mask).values())
    assert kept / 267_696 == pytest.approx(density, abs=0.01)
    shares = {}
    for cut in structured.cuts(model):
        there = mask[f"{cut.producer}.weight"].flatten(1)
        norms = scores[f"{cut.producer}.weight"].flatten(1).sum(1)
        gone = ~there.any(1)
        assert torch.equal(there.all(1), ~gone)
        assert not gone.any() or norms[gone].max() <= norms[~gone].min()
        assert not mask[f"{cut.norms[0]}.bias"][gone].any()
        assert not mask[f"{cut.consumers[0]}.weight"][:, gone].any()
        shares[len(gone)] = float(gone.float().mean())
    assert max(shares.values()) - min(shares.values()) <= 1 / 16


def test_no_other_number_of_filters_comes_nearer(model):
    """Against trying every step of the removal by itself."""
    scores, density = magnitudes(model), 0.37
    kept = sum(k for k, _ in masks.count(structured.top_filters(model, scores, density)).values())
    target = density * 267_696
    others = []
    for other in torch.linspace(0.3, 0.45, 60).tolist():
        mask = structured.top_filters(model, scores, other)
        others.append(sum(k for k, _ in masks.count(mask).values()))
    assert len(set(others)) > 20
    assert abs(kept - target) == min(abs(o - target) for o in others)


def test_a_network_without_the_filters_is_blind_to_their_weights(model):
    mask = structured.top_filters(model, magnitudes(model), 0.4)
    x = torch.rand(2, 3, 32, 32)
    pruned = get(Architecture, "resnet20s").build(RESNET20).eval()
    pruned.load_state_dict(model.state_dict())
    masks.apply(pruned, mask)
    with torch.no_grad():
        before = pruned(x)
        for cut in structured.cuts(pruned):
            gone = ~mask[f"{cut.producer}.weight"].flatten(1).any(1)
            pruned.get_submodule(cut.producer).weight[gone] = 7.0
        assert torch.equal(pruned(x), before)


@given(st.floats(0.01, 1.0))
@settings(max_examples=30, deadline=None)
def test_kernels_go_whole_and_the_best_stay(density):
    draw = torch.Generator().manual_seed(0)
    scores = {"a": torch.rand(8, 3, 3, 3, generator=draw), "b": torch.rand(4, 8, 1, 1, generator=draw)}
    mask = masks.top_kernels(scores, density)
    flat = {n: m.flatten(2) for n, m in mask.items()}
    assert all(torch.equal(m.any(2), m.all(2)) for m in flat.values())
    kept = sum(int(m.sum()) for m in mask.values())
    assert 0 <= round(density * 248) - kept < 9
    means = torch.cat([scores[n].mean((2, 3))[flat[n].all(2)] for n in mask])
    lost = torch.cat([scores[n].mean((2, 3))[~flat[n].any(2)] for n in mask])
    assert not len(means) or not len(lost) or means.min() >= lost.max()


# ------------------------------------------------------------------------------------------ allocation


@given(
    st.sampled_from(["uniform", "erk"]),
    st.floats(0.0, 1.0),
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
)
def test_allocations_are_exact_and_possible(allocation, density, widths):
    shapes = {f"l{i}": (w, v, 3, 3) for i, (w, v) in enumerate(zip(widths, [3, *widths], strict=False))}
    sizes = {n: s[0] * s[1] * 9 for n, s in shapes.items()}
    kept = masks.allocated(shapes, density, allocation)
    assert sum(kept.values()) == round(density * sum(sizes.values()))
    assert all(0 <= kept[n] <= sizes[n] for n in sizes)
    if allocation == "uniform":
        assert all(abs(kept[n] - density * sizes[n]) <= 1.5 for n in sizes)


# --------------------------------------------------------------------------------------- small networks


def test_published_widths_are_taken_where_they_fit():
    architecture = get(Architecture, "resnet20s")
    assert small.shrunk(architecture, RESNET20, 0.8**7).widths == (13, 13, 17, 25)


@pytest.mark.parametrize("density", [0.8, 0.5, 0.3, 0.1, 0.05])
def test_other_widths_have_about_as_many_weights(density):
    architecture = get(Architecture, "resnet20s")
    network = small.shrunk(architecture, RESNET20, density)
    built = sum(w.numel() for w in masks.prunable(architecture.build(network)).values())
    assert built == architecture.count(network).prunable
    assert built / 267_696 == pytest.approx(density, rel=0.08)


# ------------------------------------------------------------------------------------ tickets and limits


def ticket(task, method, sparsity, seeds=1, budget=None):
    asked = request.ask(task, [method], [sparsity], seeds=seeds, metrics=["accuracy"], budget=budget)
    made = plan.plan(asked, (), data_needed=False)
    return next(e.network for e in made.entries if e.method == method)


def test_finetune_trains_on_from_what_was_trained(tiny_task):
    network = ticket(tiny_task, "finetune", 0.75)
    assert isinstance(network.start, Train)
    assert network.start.mask is not None
    assert network.start.start.mask is None
    assert network.mask.given == network.start
    once = ticket(tiny_task, "finetune:oneshot", 0.75)
    assert once.start == network.start.start
    assert once.recipe == network.recipe != once.start.recipe


@pytest.mark.parametrize("method", ["connection", "filter"])
def test_structures_are_pruned_in_steps_or_at_once_with_fine_tuning(tiny_task, method):
    plain, many, once = (ticket(tiny_task, f"{method}{v}", 0.5904) for v in ("", ":iterative", ":oneshot"))
    assert once.start == once.mask.given == plain.mask.given
    assert (once.mask, once.recipe) == (plain.mask, many.recipe)
    densities, network = [], many
    while network.mask is not None:
        assert network.start == network.mask.given
        densities.append(network.mask.density)
        network = network.start
    assert densities == [0.4096, 0.5]  # the task keeps a half in each round
    assert network == plain.mask.given


def test_variants_that_fine_tune_need_a_recipe_for_it(tmp_path):
    words = (TESTS / "tiny.toml").read_text(encoding="utf-8").partition("[budget.quick.finetune]")[0]
    file = tmp_path / "bare.toml"
    file.write_text(words, encoding="utf-8")
    for method in ("connection:iterative", "filter:oneshot"):
        with pytest.raises(BadInput, match="finetune"):
            ticket(str(file), method, 0.5)


@pytest.mark.parametrize("method", ["omp", "lamp", "connection", "filter"])
def test_what_is_pruned_and_not_trained_is_the_dense_network_with_a_mask(tiny_task, method):
    plain, left = ticket(tiny_task, method, 0.5), ticket(tiny_task, f"{method}:untrained", 0.5)
    assert left.mask == plain.mask
    assert left.start == plain.mask.given
    assert (left.epochs, flops(left)) == (0, 0.0)


def test_a_ticket_without_its_last_training_is_the_round_before_with_a_mask(tiny_task):
    plain, left = ticket(tiny_task, "imp", 0.488), ticket(tiny_task, "imp:untrained", 0.488)
    assert left.mask == plain.mask
    assert left.start == plain.mask.given != plain.start


def test_its_weights_are_those_of_the_dense_network_where_they_are_kept(tiny_task, tmp_path):
    asked = request.ask(tiny_task, ["connection:untrained"], [0.488], seeds=1, metrics=["accuracy"])
    api.execute(asked, api.RunOptions(store=tmp_path, workers=0, device="cpu", progress="none"))
    left = next(e.network for e in plan.plan(asked, ()).entries if e.method == "connection:untrained")
    store = open_store(tmp_path)
    weights, dense = (WEIGHTS.read(store, step) for step in (left, left.start))
    held = MASK.read(store, left.mask)
    assert held.keys() < weights.keys()
    assert any(not mask.all() for mask in held.values())
    for name, tensor in weights.items():
        assert torch.equal(tensor, dense[name] * held[name] if name in held else dense[name]), name


@pytest.mark.parametrize("method", ["omp:uniform", "random:erk"])
def test_a_variant_shares_the_density_out_over_layers(tiny_task, method):
    assert ticket(tiny_task, method, 0.75).mask.allocation == method.partition(":")[2]


def test_the_itop_recipe_of_rigl_is_longer_and_drops_more(tiny_task):
    network, plain = (ticket("c10-r20s", m, 0.9, budget="paper") for m in ("rigl:itop", "rigl"))
    assert network.rewire.fraction == 0.5
    recipe, rewire = network.recipe, network.rewire
    assert recipe.epochs == round(plain.recipe.epochs * 250 / 182)
    assert (recipe.weight_decay, recipe.nesterov) == (5e-4, True)
    assert (recipe.schedule, recipe.gamma) == ("step", 0.1)
    assert recipe.milestones == (recipe.epochs // 2, recipe.epochs * 3 // 4)
    assert (rewire.final, rewire.until) == (0.005, 1.0)
    assert recipe.epochs * 352 / rewire.every == pytest.approx(22, rel=0.02)


def test_the_itop_recipe_of_a_single_epoch_keeps_its_rate(tiny_task, tmp_path):
    short = tmp_path / "short.toml"
    text = Path(tiny_task).read_text().replace("rewind_epoch = 1", "rewind_epoch = 0")
    short.write_text(text.replace("epochs = 2", "epochs = 1"))
    recipe = ticket(str(short), "rigl:itop", 0.5).recipe
    assert (recipe.epochs, learning_rate(recipe, 0.0)) == (1, recipe.lr)


def test_the_itop_recipe_needs_momentum(tiny_task, tmp_path):
    text = Path(tiny_task).read_text(encoding="utf-8").replace("momentum = 0.9", "momentum = 0.0")
    plain = tmp_path / "plain.toml"
    plain.write_text(text.replace("nesterov = true", "nesterov = false"), encoding="utf-8")
    assert ticket(str(plain), "rigl", 0.5).recipe.momentum == 0.0
    with pytest.raises(BadInput, match="Nesterov momentum, and this task trains with momentum 0; use rigl"):
        ticket(str(plain), "rigl:itop", 0.5)


def test_the_itop_recipe_on_imagenet_is_its_own():
    asked = request.ask("img-r50", ["rigl:itop"], rounds=[3], budget="paper", metrics=["accuracy"])
    made = plan.plan(asked, (), data_needed=False)
    network = next(e.network for e in made.entries if e.method == "rigl:itop")
    recipe = network.recipe
    assert (recipe.epochs, recipe.milestones) == (100, (30, 60, 90))
    assert recipe.lr == pytest.approx(0.1 * recipe.batch_size / 64)
    assert (recipe.label_smoothing, recipe.weight_decay, recipe.nesterov) == (0.1, 1e-4, False)
    assert network.rewire.every == 4000 * 64 // recipe.batch_size


@pytest.mark.parametrize(
    ("method", "sparsity", "said"),
    [
        ("filter", 0.999, "filters can go up to sparsity 0.9"),
        ("random:erkk", 0.5, "did you mean random:erk?"),
        ("set:erk", 0.5, 'no variant "erk". There is omp:erk and random:erk. Valid: set, which has no'),
        ("imp:onehsot", 0.5, "finetune:oneshot and lrr:oneshot. Valid: imp"),
        ("omp:lamp", 0.5, "did you mean the method lamp? valid: omp, omp:"),
        ("grap", 0.5, "did you mean grasp?"),
    ],
)
def test_what_cannot_be_used_is_refused_with_what_would_work(method, sparsity, said):
    with pytest.raises(BadInput) as error:
        ticket("c10-r20s", method, sparsity)
    assert said.lower() in str(error.value).lower()


def test_finetune_needs_a_recipe(tmp_path, tiny_task):
    text = Path(tiny_task).read_text()
    start = text.find("[budget.quick.finetune]")
    end = text.find("[budget.quick.evaluate]")
    without = text if start < 0 else text[:start] + text[end:] if end > start else text[:start]
    path = tmp_path / "bare.toml"
    path.write_text(without)
    with pytest.raises(BadInput, match=r"no \[finetune\] recipe"):
        ticket(str(path), "finetune", 0.5)
