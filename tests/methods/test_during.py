"""Pruning during training: SET against a plain loop, gradual pruning against its schedule and by hand."""

import dataclasses

import pytest
import torch
from torch import nn

from lthbench import masks
from lthbench.compute.rng import generator
from lthbench.execution.runner import Runner
from lthbench.masks import rewiring
from lthbench.masks.rewiring import Rewiring
from lthbench.methods import rigl
from lthbench.methods import set as evolutionary
from lthbench.planning import plan, request
from lthbench.spec import Rewire, Train, history, mask_keeper
from lthbench.store import LocalStore
from lthbench.training import loop


def layers(shapes, density):
    """Layers with weights, gradients, masks and momenta, and the optimiser that moves them."""
    draw = torch.Generator().manual_seed(0)
    held = []
    for shape in shapes:
        keep = (torch.rand(shape, generator=draw) < density).float()
        weight = nn.Parameter(torch.randn(shape, generator=draw) * keep)
        weight.grad = torch.randn(shape, generator=draw)
        held.append((weight, keep))
    optimizer = torch.optim.SGD([w for w, _ in held], lr=0.1, momentum=0.9)
    for weight, keep in held:
        optimizer.state[weight]["momentum_buffer"] = torch.randn(weight.shape, generator=draw) * keep
    return held, optimizer


# -------------------------------------------------------------------------------------------------- SET


def test_set_moves_weights_and_then_replaces_the_smallest_by_others_at_random():
    held, optimizer = layers([(40,), (5, 12)], 0.5)
    expected = []
    for place, (weight, keep) in enumerate(held):
        kept = keep.flatten().bool().tolist()
        pull = (weight.grad * keep).flatten().tolist()
        momenta = optimizer.state[weight]["momentum_buffer"].flatten().tolist()
        momenta = [0.9 * m + g for m, g in zip(momenta, pull, strict=True)]
        moved = [w - 0.1 * m for w, m in zip(weight.detach().flatten().tolist(), momenta, strict=True)]
        count = int(0.3 * sum(kept))
        gone = sorted((i for i, k in enumerate(kept) if k), key=lambda i: abs(moved[i]))[:count]
        stay = [k and i not in gone for i, k in enumerate(kept)]
        lots = torch.rand(len(kept), generator=generator("grow", 7, 200, place), dtype=torch.float64).tolist()
        grown = sorted((i for i, k in enumerate(stay) if not k), key=lambda i: -lots[i])[:count]
        after = [k or i in grown for i, k in enumerate(stay)]
        old = [a and k for a, k in zip(after, kept, strict=True)]
        expected.append((after, [w if k else 0.0 for w, k in zip(moved, old, strict=True)]))
    wiring = Rewiring(Rewire(0.3, 0.3, 100, 1.0, grow="random"), held, optimizer, 1000, seed=7)
    wiring.change(200)
    for (weight, keep), (after, values) in zip(held, expected, strict=True):
        assert keep.flatten().bool().tolist() == after
        assert weight.detach().flatten().tolist() == pytest.approx(values, abs=1e-6)


def test_what_set_grows_is_any_weight_and_another_at_another_step_and_seed():
    def grown(seed, step):
        held, optimizer = layers([(400,)], 0.5)
        before = held[0][1].clone()
        Rewiring(Rewire(0.5, 0.5, 1, 1.0, grow="random"), held, optimizer, 1000, seed).change(step)
        return ((held[0][1] > 0) & (before == 0)).nonzero().flatten().tolist()

    assert grown(0, 1) == grown(0, 1)
    assert len({tuple(grown(s, t)) for s, t in ((0, 1), (0, 2), (1, 1))}) == 3


def test_a_training_draws_what_grows_by_its_own_seed(tiny_task, monkeypatch, tmp_path):
    """What is drawn for each of two trainings in a stack, at the steps that are due."""
    asked = request.ask(tiny_task, ["set"], [0.5], seeds=[3, 4], metrics=["accuracy"])
    networks = [e.network for e in plan.plan(asked, ()).entries if e.method == "set"]
    often = dataclasses.replace(evolutionary.SET, every=6)
    drawn = set()
    monkeypatch.setattr(rewiring, "generator", lambda *purpose: drawn.add(purpose) or generator(*purpose))
    store = LocalStore(tmp_path)
    store.open()
    steps = [dataclasses.replace(n, rewire=often) for n in networks if isinstance(n, Train)]
    assert Runner(store, ()).do(list(history(*steps))) == {}
    layers = len(masks.prunable(Runner(store, ()).space.network(steps[0])))
    assert drawn == {("grow", s, t, i) for s in (3, 4) for t in (6, 12) for i in range(layers)}


def test_set_is_rigl_but_for_what_grows():
    assert dataclasses.replace(rigl.RIGL, grow="random") == evolutionary.SET
    assert rigl.RIGL.grow is None


# ------------------------------------------------------------------------------------- gradual pruning


