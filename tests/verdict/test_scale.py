"""Scores on the scale that they are compared on, and back."""

import math

import pytest

from lthbench.verdict.scale import Scale


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_worse_is_further_up_and_a_place_leads_back_to_its_value(higher, relative):
    scale = Scale(higher, relative)
    good, bad = (0.9, 0.7) if higher else (0.7, 0.9)
    assert scale.place(good) < scale.place(bad)
    assert scale.value(scale.place(0.7)) == pytest.approx(0.7)


@pytest.mark.parametrize(("higher", "worse"), [(True, 0.9), (False, 1.1)])
def test_a_share_is_worse_by_just_its_margin(higher, worse):
    scale = Scale(higher, relative=True)
    off = scale.place(worse * 3.0) - scale.place(3.0)
    assert off == pytest.approx(scale.margin(0.1))
    assert scale.shown(off) == pytest.approx(0.1)


def test_a_difference_in_units_is_shown_as_it_is():
    assert Scale(True).shown(0.02) == Scale(True).margin(0.02) == 0.02
    assert Scale(True).error(0.02, 0.5) == 0.02


def test_the_error_of_a_logarithm_is_a_share_of_the_smaller_value():
    assert Scale(False, relative=True).error(0.02, 0.5, 0.4) == pytest.approx(0.05)


def test_what_is_beyond_all_numbers_is_shown_as_infinite():
    assert Scale(False, relative=True).shown(1000.0) == math.inf
    assert math.isnan(Scale(False, relative=True).shown(math.nan))
