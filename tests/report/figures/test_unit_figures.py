"""Figures of single units: their IoU, formulas, concept weights, and MIS by layer."""

import dataclasses
import math

import numpy as np
import pytest

from lthbench.report import task_page
from lthbench.report.figures import (
    concept_weights,
    drawing,
    extremes,
    formulas,
    softmax_mis,
    unique_concepts,
    unit_categories,
    unit_iou,
    unit_mis,
    units_of,
)
from lthbench.report.figures import files as figure_files
from lthbench.report.summary import summarise
from lthbench.results.units import Unit

KINDS = (unit_iou.KIND, formulas.KIND, concept_weights.KIND, unit_mis.KIND, softmax_mis.KIND)
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
            for k, accuracy in ((1, 0.9), (2, 0.7 if seed else 0.6), (3, 0.4)):
                yield Unit(*place, "mis-layers", "softmax", k, "", "", accuracy - 0.1 * (k == 3), accuracy)
            yield Unit(*place, "mis-layers", "softmax", 4, "", "", math.nan, 0.2)
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
    assert "Of dense, layer1, unit 1: c1 AND red (0.300)" in figure.text


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


def test_softmax_units_stand_beside_the_accuracy_of_their_classes(summary):
    (figure,) = softmax_mis.KIND.draw(summary)
    assert figure.note == "a point for each class, 2 seeds"
    assert ("omp", 0.9, 1, "class 2", 0.7, 0.7) in figure.rows
    assert len(figure.rows) == 3 * 2 * 3  # one class of each network has no score
    assert "dense (rank correlation 1.00), mean 0.62" in figure.text
    (dense, *_) = summary.facts.units
    softmax = dense._replace(metric="mis-layers", layer="softmax", value=0.5, accuracy=0.5)
    one = {("omp", 0.5): [[softmax]]}
    assert list(softmax_mis._means(one["omp", 0.5]).values()) == [(0.5, 0.5)]
    assert math.isnan(softmax_mis._rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]))


def test_concepts_are_counted_once_however_many_units_detect_them():
    def unit(concept, category, value):
        return Unit("omp", 0.5, 0, "dissection", "layer1", 1, concept, category, value)

    first = [unit("red", "colour", 0.2), unit("red", "colour", 0.1), unit("blue", "colour", 0.04)]
    second = [unit("red", "colour", 0.2), unit("blue", "colour", 0.06), unit("cat", "object", 0.3)]
    found = unique_concepts._counts({("omp", 0.5): [first, second]})
    cell = ("omp", 0.5)
    assert found == {(*cell, "all categories"): [1, 3], (*cell, "colour"): [1, 2], (*cell, "object"): [0, 1]}


def test_unique_concepts_have_a_figure_for_each_category(summary):
    every, colour = unique_concepts.KIND.draw(summary)
    assert (every.title, colour.title) == ("all categories", "colour")
    many = sum(made(k, 0.9) > 0.05 for k in range(1, 91))
    assert ("omp", 0.9, "colour", many, 2) in colour.rows


def test_classes_are_called_by_their_names(made_table):
    known = summarise(*made_table(("omp",), task="c10-r20s"))
    name = units_of.class_names(known)
    known.facts.task["data"] = {"dataset": "cifar10"}
    assert [units_of.class_names(known)(k) for k in (1, 10, 11)] == ["airplane", "truck", "class 11"]
    known.facts.task["data"] = {"dataset": "of one's own"}
    assert units_of.class_names(known)(3) == "class 3"
    assert name(99) == "class 99"


@pytest.mark.parametrize("name", ["$\\nothing{$", "5 $"])
def test_a_name_with_dollars_is_a_name_and_no_formula(made_table, name):
    scores, facts = made_table(("omp",), seeds=2, sparsities=(0.5, 0.9))
    named = [
        u._replace(layer=name if u.layer.startswith("layer") else u.layer, concept=u.concept and name)
        for u in drawn_units()
    ]
    drawn = summarise(scores, dataclasses.replace(facts, units=tuple(named)))
    figures = [figure for kind in KINDS for figure in kind.draw(drawn)]
    assert len(figures) >= len(KINDS)
    assert sum(name in figure.svg for figure in figures) >= 2


@pytest.mark.parametrize("name", ["x" * 500, " ".join(["word"] * 100), "a.b" * 166])
def test_a_name_of_many_letters_is_drawn_by_its_beginning_and_end(made_table, name):
    """Matplotlib warns where a name leaves a figure no room, and warnings fail this test."""
    scores, facts = made_table(("omp",), seeds=2, sparsities=(0.5, 0.9))
    long = tuple(u._replace(layer=u.layer and name, concept=u.concept and name) for u in drawn_units())
    summary = summarise(scores, dataclasses.replace(facts, units=long))
    figures = [figure for kind in KINDS if kind is not softmax_mis.KIND for figure in kind.draw(summary)]
    assert len(figures) == 4
    assert any(name in str(figure.rows) for figure in figures)  # whole in the numbers beside it


def test_names_are_cut_in_their_middle():
    assert units_of.short("layer1.conv") == "layer1.conv"
    assert units_of.short("x" * 30 + "y" * 30) == "x" * 18 + "..." + "y" * 18


def test_the_legend_on_the_page_has_the_colours_that_are_in_the_figures(made_table):
    """Of many methods those are grey that do not stand out."""
    methods = tuple(f"m{place}" for place in range(9))
    many = summarise(*made_table(methods, seeds=2, sparsities=(0.5, 0.9)))
    counts = {(m, level, "colour"): [3.0] for m in methods for level in (0.5, 0.9)}
    (figure,) = unit_categories.by_category(many, "n", "c", counts)
    plates = [(unit_categories.KIND, [figure]), (extremes.KIND, extremes.extremes(many))]
    keys = task_page._keys(many, plates)
    assert [name for name, _ in keys["units"]] == [*many.foremost, "2 other methods"]
    for name, sample in keys["units"][:-1]:
        assert drawing.style(many, name)[0] in sample
    assert 'class="others"' in keys["units"][-1][1]
    assert [name for name, _ in keys["extremes"]] == list(methods)
