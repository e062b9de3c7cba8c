"""Looks: their numbers of seeds, what each adds, and requests that hold them."""

import json
from pathlib import Path

import pytest

from lthbench.errors import BadInput
from lthbench.planning.looks import Look, schedule
from lthbench.planning.plan import plan
from lthbench.planning.request import ask, from_json

TINY = str(Path(__file__).parents[1] / "tiny.toml")


@pytest.mark.parametrize(
    ("first", "most", "expected"),
    [
        (3, 10, (3, 4, 5, 6, 7, 8, 9, 10)),
        (2, 3, (2, 3)),
        (18, 31, (18, 19, 20, 22, 24, 26, 28, 30, 31)),
        (3, 4, (3, 4)),
    ],
)
def test_the_looks_are_fixed_beforehand(first, most, expected):
    assert schedule(first, most) == expected


@pytest.fixture
def asked():
    return ask(TINY, ["omp", "snip"], sparsities=[0.2, 0.5], seeds=[0, 7], metrics=["accuracy"])


def networks(made):
    return {(e.method, round(e.sparsity, 3), e.seed) for e in made.entries}


def test_a_look_adds_seeds_to_what_is_open_alone(asked):
    first = asked.until_decided(6)
    low, high = first.looks[0].networks["omp"]
    assert plan(first, ()).steps == plan(asked, ()).steps
    second = first.looked({"omp": (high,), "snip": ()})
    assert second.looks[1] == Look((8,), {"omp": (high,)})
    assert second.seeds == (0, 7, 8)
    added = networks(plan(second, ())) - networks(plan(first, ()))
    assert added == {("dense", 0.0, 8), ("omp", round(high, 3), 8)}
    assert {s.key for s in plan(first, ()).steps} <= {s.key for s in plan(second, ()).steps}
    third = second.looked({"omp": (high,)})
    fourth = third.looked({"omp": (high,)})
    fifth = fourth.looked({"omp": (high,)})
    assert [len(r.seeds) for r in (third, fourth, fifth)] == [4, 5, 6]
    assert fifth.looked({"omp": (high,)}) is None
    assert first.looked({"omp": (), "snip": ()}) is None
    assert low != high


def test_looks_come_back_from_json_and_the_command_asks_for_the_first(asked):
    first = asked.until_decided(6)
    second = first.looked({"snip": first.looks[0].networks["snip"]})
    assert from_json(json.loads(json.dumps(second.to_json())), "run.json") == second
    assert " --seeds 0,7 " in second.command()
    assert second.command() == first.command()
    assert second.command().endswith(" --until-decided 6")
    assert "most_seeds" not in asked.to_json()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda r: r["looks"][1].update(seeds=[8, 9]),
            "look 2 has 4 seeds, and the looks are at 2, 3, 4, 5, 6",
        ),
        (lambda r: r["looks"][1].update(seeds=[7]), "look 2 adds seeds other than 8, which come next"),
        (lambda r: r["looks"][1].update(seeds=[3]), "look 2 adds seeds other than 8"),
        (lambda r: r["looks"][0].update(seeds=[7, 7]), "have a seed twice"),
        (
            lambda r: [look.update(seeds=[seed]) for look, seed in zip(r["looks"], (0, 1), strict=True)],
            "the first look has 1 seeds; it needs two or more",
        ),
        (lambda r: r["looks"][1]["networks"].update(omp=[0.9]), "adds networks of omp"),
        (lambda r: r.update(looks=[]), "seeds are not those of its looks"),
        (
            lambda r: r.pop("most_seeds"),
            "the first look has 2 seeds; it needs two or more, and fewer than the most, 0",
        ),
        (lambda r: r["looks"][0].update(seeds=[]), "look 1 has 0 seeds"),
        (lambda r: r["looks"][0].update(networks=3), "networks: expected a table"),
    ],
)
def test_looks_that_no_run_takes_are_refused(asked, change, said):
    first = asked.until_decided(6)
    record = json.loads(json.dumps(first.looked({"snip": first.looks[0].networks["snip"]}).to_json()))
    change(record)
    with pytest.raises(BadInput, match=said):
        from_json(record, "run.json")


@pytest.mark.parametrize(
    ("changed", "most", "said"),
    [
        ({"seeds": [3]}, 5, "at least two seeds"),
        ({}, 2, "more than the 2 seeds"),
        ({}, 10_001, "at most 10,000"),
        ({}, "5", "expected a whole number, got '5'"),
        ({"methods": []}, 5, "nothing to decide"),
    ],
)
def test_what_cannot_be_decided_is_refused(changed, most, said):
    asked = ask(TINY, **{"methods": ["omp"], "seeds": 2, **changed})
    with pytest.raises(BadInput, match=said):
        asked.until_decided(most)
