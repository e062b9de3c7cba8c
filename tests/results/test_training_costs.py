"""What it takes to find and train networks, with one training of the dense network as 1."""

import dataclasses
import json

import pytest

from lthbench.planning import plan, request
from lthbench.planning.start import Start
from lthbench.results import run_facts, training_costs
from lthbench.spec import Data, Train

#: digits-r8, quick: 24 epochs, rewinding to epoch 2, fine-tuning of 8.
EPOCHS, REWOUND, TUNED = 24, 2, 8
ROUND = (EPOCHS - REWOUND) / EPOCHS


def facts_of(asked):
    """What stands in run.json of a request."""
    made = plan.plan(asked, (), data_needed=False, known={"digits": Data("digits", 1, "ab")})
    parts = run_facts.asked(made) | {"networks": run_facts.networks(made), "environments": ()}
    found = run_facts.RunFacts(schema=run_facts.SCHEMA, seconds={}, masks={}, **parts)
    return run_facts.from_json(json.loads(json.dumps(found.to_json())) | {"command": ""})


@pytest.fixture(scope="module")
def facts():
    methods = "imp omp lrr imp:reinit imp:untrained omp:untrained random snip rigl gmp force finetune small"
    asked = request.ask("digits-r8", methods.split(), [1 - 0.8**3], seeds=2, metrics=["accuracy"])
    return facts_of(asked)


@pytest.fixture(scope="module")
def costs(facts):
    return {method: cost for (method, _), cost in training_costs.of_table(facts).items()}


@pytest.mark.parametrize(
    ("method", "trainings"),
    [
        ("dense", 1),
        ("omp", 1 + ROUND),
        ("imp", 1 + 3 * ROUND),
        ("lrr", 1 + 3 * ROUND),
        ("imp:reinit", 1 + 2 * ROUND + 1),
        ("imp:untrained", 1 + 2 * ROUND),
        ("omp:untrained", 1),
        ("finetune", 1 + 3 * TUNED / EPOCHS),
        ("random", 1),
        ("snip", 1),
        ("rigl", 1),
        ("gmp", 1),
        ("small", 1),
    ],
)
def test_trainings_are_those_of_a_closed_form(costs, method, trainings):
    assert costs[method].trainings == pytest.approx(trainings)


def test_operations_also_count_what_scores_weights_and_the_size_of_a_network(costs):
    assert costs["imp"].operations == pytest.approx(costs["imp"].trainings)
    # 60 rounds over 10 images of each of 10 classes, beside 24 epochs over 1,077; each takes 3 passes.
    assert costs["force"].operations == pytest.approx(1 + 60 * 100 / (EPOCHS * 1077))
    assert costs["small"].operations == pytest.approx(0.512, rel=0.05)


def test_of_a_training_that_is_only_rewound_to_what_comes_before_counts(facts):
    asked = request.ask("digits-r8", ["omp"], [0.5], seeds=1, metrics=["accuracy"])
    entries = plan.plan(asked, (), data_needed=False).entries
    dense, ticket = (e.network for e in entries)
    assert isinstance(dense, Train)
    rewound = dataclasses.replace(ticket, mask=None)
    assert training_costs.cost(rewound, dense).trainings == pytest.approx(1)
    assert training_costs.cost(ticket, dense).trainings == pytest.approx(1 + ROUND)


def test_the_cost_of_other_steps_is_not_guessed(facts):
    place = ("omp", facts.sparsities[0])

    def known(**changed):
        networks = tuple(
            dataclasses.replace(n, **changed) if n.method == "omp" else n for n in facts.networks
        )
        return training_costs.of_table(dataclasses.replace(facts, networks=networks))

    assert place in known()
    assert place not in known(network="0" * 64)
    assert ("./mine.py", place[1]) not in known(method="./mine.py")
    assert ("mine", place[1]) not in known(method="mine")
    assert ("imp", place[1]) in known(method="mine")


@pytest.mark.parametrize(
    "task", [{"architecture": "mine.py"}, {"data": {"dataset": "mine", "ood": []}}, {"grid": {}}]
)
def test_a_task_that_is_not_known_here_has_no_costs(facts, task):
    assert training_costs.of_table(dataclasses.replace(facts, task=facts.task | task)) == {}


@pytest.mark.parametrize(("digests", "dense"), [({"": "ab"}, 0), ({"0": "ab"}, 1)])
def test_the_training_of_pretrained_weights_is_not_counted(digests, dense):
    """The file is the dense parent itself, or what its training begins with."""
    asked = request.ask("digits-r8", ["omp"], [0.5], seeds=1, metrics=["accuracy"])
    asked = dataclasses.replace(asked, pretrained="mine.safetensors", start=Start(digests))
    found = training_costs.of_table(facts_of(asked))
    assert found["dense", 0.0].trainings == dense
    # There is nothing to rewind to in a training that was elsewhere.
    assert found["omp", 0.5].trainings == pytest.approx(1 + ROUND if dense else 1)
