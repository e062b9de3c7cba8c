"""FORCE and Iterative SNIP against loops of their own, over the masks that the runner makes."""

import dataclasses
import itertools

import pytest
import torch
from torch.func import functional_call
from torch.nn import functional as F

from lthbench import masks, registry
from lthbench.data import loading
from lthbench.execution.runner import Runner
from lthbench.methods import force
from lthbench.planning import flops, plan, request
from lthbench.spec import history
from lthbench.store import LocalStore

ROUNDS, DENSITY = 5, 0.1


def ticket(task, method):
    asked = request.ask(task, [method], [1 - DENSITY], seeds=1, metrics=["accuracy"])
    return plan.plan(asked, (), data_needed=True).entries[-1].network


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_task):
    """Masks of both in few rounds, and the network that they prune."""
    store = LocalStore(tmp_path_factory.mktemp("store"))
    store.open()
    runner, known = Runner(store, ()), registry.criterion
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "criterion", lambda n: dataclasses.replace(known(n), rounds=ROUNDS))
        for method in ("force", "force:iterative-snip"):
            step = ticket(tiny_task, method).mask
            assert runner.do(list(history(step))) == {}
            found[method] = runner.space.mask(step)
    return found, runner.space.network(step.given).train()


def by_loops(model, returns):
    """Rounds in which a weight's score is |g * theta| or, where none returns, |g * theta * mask|."""
    images = loading.per_class(loading.load("digits", "train", ()), 10)
    pixels, labels = torch.from_numpy(images.pixels).float().div(255.0), torch.from_numpy(images.labels)
    theta = {n: w.detach().clone() for n, w in masks.prunable(model).items()}
    total = sum(w.numel() for w in theta.values())
    kept = [{n: torch.ones_like(w) for n, w in theta.items()}]
    for t in range(1, ROUNDS + 1):
        pruned = {n: (theta[n] * kept[-1][n]).requires_grad_() for n in theta}
        loss = F.cross_entropy(functional_call(model, pruned, (pixels,)), labels)
        slopes = dict(zip(pruned, torch.autograd.grad(loss, list(pruned.values())), strict=True))
        score = {n: (slopes[n] * (theta[n] if returns else pruned[n])).abs().detach() for n in theta}
        flat = torch.cat([s.reshape(-1) for s in score.values()])
        lowest = flat.sort(descending=True).values[round(DENSITY ** (t / ROUNDS) * total) - 1]
        kept.append({n: (s >= lowest).float() for n, s in score.items()})
    return kept


@pytest.mark.parametrize(("method", "returns"), [("force", True), ("force:iterative-snip", False)])
def test_a_mask_is_that_of_the_loop(made, method, returns):
    found, model = made
    rounds = by_loops(model, returns)
    differ = sum(int((found[method][n].float() != kept).sum()) for n, kept in rounds[-1].items())
    assert differ <= 4  # of 7,387: gradients are rounded as the order of sums has it
    assert sum(k for k, _ in masks.count(found[method]).values()) == round(DENSITY * 73_872)
    flat = [torch.cat([kept[n].reshape(-1) for n in kept]) for kept in rounds]
    back = any(bool((new > old).any()) for old, new in itertools.pairwise(flat))
    assert back == returns


def test_whole_weights_are_those_before_any_were_pruned():
    model = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1))
    before = model[0].weight.detach().clone()
    assert torch.equal(masks.whole(model)["0.weight"], before)
    mask = torch.zeros_like(before, dtype=torch.bool)
    mask[0] = True
    masks.apply_anew(model, {"0.weight": mask})
    masks.apply_anew(model, {"0.weight": ~mask})
    assert torch.equal(model[0].weight.detach(), before * ~mask)
    assert torch.equal(masks.whole(model)["0.weight"], before)


def test_finding_costs_sixty_gradients(tiny_task):
    step = ticket(tiny_task, "force").mask
    assert force.ROUNDS == 60
    assert flops.flops(step) == 60 * 3 * 100 * flops.forward_flops(step)
