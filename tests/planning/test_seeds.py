"""What is counted from a few seeds is what the whole plan has."""

import dataclasses

import pytest

from lthbench import registry
from lthbench.kinds import Method
from lthbench.planning import plan, request, summary
from lthbench.planning.seeds import Pattern, thinned, whole
from lthbench.spec import Explain, Init, Measure, Prune, Train, history
from lthbench.store import LocalStore

METRICS = ["accuracy", "agreement", "gini", "forgetting"]
OWN = """
import dataclasses
from lthbench.methods.omp import METHOD as omp

def ticket(cell):
    recipe = dataclasses.replace(cell.recipe, epochs=cell.recipe.epochs + cell.seed % 2)
    return cell.train(cell.init, cell.prune(cell.dense, omp.criterion), recipe)

METHOD = dataclasses.replace(omp, name="uneven", aliases=(), variants={}, criteria={}, ticket=ticket)
"""


def asked(task, seeds, methods=("omp", "imp", "snip"), metrics=METRICS, rounds=(1, 3)):
    return request.ask(task, list(methods), rounds=list(rounds), seeds=seeds, metrics=list(metrics))


def planned(made):
    return plan.plan(made, (), data_needed=False)


def put(store, steps):
    for step in steps:
        store.put(step, {}, {"seconds": 1.0, "collapsed": ["fc.weight"] if isinstance(step, Prune) else []})


def same(made, store):
    """The account of the thinned-out plan, held to that of the whole one; sums of floats may round."""
    found = thinned(made, (), store)
    accounts = [summary.costed(f, store, (), 2, "cpu") for f in (found, whole(planned(made), store))]
    flops = [account.pop("flops") for account in accounts]
    assert accounts[0] == accounts[1]
    assert flops[0].keys() == flops[1].keys()
    for method, cost in flops[0].items():
        assert cost == pytest.approx(flops[1][method])
    return found


def of_seeds(made, seeds):
    entries = [e for e in planned(made).entries if e.seed in seeds]
    return list(history(*(m for e in entries for m in e.scored()), *(e.network for e in entries)))


@pytest.mark.parametrize("seeds", [1, 2, 3, 7])
def test_the_account_is_that_of_the_whole_plan(seeds, tiny_task, tmp_path):
    found = same(asked(tiny_task, seeds), LocalStore(tmp_path))
    assert len({e.seed for e in found.plan.entries}) == min(seeds, 3)


@pytest.mark.parametrize("seeds", [1, 2, 3, 7])
def test_so_it_is_where_all_of_some_seeds_is_stored(seeds, tiny_task, tmp_path):
    store, made = LocalStore(tmp_path), asked(tiny_task, seeds, ["omp"])
    store.open()
    put(store, of_seeds(made, {0, 5}))
    same(made, store)


def test_so_it_is_where_a_single_step_is_stored(tiny_task, tmp_path):
    made = asked(tiny_task, [4, 8, 15, 16, 23, 42, 108], ["omp"])
    steps = planned(made).steps
    one_of_each = {(type(s), getattr(s, "metric", "")): s for s in steps}  # the last of each
    for number, step in enumerate((*one_of_each.values(), *steps[:3])):
        store = LocalStore(tmp_path / str(number))
        store.open()
        put(store, [step])
        found = same(made, store)
        assert found.stored == {step.key}
        assert found.left_out > 0


def test_so_it_is_where_fewer_seeds_stood_in_another_ring(tiny_task, tmp_path):
    store = LocalStore(tmp_path)
    store.open()
    few = planned(asked(tiny_task, 3, ["omp"]))
    put(store, few.steps)
    made = asked(tiny_task, 7, ["omp"])
    found = same(made, store)
    assert found.left_out == 2  # the neighbours are planned, too
    last = {s.key for s in few.steps} - {s.key for s in planned(made).steps}
    assert last  # the third was held against the first
    assert found.stored == {s.key for s in few.steps} - last
    # A seed between two that stay must not bring in what stood beside others.
    put(store, [s for s in of_seeds(asked(tiny_task, [2, 5, 9, 11], ["omp"]), {2}) if not store.has(s)])
    same(asked(tiny_task, [5, 6, 7, 8, 2, 3, 9, 10, 11, 12, 13], ["omp"]), store)


