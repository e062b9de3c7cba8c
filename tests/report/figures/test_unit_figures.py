"""Figures of single units: their IoU, formulas, concept weights, and MIS by layer."""

import dataclasses
import math

import numpy as np
import pytest

from lthbench.report.figures import concept_weights, formulas, unit_iou, unit_mis, units_of
from lthbench.report.figures import files as figure_files
from lthbench.report.summary import summarise
from lthbench.results.units import Unit

KINDS = (unit_iou.KIND, formulas.KIND, concept_weights.KIND, unit_mis.KIND)
CELLS = (("dense", 0.0), ("omp", 0.5), ("omp", 0.9))


def made(rank, level):
    return round(0.3 / rank - 0.1 * level / rank, 4)


def drawn_units():
    """Units of two seeds: dissected, explained, read by a bottleneck, and with a score by layer."""
    for method, level in CELLS:
        for seed in (0, 1):
            place = (method, level, seed)
            for k in range(1, 91):
                yield Unit(*place, "dissection", "layer1", k, f"c{k}", "colour", made(k, level))
            for k in range(1, 11):
                yield Unit(*place, "composition", "layer1", k, f"(c{k} AND red)", "", made(k, level))
                yield Unit(*place, "mis-layers", "layer1", k, "", "", 0.5 + k / 20)
            yield Unit(*place, "mis-layers", "layer2", 1, "", "", math.nan)
            yield Unit(*place, "mis-layers", "softmax", 1, "", "", 0.8, 0.9)
            for label in (1, 2):
                names = ("red", "blue", "cat") if level < 0.9 else ("red", "dog", "sky")
                for k, name in enumerate(names):
                    yield Unit(*place, "bottleneck", "", label, name, "colour", 2.0 - k / 2)


@pytest.fixture(scope="module")
def summary(made_table):
    scores, facts = made_table(("omp",), seeds=2, sparsities=(0.5, 0.9))
    return summarise(scores, dataclasses.replace(facts, units=tuple(drawn_units())))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_table_without_units_has_no_such_figure(made_table, kind):
    assert kind.draw(summarise(*made_table(("omp",), seeds=2))) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_figure_has_words_axes_and_numbers(summary, kind):
    (figure,) = kind.draw(summary)
    assert "omp" in figure.title
    assert len(figure.text) > 60
    assert all(len(row) == len(figure.head) for row in figure.rows)
    assert len(figure.rows) > 3
    assert figure.svg.startswith("<svg")
    figure_files._label(figure)
    assert all(figure.axes)


def test_units_are_ranked_from_the_best_on_and_averaged_over_seeds(summary):
    (figure,) = unit_iou.KIND.draw(summary)
    dense = [row for row in figure.rows if row[0] == "dense"]
    assert len(dense) == unit_iou.RANKS
    assert [row[3] for row in dense] == pytest.approx([made(k, 0.0) for k in range(1, 71)])
    above = np.mean([made(k, 0.0) > 0.05 for k in range(1, 91)])
    assert f"dense: {100 * above:.0f} % of units above 0.05, the best 0.300" in figure.text


def test_units_stand_beside_the_same_unit_of_the_dense_network(summary):
    (figure,) = formulas.KIND.draw(summary)
    assert figure.title == "formulas of units: omp at 90.0 %"
    assert ("dense", 0.0, "layer1", 1, "(c1 AND red)", made(1, 0.0)) in figure.rows
    assert ("omp", 0.9, "layer1", 1, "(c1 AND red)", made(1, 0.9)) in figure.rows
    assert "Of dense, layer1 1: (c1 AND red) (0.300)" in figure.text


def test_concepts_that_are_shared_with_dense_are_counted(summary):
    (figure,) = concept_weights.KIND.draw(summary)
    assert figure.note.startswith("2 of 6 top concepts are shared with dense")
    assert "class 1: dense red, blue, cat; pruned red, dog, sky" in figure.text


def test_units_without_a_score_count_nowhere(summary):
    (figure,) = unit_mis.KIND.draw(summary)
    dense = {row[2]: row for row in figure.rows if row[0] == "dense"}
    assert set(dense) == {"layer1", "softmax"}
    assert dense["layer1"][3:5] == (20, pytest.approx(0.775))
    assert dense["layer1"][7] == pytest.approx(0.775)


def test_of_many_sparsities_a_few_are_drawn_the_largest_among_them():
    units: units_of.Units = {("m", k / 10): [] for k in range(10)}
    assert units_of.levels(units, "m") == [0.1, 0.3, 0.5, 0.7, 0.9]
    assert units_of.middle(units, "m") == 0.5
    assert units_of.middle(units, "n") is None
