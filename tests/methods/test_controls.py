"""What takes one part of a ticket away, and learning rate rewinding: each against the paper's procedure."""

import dataclasses

import pytest
import torch

from lthbench import masks
from lthbench.data import loading
from lthbench.errors import BadInput
from lthbench.execution.runner import Runner
from lthbench.kinds import Architecture, Cell
from lthbench.methods import filter as filters
from lthbench.methods import lrr, omp, random, synflow
from lthbench.planning import expression, plan, request
from lthbench.planning.step_record import restored
from lthbench.registry import get
from lthbench.spec import Given, Init, describe, history
from lthbench.store import LocalStore
from lthbench.training.loop import train

FOUND = ("imp", "omp", "lamp", "snip", "grasp", "synflow", "force")


def entries(task, methods, rounds=(2,)):
    asked = request.ask(task, list(methods), rounds=list(rounds), seeds=1, metrics=["accuracy"])
    made = plan.plan(asked, ())
    return made, {(e.method, e.sparsity): e.network for e in made.entries}


@pytest.fixture(scope="module")
def done(tmp_path_factory, tiny_task):
    """Tickets, their controls and learning rate rewinding on the small task, trained; with their runner."""
    methods = ("imp", "imp:reinit", "imp:shuffled", "snip", "snip:shuffled", "lrr", "lrr:oneshot")
    made, networks = entries(tiny_task, methods, (1, 2))
    store = LocalStore(tmp_path_factory.mktemp("store"))
    store.open()
    runner = Runner(store, ())
    assert runner.do(made.steps) == {}
    return networks, runner


@pytest.mark.parametrize("method", FOUND)
def test_a_control_lacks_one_part_of_what_the_method_found(tiny_task, method):
    _, networks = entries(tiny_task, (method, f"{method}:reinit", f"{method}:shuffled"))
    ticket, drawn, moved = (
        networks[name, 0.75] for name in (method, f"{method}:reinit", f"{method}:shuffled")
    )
    assert drawn.mask == ticket.mask
    assert drawn.start == Init(drawn.start.network, -1)
    assert drawn.first_epoch == 0
    assert moved.start == ticket.start
    assert moved.mask.layers_of == ticket.mask
    assert moved.mask.criterion == "random"
    assert moved.mask.density == ticket.mask.density
    assert {n.seed for n in (ticket, drawn, moved)} == {0}


@pytest.mark.parametrize("method", ["imp", "snip"])
def test_a_shuffled_mask_keeps_as_many_of_each_layer_elsewhere(done, method):
    networks, runner = done
    ticket, moved = (runner.space.mask(networks[n, 0.75].mask) for n in (method, f"{method}:shuffled"))
    assert masks.count(ticket) == masks.count(moved)
    shares = {kept / total for kept, total in masks.count(ticket).values()}
    assert len(shares) > 5  # not the same share of each: there is something to keep
    both = sum(int((ticket[n] & moved[n]).sum()) for n in ticket)
    chance = sum(kept**2 / total for kept, total in masks.count(ticket).values())
    assert both == pytest.approx(chance, rel=0.05)


def test_initial_weights_that_are_drawn_anew_are_those_of_no_seed(done):
    networks, runner = done
    start = networks["imp:reinit", 0.75].start
    drawn = masks.prunable(runner.space.network(start))
    for seed in range(3):
        other = masks.prunable(runner.space.built(Init(start.network, seed)))
        near = [torch.corrcoef(torch.stack([drawn[n].flatten(), other[n].flatten()]))[0, 1] for n in drawn]
        assert max(map(abs, near)) < 0.2
    deviations = [drawn[n].std() / other[n].std() for n in drawn]
    assert all(0.8 < d < 1.25 for d in deviations)  # of the same distribution


def test_the_rounds_before_the_last_are_those_of_the_ticket(done):
    networks, _ = done
    assert networks["imp:reinit", 0.75].mask.given == networks["imp", 0.5]