def test_so_it_is_where_the_log_tells_how_fast_steps_are(tiny_task, tmp_path):
    store, made = LocalStore(tmp_path), asked(tiny_task, 7, ["omp"])
    store.open()
    put(store, of_seeds(made, {1}))
    for step in ("Train", "Predict"):
        event = {"status": "ok", "device": "cpu", "flops": 1e9, "seconds": 2.0, "step": step}
        store.log({**event, "architecture": "resnet8"})
    assert same(made, store).left_out > 0


def test_a_seed_of_which_a_savepoint_is_kept_is_planned(tiny_task, tmp_path):
    store, made = LocalStore(tmp_path), asked(tiny_task, 9, ["omp"], ["accuracy"])
    store.open()
    training = [s for s in planned(made).steps if isinstance(s, Train) and s.seed == 6][-1]
    store.save(training.key, b"cannot be read")
    found = thinned(made, (), store)
    assert training.key in {s.key for s in found.plan.steps}
    assert found.left_out == 3  # the first three, the one, and its neighbours


def test_keys_of_other_seeds_follow_for_all_methods_and_metrics_that_ship():
    methods = [m.name for m in registry.every(Method) if registry.ships(Method, m.name)]
    methods += ["imp:reinit", "snip:shuffled"]
    made = planned(request.ask("digits-r8", methods, rounds=[1], seeds=[3, 99, 2**40], concepts="shapes"))
    steps = [
        list(history(*(m for e in made.entries if e.seed == seed for m in e.scored()))) for seed in (3, 99)
    ]
    assert {Init, Measure, Explain, Prune, Train} <= {type(s) for s in steps[0]}
    found = Pattern(steps[0], 3, 99).keys(99, 2**40)
    assert found == [s.key for s in steps[1]]


def test_a_method_of_ones_own_may_do_with_a_seed_what_it_likes(tiny_task, tmp_path):
    (tmp_path / "uneven.py").write_text(OWN)
    made = asked(tiny_task, 5, [str(tmp_path / "uneven.py")], ["accuracy"], [1])
    found = same(made, LocalStore(tmp_path / "store"))
    assert found.left_out == 0
    assert len({s.recipe.epochs for s in found.plan.steps if isinstance(s, Train)}) == 2


def test_ten_thousand_seeds_are_counted_from_three(tiny_task, tmp_path):
    made = asked(tiny_task, 10_000)
    found = thinned(made, (), LocalStore(tmp_path))
    assert found.total(lambda p: len(p.entries)) == 10_000 * 7
    many = summary.costed(found, LocalStore(tmp_path), (), 2, "cpu")
    few = summary.costed(whole(planned(asked(tiny_task, 5))), LocalStore(tmp_path), (), 2, "cpu")
    assert {v: n["all"] for v, n in many["steps"].items()} == {
        v: 2000 * n["all"] for v, n in few["steps"].items()
    }
    assert many["flops"]["imp"]["finding"] == pytest.approx(2000 * few["flops"]["imp"]["finding"])
    assert many["seeds"] == list(range(10_000))


def test_the_last_look_has_the_trainings_of_its_whole_plan(tiny_task):
    last = asked(tiny_task, 2).until_decided(8).to_the_last_look()
    found = thinned(dataclasses.replace(last, looks=()), ())
    assert found.left_out == 5
    trainings = [isinstance(s, Train) for s in planned(last).steps]
    assert found.total(lambda p: sum(isinstance(s, Train) for s in p.steps)) == sum(trainings)
