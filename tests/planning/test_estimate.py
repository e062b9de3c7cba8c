"""How long a plan is said to take, and what that is learned from."""

import dataclasses

import pytest

from lthbench.execution.runner import Runner
from lthbench.planning import plan, request
from lthbench.planning.estimate import (
    DEFAULT_RATE,
    START_SECONDS,
    STEP_SECONDS,
    estimate,
    learned_rates,
    seconds,
)
from lthbench.planning.flops import flops
from lthbench.spec import Init, Train
from lthbench.store import LocalStore


@pytest.fixture
def dense(tiny_task):
    made = plan.plan(request.ask(tiny_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"]), ())
    return next(s for s in made.steps if isinstance(s, Train))


def in_bfloat16(step):
    return dataclasses.replace(step, recipe=dataclasses.replace(step.recipe, precision="bfloat16"))


def event(step, seconds, **more):
    facts = {"step": "Train", "architecture": "resnet8", "flops": flops(step), "seconds": seconds}
    return {**facts, "device": "cpu", "status": "ok", "precision": step.recipe.precision, **more}


def test_what_was_measured_of_its_kind_counts_and_nothing_else(dense):
    events = [event(dense, 30.0), event(dense, 50.0), event(dense, 1e6, status="failed")]
    events.append(event(dense, 1e6, device="cuda"))
    rates = learned_rates(events, "cpu")
    assert seconds(dense, rates, "cpu") == pytest.approx(STEP_SECONDS + 40.0)
    assert seconds(dense, {}, "cpu") == pytest.approx(STEP_SECONDS + flops(dense) / DEFAULT_RATE["cpu"])


def test_a_gpu_of_a_number_is_as_fast_as_others_are(dense):
    events = [event(dense, 7.0, device="cuda"), event(dense, 30.0)]
    rates = learned_rates(events, "cuda:1")
    assert rates == learned_rates(events, "cuda") != learned_rates(events, "cpu")
    assert seconds(dense, {}, "cuda:1") == seconds(dense, {}, "cuda") < seconds(dense, {}, "cpu")
    assert estimate([dense], events, 1, "cuda:1") == estimate([dense], events, 1, "cuda")


def test_trainings_in_bfloat16_say_nothing_of_those_in_float32(dense):
    half = in_bfloat16(dense)
    both = learned_rates([event(dense, 40.0), event(half, 15.0)], "cpu")
    assert seconds(dense, both, "cpu") == pytest.approx(STEP_SECONDS + 40.0)
    assert seconds(half, both, "cpu") == pytest.approx(STEP_SECONDS + 15.0)
    events = [event(half, 15.0)]
    assert estimate([half], events, 1, "cpu").learned
    assert not estimate([dense], events, 1, "cpu").learned


def test_the_log_of_a_run_says_at_which_precision_it_trained(dense, tmp_path):
    store, half = LocalStore(tmp_path / "store"), in_bfloat16(dense)
    store.open()
    init = next(s for s in dense.needs() if isinstance(s, Init))
    assert Runner(store, ()).do([init, dense, half]) == {}
    told = {e["key"]: e["precision"] for e in store.events() if e["step"] == "Train"}
    assert told == {dense.key: "float32", half.key: "bfloat16"}
    assert estimate([dense, half], store.events(), 1, "cpu").learned


def test_trainings_take_as_long_as_those_like_them_did_and_others_of_the_network_say_nothing(dense):
    """A short and a long recipe of one network: another speed, since what is not counted weighs more."""
    longer = dataclasses.replace(dense, recipe=dataclasses.replace(dense.recipe, epochs=40))
    events = [event(dense, 100.0), *(event(longer, seconds) for seconds in (100.0, 120.0))]
    guess = estimate([longer], events, 1, "cpu")
    assert (guess.like, guess.took) == (2, pytest.approx(110.0 + STEP_SECONDS))
    assert guess.chain == pytest.approx(110.0 + STEP_SECONDS)
    assert guess.low < guess.chain + 6.0 < guess.high
    assert guess.alike() == "as 2 trainings like these in this store took: about 2 min for one"
    assert estimate([longer], [event(dense, 100.0)], 1, "cpu").alike() == ""


def test_the_longest_chain_is_in_seconds_of_its_own_steps(dense):
    slow = {**event(dense, 50.0), "step": "Predict", "flops": 1.0, "seconds": 50.0}
    assert estimate([dense], [event(dense, 40.0), slow], 1, "cpu").chain < 41.0


def test_workers_share_the_steps_but_not_one_chain(dense):
    others = [dataclasses.replace(dense, seed=seed) for seed in range(10, 20)]
    one, four, many = (estimate(others, [event(dense, 100.0)], n, "cpu") for n in (1, 4, 100))
    assert one.learned
    middle = [(e.low * e.high) ** 0.5 - START_SECONDS for e in (one, four, many)]
    assert middle == pytest.approx([10 * middle[2], 2.5 * middle[2], one.chain])


def test_what_was_not_measured_here_is_less_sure(dense):
    known, unknown = (estimate([dense], events, 1, "cpu") for events in ([event(dense, 100.0)], []))
    assert (known.high / known.low, unknown.high / unknown.low) == pytest.approx((1.3**2, 2.5**2))
