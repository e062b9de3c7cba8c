"""Numbers as people read them."""

import math

import pytest

from lthbench import formatting


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5904, "59.0 %"), (0.98, "98.0 %"), (0.9908, "99.08 %"), (0.9992, "99.92 %"), (0.99991, "99.991 %")],
)
def test_sparsities_that_differ_look_different(value, shown):
    assert formatting.sparsity(value) == shown


def test_the_rounds_of_a_grid_all_look_different():
    rounds = [1 - 0.8**n for n in range(1, 40)]
    assert len({formatting.sparsity(s) for s in rounds}) == len(rounds)


def test_the_ends_of_sparsity():
    assert [formatting.sparsity(s) for s in (None, 0.0, 1.0)] == ["–", "0.0 %", "100.0 %"]


def test_nothing_is_minus_zero():
    assert formatting.number(-0.0001, "fraction") == "0.0"
    assert formatting.number(-0.01, "fraction") == "-1.0"


@pytest.mark.parametrize(
    ("mean", "spread", "shown"),
    [(0.0068, 6.5e-05, "0.0068 ± 0.0001"), (1.234567, 0.5, "1.235 ± 0.500"), (22.71, 3.04, "22.7 ± 3.0")],
)
def test_a_spread_has_the_decimals_of_its_mean(mean, spread, shown):
    assert formatting.measured(mean, spread, "nats") == shown
    assert formatting.measured(mean, math.nan, "nats") == shown.partition(" ")[0]
