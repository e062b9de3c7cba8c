"""Numbers as people read them."""

import math

import pytest

from lthbench import formatting


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.5904, "59.0 %"),
        (0.98, "98.0 %"),
        (0.99001, "99.0 %"),
        (0.9908, "99.08 %"),
        (0.9992, "99.92 %"),
        (0.99991, "99.991 %"),
    ],
)
def test_sparsities_that_differ_look_different(value, shown):
    assert formatting.sparsity(value) == shown


def test_the_rounds_of_a_grid_all_look_different():
    rounds = [1 - 0.8**n for n in range(1, 40)]
    assert len({formatting.sparsity(s) for s in rounds}) == len(rounds)


def test_the_ends_of_sparsity():
    assert [formatting.sparsity(s) for s in (None, 0.0, 1.0)] == ["–", "0.0 %", "100.0 %"]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (89, "89 s"),
        (90, "2 min"),
        (5400, "1.5 h"),
        (99.4 * 3600, "99 h"),
        (100 * 3600, "4.2 days"),
        (900 * 86400, "900 days"),
        (3.2e10, "1,014 years"),
    ],
)
def test_a_time_is_said_in_a_unit_of_which_there_are_few(seconds, shown):
    assert formatting.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [(999, "999 bytes"), (1000, "1 kB"), (999_400, "999 kB"), (999_600, "1 MB"), (999_960_000, "1 GB")],
)
def test_a_size_is_said_in_a_unit_of_which_there_are_few(count, shown):
    assert formatting.size(count) == shown


def test_a_range_has_one_unit_where_that_is_possible():
    assert formatting.span(7200, 90000) == "2.0-25 h"
    assert formatting.span(3600 * 50, 3600 * 1e4) == "50 h to 417 days"


def test_nothing_is_minus_zero():
    assert formatting.number(-0.0001, "fraction") == "0.0"
    assert formatting.number(-0.01, "fraction") == "-1.0"


@pytest.mark.parametrize(
    ("mean", "spread", "shown"),
    [
        (0.0068, 6.5e-05, "0.006800 ± 0.000065"),
        (0.0090, 0.0002, "0.00900 ± 0.00020"),
        (0.2836, 0.00468, "0.2836 ± 0.0047"),
        (1.234567, 0.5, "1.235 ± 0.500"),
        (22.71, 3.04, "22.7 ± 3.0"),
        (967.7, 0.004, "967.700 ± 0.004"),
        (1234.5, 3.21, "1,234.5 ± 3.2"),
        (1234.5, 321.0, "1,234 ± 321"),
        (1.0, 0.0, "1.000 ± 0.000"),
        (0.9, 1e-17, "0.900 ± 0.000"),  # of adding numbers up
        (1.2e-5, 3e-6, "1.2e-05 ± 3.0e-06"),
    ],
)
def test_a_spread_has_two_figures_and_its_mean_as_many_decimals(mean, spread, shown):
    assert formatting.measured(mean, spread, "nats") == shown


@pytest.mark.parametrize(
    ("mean", "spread", "shown"),
    [(0.99, 0.003, "99.0 ± 0.3"), (0.99976, 0.00041, "99.976 ± 0.041"), (0.5, 0.0, "50.0 ± 0.0")],
)
def test_a_spread_in_per_cent_has_one_decimal_unless_that_looks_like_zero(mean, spread, shown):
    assert formatting.measured(mean, spread, "fraction") == shown


@pytest.mark.parametrize(("value", "shown"), [(0.009, "0.0090"), (0.0091, "0.0091"), (0.00998, "0.010")])
def test_small_numbers_have_two_figures_also_where_the_last_is_a_zero(value, shown):
    assert formatting.number(value, "nats") == shown


def test_a_table_fits_its_width_and_breaks_no_word():
    rows = [
        {"metric": "ece", "scores": "one_long_score_name, another_score, a third", "n": "5,610,154"},
        {"metric": "nll", "scores": "short", "n": "1"},
    ]
    narrow, wide = formatting.table(rows, 44), formatting.table(rows, 200)
    assert max(map(len, narrow.splitlines())) <= 44
    assert len(wide.splitlines()) == 3
    said = "metric scores n ece one_long_score_name, 5,610,154 another_score, a third nll short 1"
    assert narrow.split() == said.split()
    assert "one_long_score_name," in formatting.table(rows, 1)
    assert formatting.table(rows, 44, ruled=True).splitlines()[1].split() == ["-" * 6, "-" * 25, "-" * 9]
    assert formatting.table([], 80) == ""


@pytest.mark.parametrize(
    ("one", "other", "unit", "relative", "shown"),
    [
        (0.02803, 0.02758, "fraction", False, ("2.80", "2.76")),
        (0.02803, 0.02802, "fraction", False, ("2.803", "2.802")),
        (0.02803, 0.02803, "fraction", False, ("2.8", "2.8")),
        (0.0280, 0.0250, "fraction", False, ("2.8", "2.5")),
        (0.65512, 0.65548, "ratio", True, ("65.51 %", "65.55 %")),
        (0.123401, 0.123402, "nats", False, ("0.123401", "0.123402")),
        (math.nan, 0.5, "nats", False, ("–", "0.500")),
    ],
)
def test_two_differences_have_the_decimals_that_tell_them_apart(one, other, unit, relative, shown):
    assert formatting.told_apart(one, other, unit, relative=relative) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (4 / 3, "1.3"),
        (-0.4, "-0.4"),
        (-0.04, "0.0"),
        (2.0, "2"),
        (250.3, "250"),
        (999.6, "1.0k"),
        (1500, "1.5k"),
        (999_949, "999.9k"),
        (999_999, "1.0M"),
        (-999_999, "-1.0M"),
        (10**15, "1000.0T"),
        (math.inf, "inf"),
    ],
)
def test_means_of_a_few_have_a_decimal_and_large_counts_a_letter(value, shown):
    assert formatting.number(value, "count") == formatting.number(value, "bytes") == shown


@pytest.mark.parametrize(
    ("mean", "spread", "shown"),
    [
        (4 / 3, 0.577, "1.3 ± 0.6"),
        (2.0, 0.577, "2.0 ± 0.6"),
        (2.0, 1.0, "2 ± 1"),
        (250.3, 12.4, "250 ± 12"),
        (270_000.0, 0.0, "270.0k ± 0"),
        (math.nan, 1.0, "– ± 1"),
    ],
)
def test_a_mean_of_counts_and_its_spread_have_as_many_decimals(mean, spread, shown):
    assert formatting.measured(mean, spread, "count") == shown


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("layer3.0.conv1 is empty; 12\u202f%", "layer3.0.conv1 is empty; 12\u202f%"),
        ("RuntimeError: 10%\r20%", "RuntimeError: 10% 20%"),
        ("Error(s):\r\n\tsize of a\n\n\tsize of b\n", "Error(s): size of a size of b"),
        ("no \udcff.png, \x1b[31m, \0", "no \\udcff.png, \\u001b[31m, \\u0000"),
        ("@home", "reason: @home"),
        ("\n=1+1", "reason: =1+1"),
        ("-inf (log of 0)", "reason: -inf (log of 0)"),
        ("-0.5", "-0.5"),
        (" \n", ""),
    ],
)
def test_a_reason_is_one_line_that_tables_take(text, line):
    assert formatting.reason_line(text) == line == formatting.reason_line(line)
    assert formatting.one_line(line)
    assert not formatting.is_formula(line)
