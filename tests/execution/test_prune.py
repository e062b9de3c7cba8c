"""What a criterion gives is held to the network before a mask is made of it."""

import pytest
import torch

from lthbench import masks, registry
from lthbench.errors import StepFailed
from lthbench.execution import verbs
from lthbench.execution.runner import Runner
from lthbench.kinds import Criterion
from lthbench.spec import Init, Prune
from lthbench.store import LocalStore
from lthbench.store.artifacts import MASK
from lthbench.training.optimization import hold


@pytest.fixture
def pruned(tmp_path, init, monkeypatch):
    """Prunes a new ResNet-8 by scores that are |w| but for a change; gives the mask."""
    store = LocalStore(tmp_path)
    store.open()
    runner = Runner(store, ())
    assert runner.do([init]) == {}

    def make(change=lambda scores: scores, density=0.41, **how):
        def score(model, batches, generator):
            return change({n: w.detach().abs() for n, w in masks.prunable(model).items()})

        criterion = Criterion("own", 1, score, **how)
        monkeypatch.setattr(registry, "criterion", lambda name: criterion)
        step = Prune(init, "own", "1", density, 0)
        verbs.do(step, [step], runner.space, verbs.Course())
        return MASK.read(store, step)

    return make


LAST = "layer3.0.conv2.weight"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: None, "scores are a dict of tensors by the names of weights, not NoneType"),
        (lambda s: {n: v for n, v in s.items() if n != LAST}, f"scores lack {LAST}$"),
        (lambda s: {}, "scores lack conv1.weight, .* and 4 more"),
        (lambda s: {**s, "fc.weight": torch.ones(10, 64)}, "scores have fc.weight, which cannot be pruned"),
        (lambda s: {n: v.flatten() for n, v in s.items()}, r"conv1.weight have shape \[144\], not \[16, 1, "),
        (lambda s: {n: v.sum(1) for n, v in s.items()}, r"have shape \[16, 3, 3\], not \[16, 1, 3, 3\]"),
        (lambda s: {n: v.numpy() for n, v in s.items()}, "of conv1.weight are ndarray, not a dense tensor"),
        (lambda s: {n: v.to_sparse() for n, v in s.items()}, "are torch.sparse_coo, not a dense tensor"),
        (lambda s: {**s, LAST: s[LAST] * torch.nan}, f"scores are not finite in {LAST}"),
        (lambda s: {**s, LAST: s[LAST] / 0}, f"scores are not finite in {LAST}"),
    ],
)
def test_scores_of_other_weights_or_shapes_make_no_mask(pruned, change, said):
    with pytest.raises(StepFailed, match=f"criterion own: .*{said}"):
        pruned(change)


@pytest.mark.parametrize("unit", ["kernel", "filter", "coupled"])
def test_scores_that_are_not_finite_remove_no_larger_unit(pruned, unit):
    with pytest.raises(StepFailed, match=f"criterion own: scores are not finite in {LAST}"):
        pruned(lambda s: {**s, LAST: s[LAST] * torch.nan}, unit=unit)


def test_scores_are_looked_at_in_each_round(pruned):
    rounds = iter(range(9))
    with pytest.raises(StepFailed, match=r"scores are not finite in conv1.weight, .* and 4 more"):
        pruned(lambda s: s if next(rounds) < 2 else {n: v * torch.nan for n, v in s.items()}, rounds=3)
    assert next(rounds) == 3


@pytest.mark.parametrize("kind", [torch.float64, torch.float16, torch.int64])
def test_scores_of_any_type_make_the_mask_of_the_density(pruned, kind):
    mask = pruned(lambda s: {n: (1000 * v).to(kind) for n, v in s.items()})
    assert sum(k for k, _ in masks.count(mask).values()) == round(0.41 * 73_872)


@pytest.mark.parametrize("unit", ["filter", "coupled"])
def test_filters_that_cannot_go_far_enough_fail(pruned, unit):
    found = masks.counted(pruned(unit=unit, density=0.6))
    assert found["kept"] == pytest.approx(0.6 * found["total"], rel=0.1)
    with pytest.raises(StepFailed, match=r"criterion own: without all the filters .* and 1e-05 is asked for"):
        pruned(unit=unit, density=1e-5)


def test_a_mask_of_other_shapes_is_refused_by_a_training(tmp_path, init):
    store = LocalStore(tmp_path)
    store.open()
    model = Runner(store, ()).space.built(Init(init.network, 0))
    whole = masks.full(model)
    assert len(hold(model, whole)) == len(whole)
    with pytest.raises(StepFailed, match=r"in conv1.weight it has shape \[144\], and the weights \[16, 1, 3"):
        hold(model, {n: m.flatten() for n, m in whole.items()})
    with pytest.raises(StepFailed, match="another network: it has bias"):
        hold(model, {"bias": torch.ones(3, dtype=torch.bool)})
