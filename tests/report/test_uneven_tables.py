"""Tables whose methods were measured at different sparsities, or of which scores are missing."""

import pytest

from lthbench.report import latex, markdown, network_page, task_page
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
