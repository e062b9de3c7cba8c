"""Of many methods a few stand out in figures: of each family the one that gets furthest, then the next."""

from types import SimpleNamespace

from lthbench.report import families
from lthbench.report.families import MOST, foremost
from lthbench.report.figures import curves, radar
from lthbench.report.summary import summarise


def verdict(method, joint, matching=0):
    matches = [SimpleNamespace(matches=True)] * matching
    return SimpleNamespace(method=method, joint=joint, matches=matches)


def test_a_few_methods_all_stand_out():
    methods = tuple("abcdefg")
    assert foremost(methods, ()) == methods


def test_of_many_each_family_has_its_foremost_and_the_rest_goes_by_how_far():
    methods = ("imp", "omp", "lamp", "finetune", "snip", "grasp", "synflow", "rigl", "set", "filter", "small")
    reach = {"imp": 0.9, "omp": 0.8, "lamp": 0.8, "finetune": 0.7, "grasp": 0.5, "set": 0.5, "filter": 0.4}
    found = foremost(methods, [verdict(m, reach.get(m)) for m in methods])
    assert found == ("imp", "omp", "lamp", "grasp", "set", "filter", "small")
    assert len(found) == MOST


def test_the_lottery_ticket_always_stands_out():
    methods = (*(f"own{place}" for place in range(MOST + 1)), "imp")
    found = foremost(methods, [verdict(m, None if m == "imp" else 0.9) for m in methods])
    assert "imp" in found
    assert len(found) == MOST


def test_of_those_that_get_as_far_the_one_that_matches_more_stands_out():
    methods = ("snip", "grasp", "synflow", *(f"own{place}" for place in range(6)))
    found = foremost(methods, [verdict(m, None, m == "synflow") for m in methods])
    assert "synflow" in found
    assert families.family("own1") == ""


def test_curves_of_many_methods_name_those_that_stand_out_and_count_the_others(made_table):
    summary = summarise(*made_table(tuple(f"m{place}" for place in range(MOST + 2)), sparsities=(0.5, 0.9)))
    drawn = curves.curves(summary, all_scores=False)[0]
    labels = [str(sample.get_label()) for sample in drawn.legend]
    assert labels == ["dense", *summary.foremost, "2 other methods", "margin"]
    assert len(summary.foremost) == MOST
    told = {row[0] for row in drawn.rows}
    assert told == {"dense", *summary.methods}, "the numbers are of all"


def test_of_more_than_twelve_methods_the_foremost_alone_have_figures_of_their_own(made_table):
    names = ("imp", "omp", "random", "snip", "grasp", "synflow", "rigl", "set", "gmp", "lamp", "force")
    for more, every in ((("filter",), True), (("filter", "small"), False)):
        summary = summarise(*made_table((*names, *more), sparsities=(0.5,)))
        assert (summary.drawn_alone == summary.methods) == every
        shown = {row[0] for figure in radar.KIND.draw(summary) for row in figure.rows}
        assert shown == {"dense", *summary.drawn_alone}
    assert len(summary.drawn_alone) == 7
