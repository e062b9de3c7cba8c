"""Steps: keys that never move by accident, and what they contain."""

import dataclasses

import pytest

from lthbench import spec
from lthbench.planning import plan, request
from lthbench.spec import Explain, Given, Inputs, Measure, Predict, Prune, Rewind, Train

# A key is a promise: results computed under it are found again by any later version. When one of these
# changes, every user's store is lost; change it only together with a version that says why.
GOLDEN = {
    "init": "bd058148b287895f",
    "given": "50f7769680f3c5ab",
    "train": "0724346fe0731255",
    "rewind": "39a039a8abc54df7",
    "prune": "c8c6a4c7fead0ea3",
    "ticket": "a49435a57684ed3c",
    "predict": "54c639d0a0479888",
    "measure": "c81cf2b321e745b4",
    "explain": "b0d14a5bf1ce5e65",
    "explained": "6278a89c214fce81",
}


@pytest.fixture
def steps(init, recipe, digits):
    """One step of each kind, hung from each other."""
    train = Train(init, recipe, digits, 0)
    rewind = Rewind(train, 1)
    prune = Prune(train, "magnitude", "1", 0.512, 0)
    ticket = Train(rewind, recipe, digits, 0, prune)
    inputs = Inputs(digits, "test", 0, "clean", 1)
    return {
        "init": init,
        "given": Given(init.network, "0" * 64, 0.512),
        "train": train,
        "rewind": rewind,
        "prune": prune,
        "ticket": ticket,
        "predict": Predict(ticket, inputs),
        "measure": Measure("accuracy", "1", ticket, (("test", inputs),), train),
        "explain": Explain(ticket, inputs, train),
        "explained": Measure("gini", "1", ticket, (), train, maps=(("explained", inputs),)),
    }


def test_keys_are_what_they_were(steps):
    assert {name: step.key[:16] for name, step in steps.items()} == GOLDEN


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(spec.Recipe)])
def test_every_field_of_a_recipe_changes_the_key(steps, field):
    recipe = steps["train"].recipe
    value = getattr(recipe, field)
    other = {bool: not value, int: 7, float: 0.123, str: "other", tuple: (2,), type(None): 0.5}[type(value)]
    changed = dataclasses.replace(steps["train"], recipe=dataclasses.replace(recipe, **{field: other}))
    assert changed.key != steps["train"].key
    assert dataclasses.replace(steps["ticket"], start=Rewind(changed, 1)).key != steps["ticket"].key


def test_a_field_that_is_none_leaves_the_key_alone(steps):
    assert "mask" not in spec.describe(steps["train"])
    assert "mask" in spec.describe(steps["ticket"])


@pytest.mark.parametrize(
    ("raised", "renewed"),
    [("PREDICT_VERSION", {"accuracy", "gini"}), ("EXPLAIN_VERSION", {"gini"})],
)
def test_scores_are_made_again_where_the_logits_or_maps_that_they_read_are(
    tiny_task, monkeypatch, raised, renewed
):
    """What a score reads is not looked at where the score is there: a store would mix both versions."""
    asked = request.ask(tiny_task, methods=("omp",), metrics=("accuracy", "gini", "hessian"))

    def measures():
        return {(m.metric, m.subject.key): m for e in plan.plan(asked, ()).entries for m in e.measures}

    before = measures()
    monkeypatch.setattr(spec, raised, 2)
    after = measures()
    assert {
        metric for metric, network in before if before[metric, network] != after[metric, network]
    } == renewed
    read = [n for (metric, _), m in after.items() if metric in renewed for n in m.needs()]
    kind = Predict if raised == "PREDICT_VERSION" else Explain
    assert {n.version for n in read if isinstance(n, kind)} == {2}
    if raised == "PREDICT_VERSION":
        (maps,) = {n.predict_version for n in read if isinstance(n, Explain)}
        assert maps == 2, "maps are of the class that the dense network predicts"


def test_history_puts_needs_first_and_each_step_once(steps):
    listed = list(spec.history(steps["measure"], steps["explained"], steps["ticket"], steps["given"]))
    place = {s.key: i for i, s in enumerate(listed)}
    assert len(place) == len(listed)
    assert all(place[n.key] < place[s.key] for s in listed for n in s.needs())
    assert {type(s).__name__ for s in listed} == {s.__name__ for s in spec.STEPS}


def test_one_round_of_imp_is_omp(tiny_task):
    """At the first sparsity of the grid, both prune the dense network once and rewind: one network."""
    asked = request.ask(tiny_task, ["imp", "omp"], rounds=[1], seeds=1)
    entries = plan.plan(asked, ()).entries
    imp, omp = (next(e for e in entries if e.method == m) for m in ("imp", "omp"))
    assert imp.network.key == omp.network.key


def test_imp_shares_its_chain_over_sparsities(tiny_task):
    asked = request.ask(tiny_task, ["imp"], rounds=[1, 2, 3], seeds=1, metrics=["accuracy"])
    steps = plan.plan(asked, ()).steps
    assert sum(isinstance(s, Train) for s in steps) == 4


def test_equal_densities_reached_by_different_sums_are_one_value():
    assert spec.round_density(0.8**3) == spec.round_density(0.512)
    assert spec.round_density(0.8 * 0.8 * 0.8) == 0.512


def test_a_network_made_elsewhere_keeps_its_own_mask(steps, network):
    assert spec.mask_keeper(steps["given"]) == steps["given"]
    dense = Given(network, "1" * 64)
    assert spec.mask_keeper(dense) is None
    assert spec.network_of(Predict(dense, Inputs(steps["train"].data, "test", 0, "clean", 1))) == network
    assert dense.needs() == ()


def test_trainings_with_muon_have_a_version_of_their_own(init, recipe, digits):
    """Theirs stands in their keys alone, and one that is given, as of a stored step, stays."""
    plain = Train(init, recipe, digits, 0)
    muon = dataclasses.replace(recipe, optimizer="muon", matrix_lr=0.1)
    assert plain.version == spec.TRAIN_VERSION
    assert Train(init, muon, digits, 0).version == spec.MUON_VERSION != spec.TRAIN_VERSION
    stored = Train(init, muon, digits, 0, version=1)
    assert stored.version == dataclasses.replace(stored, seed=1).version == 1
    assert stored.key != Train(init, muon, digits, 0).key
