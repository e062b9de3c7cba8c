"""Tables whose methods were measured at different sparsities, or of which scores are missing."""

import itertools

import pytest

from lthbench.report import answer, latex, markdown, network_page, tallies, task_page
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
    body = latex.render(uneven).partition("-scores}")[2].partition(r"\end{longtable}")[0]
    assert [line.split(" & ")[0] for line in body.splitlines() if r" \% &" in line] == ["dense", "imp", "nm"]


def test_markdown_begins_with_counts_and_has_a_table_for_each_group_of_scores(uneven):
    """One table of over sixty columns was all that it had."""
    text = markdown.render(uneven)
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    tables = [list(rows) for dash, rows in itertools.groupby(rows, lambda r: r[0][:1] == "-") if not dash]
    assert tables[0] == [["method", "50.0 %", "90.0 %", "all hold up to"]]
    counts = {row[0]: row[1:3] for row in tables[1][:2]}
    for result in uneven.headline:
        for place, level in enumerate(uneven.sparsities):
            found = [m.finding for m in result.at(level)]
            tally = [
                sum(f in names for f in found) for names in (("better", "matches"), ("open",), ("worse",))
            ]
            assert counts[result.method][place] == ("/".join(map(str, tally)) if found else "–")
    heads = [line for line in text.splitlines() if line.startswith("### ")]
    groups = dict.fromkeys(s.group for s in uneven.scores if not s.verdict)
    assert heads == ["### Scores of the verdict", *(f"### {g[:1].upper()}{g[1:]}" for g in groups)]
    of_scores = [row[2:] for row in rows if row[:2] == ["method", "sparsity"]]
    assert sorted(name for row in of_scores for name in row) == sorted(s.header for s in uneven.scores)
    assert of_scores[0] == [s.header for s in uneven.scores if s.verdict]


def test_sparsities_that_read_alike_keep_their_counts(made_table):
    scores, facts = made_table(("imp", "nm"), sparsities=(0.5904, 0.590412, 0.9))
    rows = tallies.rows(summarise(scores, facts))
    assert list(rows[0])[1:4] == ["59.040 %", "59.041 %", "90.0 %"]
    assert all("/" in row[head] for row in rows for head in list(rows[0])[1:4])


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
