"""Steps that differ in versions alone are found, and what has another version is named."""

import dataclasses

import pytest

from lthbench.spec import Data, Init, Inputs, Measure, Prune, Recipe, Rewire, Train
from lthbench.submission import versions

DATA = Data("digits", 1, "d")
RECIPE = Recipe(1, 0, 8, 0.1, 0.9, False, 0.0, "linear", 0.0, (), 1.0, 0, False, "float32")
SNOW = Inputs(DATA, "test", 0, "snow", 2, (1, 2))


def measure(network, rewire=None, seed=0, snow=SNOW, criterion="1", metric="1"):
    """A metric of a network that was pruned, then trained; ``rewire`` moves its mask."""
    start = Init(network, seed)
    mask = Prune(start, "random", criterion, 0.5, seed)
    trained = Train(start, RECIPE, DATA, seed, mask, rewire=rewire)
    return Measure("mce", metric, trained, (("snow", snow),))


@pytest.mark.parametrize(
    ("older", "newer", "said"),
    [
        (
            {"rewire": Rewire(0.3, 0.0, 1, 1.0, None)},
            {"rewire": Rewire(0.3, 0.0, 1, 1.0, 2)},
            "rewire 1, here 2",
        ),
        ({"snow": dataclasses.replace(SNOW, version=1)}, {}, "view snow 1, here 2"),
        ({}, {"criterion": "3"}, "criterion random 1, here 3"),
        ({"metric": "5"}, {}, "metric mce 5, here 1"),
    ],
)
def test_a_step_of_another_version_is_matched_and_named(network, older, newer, said):
    old, new = measure(network, **older), measure(network, **newer)
    assert old.key != new.key
    theirs = versions.described([old, measure(network, seed=1, **older)])
    pairs = versions.matched(theirs, [new])
    assert pairs == {new.key: old.key}
    assert versions.differences(theirs, [new], pairs) == [said]


def test_a_score_of_another_version_of_logits_is_matched_and_named(network):
    old = measure(network)
    new = dataclasses.replace(old, predict_version=2)
    theirs = versions.described([old])
    pairs = versions.matched(theirs, [new])
    assert pairs == {new.key: old.key}
    assert versions.differences(theirs, [new], pairs) == ["predict 1, here 2"]


@pytest.mark.parametrize(
    "other",
    [{"seed": 7}, {"rewire": Rewire(0.3, 0.0, 1, 1.0)}, {"snow": dataclasses.replace(SNOW, images=5)}],
)
def test_a_step_that_differs_in_more_is_not_matched(network, other):
    theirs = versions.described([measure(network, criterion="9")])
    assert versions.matched(theirs, [measure(network, **other)]) == {}