@pytest.mark.parametrize(
    ("every", "steps", "until"), [(7, 100, 0.75), (100, 60, 0.75), (1, 3, 1.0), (5, 1, 0.5)]
)
@pytest.mark.parametrize("pooled", [None, "all"])
def test_gradual_pruning_keeps_what_the_schedule_says_and_ends_exactly(every, steps, until, pooled):
    held, optimizer = layers([(3, 11), (7,), (13, 5), (1,)], 1.1)
    rewire = Rewire(0.0, 0.0, every, until, density=0.23, pooled=pooled)
    wiring = Rewiring(rewire, held, optimizer, steps, 0)
    end, before = min(int(until * steps), steps - 1), torch.ones(106)
    for step in range(steps):
        if not wiring.due(step):
            continue
        wiring.change(step)
        kept = torch.cat([keep.flatten() for _, keep in held])
        assert not (kept > before).any()
        wanted = 0.23 + 0.77 * (1 - step / end) ** 3 if step < end else 0.23
        assert abs(float(kept.sum()) - wanted * 106) <= (0.5 if pooled else 2.0)
        before = kept.clone()
        for weight, keep in held:
            assert not weight.detach()[keep == 0].any()
            assert not optimizer.state[weight]["momentum_buffer"][keep == 0].any()
    assert before.sum() == round(0.23 * 106)
    if not pooled:
        assert [abs(float(keep.sum()) - 0.23 * keep.numel()) < 1.0 for _, keep in held] == [True] * 4


def test_the_largest_weights_stay():
    held, optimizer = layers([(50,), (20,)], 1.1)
    for weight, _ in held:
        weight.grad = torch.zeros_like(weight)
        optimizer.state[weight]["momentum_buffer"].zero_()
    sizes = [weight.detach().abs().clone() for weight, _ in held]
    Rewiring(Rewire(0.0, 0.0, 1, 0.5, density=0.4), held, optimizer, 10, 0).change(5)
    for size, (_, keep) in zip(sizes, held, strict=True):
        assert keep.sum() == 0.4 * len(size)
        assert size[keep > 0].min() > size[keep == 0].max()


def ticket(task, method, sparsity=0.9, budget=None):
    asked = request.ask(task, [method], [sparsity], seeds=1, metrics=["accuracy"], budget=budget)
    return plan.plan(asked, (), data_needed=False).entries[-1].network


def test_gradual_pruning_starts_from_all_weights_and_has_the_sparsity_asked_for(tiny_task):
    network = ticket(tiny_task, "gmp")
    assert network.mask is None
    assert network.rewire.density == pytest.approx(0.1)
    assert mask_keeper(network) == network
    assert network.key != ticket(tiny_task, "gmp:global").key
    assert network.rewire.every == 1  # 20 steps in all
    rewire = ticket("c10-r18", "gmp", budget="paper").rewire
    assert (rewire.every, rewire.until) == (100, 0.75)


@pytest.mark.parametrize("method", ["gmp", "gmp:global", "set"])
def test_a_training_left_after_each_epoch_and_one_in_a_stack_end_with_the_same_bits(
    network, recipe, method, tmp_path, tiny_task
):
    """What the runner makes of two tickets together is what the loop makes of each, epoch by epoch."""
    store = LocalStore(tmp_path)
    store.open()
    runner = Runner(store, ())
    found = [ticket(tiny_task, method), ticket(tiny_task, method, 0.5)]
    if method == "set":  # every 100 of 20 steps would be never
        found = [dataclasses.replace(s, rewire=dataclasses.replace(s.rewire, every=3)) for s in found]
    assert runner.do(list(history(*found))) == {}
    for step in found:
        images = runner.space.training_images(step)
        member, point = runner.space.member(step), None
        for epoch in range(step.recipe.epochs):
            how = {"rewire": step.rewire, "so_far": point, "first_epoch": 0, "last_epoch": epoch + 1}
            point = loop.train(member.model, images, step.recipe, step.seed, member.mask, **how)
            point = point._replace(momentum={n: m.clone() for n, m in point.momentum.items()})
        stored, kept = runner.space.network(step).state_dict(), runner.space.held(step)
        assert all(torch.equal(a, stored[n]) for n, a in member.model.state_dict().items())
        assert all(torch.equal(kept[n], m) for n, m in point.mask.items())
        density = step.rewire.density or step.mask.density
        assert sum(k for k, _ in masks.count(kept).values()) == round(density * 73_872)
        assert not any(w[~kept[n]].any() for n, w in masks.prunable(runner.space.network(step)).items())


def test_a_training_too_short_for_its_mask_to_move_much_says_so(tiny_task):
    def notes(task, methods):
        return plan.plan(request.ask(task, methods, [0.5, 0.75]), (), data_needed=False).request.notes

    moved = (
        "changes its mask every 100 steps up to 75 % of a training; of 20 steps it changes it at none, and"
    )
    found = notes(tiny_task, ["rigl", "set", "gmp", "omp", "rigl:itop"])
    assert [
        note.startswith(f"{name} {moved}") for name, note in zip(("rigl", "set"), found, strict=True)
    ] == [True] * 2
    few = "changes its mask every 100 steps up to 75 % of a training; of 408 steps it changes it at 3 alone"
    assert notes("digits-r8", ["rigl", "set", "rigl:itop"]) == (f"rigl {few}", f"set {few}")