def test_learning_rate_rewinding_trains_what_is_left_by_the_epochs_that_a_ticket_repeats(done):
    networks, runner = done
    dense, half, quarter = networks["dense", 0.0], networks["lrr", 0.5], networks["lrr", 0.75]
    assert (half.start, quarter.start) == (dense, half)
    assert (half.first_epoch, half.epochs) == (1, 1) == (networks["imp", 0.5].first_epoch, 1)
    assert quarter.mask.given == half
    assert networks["lrr:oneshot", 0.75].mask.given == dense

    model = runner.space.network(dense)
    held = masks.top({n: w.detach().abs() for n, w in masks.prunable(model).items()}, 0.5)
    images = loading.subset(loading.load("digits", "train", ()), half.recipe.images)
    train(model, images, half.recipe, 0, held, first_epoch=1)
    made = runner.space.network(half).state_dict()
    assert all(torch.equal(w, made[n]) for n, w in model.state_dict().items())


def test_a_step_is_restored_from_its_description_and_told_in_words(done):
    networks, _ = done
    for name in ("imp:shuffled", "imp:reinit", "lrr"):
        step = networks[name, 0.75]
        described = {s.key: describe(s) for s in history(step)}
        assert restored(described, step.key) == step
    dense = {networks["dense", 0.0].key: "dense"}
    assert "random, density 0.25, layers as in prune(" in expression.written(networks["imp:shuffled", 0.75])
    assert expression.written(networks["lrr", 0.5], dense) == (
        "train(dense, 2 epochs from 1 on, seed 0, mask prune(dense, magnitude, density 0.5))"
    )


def test_a_pretrained_parent_has_no_epoch_to_rewind_to(done):
    """It goes through the whole recipe, as its tickets do."""
    networks, _ = done
    dense = networks["dense", 0.0]
    given = Given(dense.start.network, "0" * 64)
    cell = Cell(
        0.5, (0.5,), 0, dense.recipe, dense.data, given, given, given, {}, get(Architecture, "resnet8")
    )
    network = lrr.ticket(cell)
    assert (network.start, network.first_epoch, network.epochs) == (given, 0, dense.recipe.epochs)


@pytest.fixture
def cell(done):
    """A cell of the small task, with its networks."""
    networks, _ = done
    dense, rewound = networks["dense", 0.0], networks["imp", 0.5].start
    place = (dense.recipe, dense.data, dense.start, dense, rewound, {}, get(Architecture, "resnet8"))
    return Cell(0.5, (0.5,), 0, *place)


@pytest.mark.parametrize("epoch", [2, 50, -1, 1.5, True])
def test_an_epoch_that_the_recipe_has_not_is_refused(cell, epoch):
    with pytest.raises(BadInput, match="from_epoch must be a whole number from 0 to 1, as the recipe has 2"):
        cell.train(cell.dense, cell.prune(cell.dense, omp.MAGNITUDE), from_epoch=epoch)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": -1}, "recipe.epochs: must not be negative, got -1"),
        ({"epochs": 15.0}, "recipe.epochs: must be a whole number, got 15.0"),
        ({"batch_size": 0}, "recipe.batch_size: must be positive, got 0"),
        ({"lr": float("nan")}, "recipe.lr: must be a finite number, got nan"),
        ({"schedule": "lineal"}, 'recipe.schedule: no value "lineal". Did you mean linear'),
    ],
)
def test_a_recipe_that_no_training_can_follow_is_refused(cell, changes, said):
    with pytest.raises(BadInput) as found:
        cell.train(cell.init, recipe=dataclasses.replace(cell.recipe, **changes))
    assert said in str(found.value)


def test_layers_of_another_mask_are_for_single_weights_at_once(cell):
    mask = cell.prune(cell.dense, omp.MAGNITUDE)
    for criterion, how in ((filters.FILTERS, ""), (synflow.FLOW, ""), (random.RANDOM, "erk")):
        with pytest.raises(BadInput, match="layers_of is for criteria of single weights with one round"):
            cell.prune(cell.init, criterion, allocation=how, layers_of=mask)
    other = dataclasses.replace(cell.init, network=dataclasses.replace(cell.network, widths=(8, 8, 8, 8)))
    with pytest.raises(BadInput, match="layers_of is the mask of another network"):
        cell.prune(other, random.RANDOM, layers_of=mask)
