"""Reliability diagrams: means over seeds weighted by images, and small bins left out."""

import dataclasses
import re
from typing import Any

import pandas as pd
import pytest

from lthbench.report.figures.reliability import _points, diagrams
from lthbench.report.summary import Summary


def rows(method, sparsity, seed, bins):
    """Bins as (name, confidence, accuracy, images)."""
    for name, confidence, accuracy, n in bins:
        for score, value in (("bin_confidence", confidence), ("bin_accuracy", accuracy)):
            yield {
                "method": method,
                "sparsity": sparsity,
                "seed": seed,
                "score": score,
                "variant": name,
                "value": value,
                "n": n,
            }


@pytest.fixture
def summary():
    """A dense network and a method at four sparsities, two seeds."""
    found = list(rows("dense", 0.0, 0, [("a", 0.3, 0.4, 30), ("b", 0.9, 0.8, 70)]))
    found += rows("dense", 0.0, 1, [("a", 0.35, 0.2, 10), ("b", 0.95, 1.0, 90), ("c", 0.5, 0.5, 9)])
    for sparsity in (0.2, 0.4, 0.6, 0.8):
        found += rows("imp", sparsity, 0, [("b", 0.9, 1 - sparsity, 100)])
    facts: Any = None
    return Summary(facts, pd.DataFrame(found), (), ("imp",), (0.2, 0.4, 0.6, 0.8), {}, "std", {})


def test_bins_are_means_over_seeds_weighted_by_images(summary):
    first, second = _points(summary)["dense", 0.0]
    assert first[:2] == (pytest.approx((0.3 * 30 + 0.35 * 10) / 40), pytest.approx((12 + 2) / 40))
    assert (first[2], second[2]) == (40, 160)
    assert second[:2] == (pytest.approx((0.9 * 70 + 0.95 * 90) / 160), pytest.approx((56 + 90) / 160))


def test_bins_with_few_images_are_left_out(summary):
    assert len(_points(summary)["dense", 0.0]) == 2


def test_a_diagram_has_words_for_what_it_shows_and_no_more_than_three_sparsities(summary):
    (figure,) = diagrams(summary)
    assert figure.title == "imp"
    assert "dense: 35 at 31, 91 at 93" in figure.text
    assert re.findall(r"\d\d\.0 %", figure.note) == ["40.0 %", "80.0 %"]
    assert figure.svg.startswith("<svg")


def test_tables_without_bins_have_no_diagram(summary):
    assert diagrams(dataclasses.replace(summary, table=summary.table[:0])) == []


def test_corrupted_images_have_diagrams_of_their_own(summary):
    table = summary.table.assign(score="corrupted_" + summary.table["score"])
    both = dataclasses.replace(summary, table=pd.concat([summary.table, table], ignore_index=True))
    plain, corrupted = diagrams(both)
    assert (plain.title, corrupted.title) == ("imp", "imp, corrupted images")
    assert re.findall("[0-9]+ at [0-9]+", corrupted.text) == re.findall("[0-9]+ at [0-9]+", plain.text)
    ids = [set(re.findall('id="([^"]+)"', f.svg)) for f in (plain, corrupted)]
    assert not ids[0] & ids[1]
