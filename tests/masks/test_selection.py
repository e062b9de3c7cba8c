"""Masks: exact counts, stable ties, nesting, empty layers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lthbench import masks
from lthbench.errors import BadInput, StepFailed


def scores(*values):
    return {f"layer{i}.weight": torch.tensor(v, dtype=torch.float32) for i, v in enumerate(values)}


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.floats(0.0, 1.0))
def test_the_count_is_exact_and_ties_go_to_the_earlier_weight(values, density):
    half = len(values) // 2
    given_scores = scores(values[:half], values[half:])
    mask = masks.top(given_scores, density)
    kept = torch.cat([m.reshape(-1) for m in mask.values()]).tolist()
    order = sorted(range(len(values)), key=lambda i: (-values[i], i))
    wanted = set(order[: round(density * len(values))])
    assert [i in wanted for i in range(len(values))] == kept


def test_small_differences_decide_over_all_layers_together():
    mask = masks.top(scores([[1.0, 1.0 + 1e-6]], [[1.0 - 1e-6, 0.0]]), 0.25)
    assert mask["layer0.weight"].tolist() == [[False, True]]
    assert not mask["layer1.weight"].any()


def test_within_a_mask_only_its_weights_are_kept():
    outer = {"layer0.weight": torch.tensor([True, False, True, False])}
    inner = masks.top(scores([0.1, 9.0, 0.2, 8.0]), 0.5, outer)
    assert inner["layer0.weight"].tolist() == [True, False, True, False]
    with pytest.raises(StepFailed, match="cannot keep 3 weights"):
        masks.top(scores([0.1, 9.0, 0.2, 8.0]), 0.75, outer)


@pytest.mark.parametrize("density", [1.5, -0.1, float("nan")])
def test_a_density_that_no_mask_has_is_refused(density):
    """NumPy counts a place before the first from the end: 1.5 would keep half."""
    given_scores = {"layer.weight": torch.arange(8.0).reshape(2, 2, 2, 1)}
    shapes = {"layer.weight": (2, 2, 2, 1)}
    for keep in (
        lambda: masks.top(given_scores, density),
        lambda: masks.top(given_scores, density, allocation="erk"),
        lambda: masks.top_kernels(given_scores, density),
        lambda: masks.allocated(shapes, density, "uniform"),
    ):
        with pytest.raises(BadInput, match=f"density {density:g}: .* from 0 to 1"):
            keep()


@pytest.mark.parametrize("count", [5, -1])
def test_a_layer_keeps_no_more_weights_than_it_has(count):
    with pytest.raises(BadInput, match=rf"layer0\.weight has 4 weights and cannot keep {count}"):
        masks.top(scores([3.0, 1.0, 2.0, 0.0]), 0.5, allocation={"layer0.weight": count})


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused_by_layer(bad):
    with pytest.raises(StepFailed, match=r"not finite in layer1\.weight"):
        masks.top(scores([1.0], [bad]), 0.5)


def test_empty_layers_are_named():
    mask = masks.top({n: s.reshape(2, 1, 1, 1) for n, s in scores([3.0, 2.0], [1.0, 0.0]).items()}, 0.5)
    assert masks.collapsed(mask) == ["layer1.weight"]
    assert masks.count(mask) == {"layer0.weight": (2, 2), "layer1.weight": (0, 2)}


def test_prunable_are_the_convolutions_and_apply_zeroes_them():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Linear(2, 2))
    weights = masks.prunable(model)
    assert list(weights) == ["0.weight"]
    mask = {"0.weight": torch.zeros(2, 1, 3, 3, dtype=torch.bool)}
    mask["0.weight"][1] = True
    before = model[0].weight.detach().clone()
    masks.apply(model, mask)
    assert not model[0].weight[0].any()
    assert torch.equal(model[0].weight[1], before[1])


def test_what_rounding_leaves_goes_to_the_layers_with_the_largest_remainders():
    """Of 4 and 7 weights 6 of 11 are 2.18 and 3.82."""
    assert masks.allocated({"a": (4, 1, 1, 1), "b": (7, 1, 1, 1)}, 6 / 11, "uniform") == {"a": 2, "b": 4}
