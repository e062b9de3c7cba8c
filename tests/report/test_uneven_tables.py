"""Tables whose methods were measured at different sparsities, or of which scores are missing."""

import pytest

from lthbench.report import answer, latex, markdown, network_page, task_page
from lthbench.report.summary import summarise


@pytest.fixture(scope="module")
def uneven(made_table):
    """A summary of two methods that were measured at different sparsities."""
    scores, facts = made_table(("imp", "nm"), sparsities=(0.5, 0.9))
    apart = (scores["method"] == "imp") & (scores["sparsity"] == 0.5)
    apart |= (scores["method"] == "nm") & (scores["sparsity"] == 0.9)
    return summarise(scores[~apart].reset_index(drop=True), facts)


def test_tables_have_no_rows_of_networks_that_were_not_measured(uneven):
    """They led to pages that are not there."""
    rows = task_page._rows(uneven, linked=True)
    assert [(r["method"], r["sparsity"]) for r in rows] == [("dense", 0.0), ("imp", 0.9), ("nm", 0.5)]
    assert {r["link"] for r in rows} == {network_page.name(m, level) for m, level, _ in uneven.cells}
    assert all(r["first"] for r in rows)
    assert [r["method"] for r in markdown.score_rows(uneven)] == ["dense", "imp", "nm"]
    body = latex.render(uneven).partition("tab:lthbench-scores")[2]
    assert [line.split(" & ")[0] for line in body.splitlines() if r" \%" in line][1:] == [
        "dense",
        "imp",
        "nm",
    ]


def test_methods_fall_short_at_the_lowest_sparsity_that_each_was_measured_at(made_table):
    """And not at one at which some of them never were."""
    scores, facts = made_table(("imp", "nm"), sparsities=(0.5, 0.9))
    worse = (scores["method"] != "dense") & (scores["score"] == "accuracy")
    scores.loc[worse, "value"] -= 0.2
    assert ". Already at 50.0 %, imp and nm fall short" in answer.of_table(summarise(scores, facts)).said
    left = scores[(scores["method"] != "imp") | (scores["sparsity"] == 0.9)].reset_index(drop=True)
    summary = summarise(left, facts)
    said = answer.of_table(summary).said
    assert ". At the lowest sparsity of each, imp and nm fall short" in said
    assert latex.escape(said) in latex.render(summary)
