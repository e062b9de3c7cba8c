"""N:M sparsity: what is kept of each group, in masks and in the tickets of omp and imp."""

import itertools

import pytest
import torch

from lthbench import masks
from lthbench.errors import BadInput, StepFailed
from lthbench.execution.runner import Runner
from lthbench.methods import omp
from lthbench.planning import plan, request
from lthbench.spec import history
from lthbench.store import LocalStore


def ticket(task, method, sparsity):
    asked = request.ask(task, [method], [sparsity], seeds=1, metrics=["accuracy"])
    return plan.plan(asked, ()).entries[-1].network


def in_groups(mask, m):
    """How many are kept of each m weights of neighbouring input channels, by loops."""
    out, channels, height, width = mask.shape
    places = itertools.product(range(out), range(0, channels, m), range(height), range(width))
    return {int(mask[o, c : c + m, y, x].sum()) for o, c, y, x in places}


@pytest.mark.parametrize("pattern", ["1:4", "2:4", "3:4", "1:8", "5:8", "1:16"])
def test_the_largest_of_each_group_are_kept(pattern):
    draw = torch.Generator().manual_seed(0)
    scores = {"a": torch.rand(3, 16, 2, 3, generator=draw), "b": torch.rand(4, 3, 1, 1, generator=draw)}
    mask = masks.top(scores, 0.5, None, pattern)
    n, m = map(int, pattern.split(":"))
    assert in_groups(mask["a"], m) == {n}
    assert bool(mask["b"].all())  # three input channels are no group: dense, as published
    for o, c, y, x in itertools.product(range(3), range(0, 16, m), range(2), range(3)):
        group, kept = scores["a"][o, c : c + m, y, x], mask["a"][o, c : c + m, y, x]
        assert sorted(group[kept].tolist()) == sorted(group.tolist())[m - n :]


def test_ties_go_to_the_earlier_channel_and_masks_nest():
    tied = {"a": torch.zeros(1, 8, 1, 1)}
    outer = masks.top(tied, 0.75, None, "3:4")
    assert outer["a"].flatten().tolist() == [True, True, True, False] * 2
    last = {"a": torch.arange(8.0).reshape(1, 8, 1, 1)}
    inner = masks.top(last, 0.5, outer, "2:4")
    assert inner["a"].flatten().tolist() == [False, True, True, False] * 2
    with pytest.raises(StepFailed, match="fewer than 3 weights of a group of 4"):
        masks.top(last, 0.75, inner, "3:4")
    with pytest.raises(StepFailed, match="no layer has input channels in groups of 16"):
        masks.top(last, 0.5, None, "8:16")


@pytest.mark.parametrize(
    ("density", "pattern"),
    [
        (0.5, (2, 4)),
        (0.25, (1, 4)),
        (0.75, (3, 4)),
        (0.125, (1, 8)),
        (1 - 0.9375, (1, 16)),
        (0.3, None),
        (1.0, None),
        (0.01, None),
    ],
)
def test_a_density_is_that_of_the_smallest_group(density, pattern):
    assert omp.pattern(density) == pattern


@pytest.mark.parametrize("method", ["omp:nm", "imp:nm"])
def test_other_sparsities_are_refused(tiny_task, method):
    with pytest.raises(BadInput, match=f"method {method} at sparsity 0.672: .* nearest is 0.6875; usual"):
        ticket(tiny_task, method, 0.672)


def test_a_method_that_does_not_fit_is_named_once_with_all_its_sparsities(tiny_task):
    asked = request.ask(tiny_task, ["omp:nm"], [0.672, 0.6719], seeds=1, metrics=["accuracy"])
    with pytest.raises(BadInput) as raised:
        plan.plan(asked, (), data_needed=False)
    assert len(str(raised.value).splitlines()) == 1
    assert "method omp:nm at sparsity 0.6719, 0.672: " in str(raised.value)


def test_rounds_take_one_more_of_each_group(tiny_task):
    network, patterns = ticket(tiny_task, "imp:nm", 0.75), []
    assert network.start == ticket(tiny_task, "omp:nm", 0.75).start
    while network.mask is not None:
        patterns.append((network.mask.allocation, network.mask.density))
        network = network.mask.given
    assert patterns == [("1:4", 0.25), ("2:4", 0.5), ("3:4", 0.75)]


def test_a_ticket_holds_in_each_group_and_after_training(tiny_task, tmp_path):
    store = LocalStore(tmp_path)
    store.open()
    runner, network = Runner(store, ()), ticket(tiny_task, "imp:nm", 0.5)
    assert runner.do(list(history(network))) == {}
    weights = masks.prunable(runner.space.network(network))
    first, *others = weights
    assert bool((weights[first] != 0).all())  # one input channel
    for name in others:
        assert in_groups(weights[name] != 0, 4) == {2}
    counted = store.meta(network.mask)
    assert counted["kept"] == sum(int((w != 0).sum()) for w in weights.values())
    assert counted["kept"] - 0.5 * counted["total"] == 0.5 * weights[first].numel()
