"""The verdict in a terminal: it fits, and says what the page says."""

import pytest

from lthbench.report import findings, shell
from lthbench.report.summary import summarise


@pytest.mark.parametrize("width", [40, 60, 80, 200])
@pytest.mark.parametrize(
    "methods", [("imp", "omp", "snip"), ("imp", "omp", "snip", "grasp", "synflow", "rigl")]
)
def test_no_line_is_wider_than_the_terminal(made_table, methods, width):
    text = shell.text(summarise(*made_table(methods)), width)
    assert max(map(len, text.splitlines())) <= min(width, shell.WIDEST)
    for method in methods:
        assert any(line.startswith(method) for line in text.splitlines())


def test_a_small_grid_has_a_sign_for_each_score_of_each_network(made_table):
    summary = summarise(*made_table(("imp", "omp")))
    lines = shell.text(summary, 80).splitlines()
    rows = [line for line in lines if " %  " in line and not line.startswith(" " * 12)]
    scores = {m.score for v in summary.headline for m in v.matches}
    assert len(rows) == sum(len(v.sparsities) for v in summary.headline)
    signs = {sign for _, sign in findings.SIGNS.values()}
    for row in rows:
        assert sum(part in signs for part in row.split()) >= len(scores)


def test_a_large_grid_says_how_far_each_method_gets(made_table):
    methods = tuple("abcdefgh")
    text = shell.text(summarise(*made_table(methods)), 80)
    assert "up to which it is shown to be as good as dense" in text


def test_it_opens_with_the_sentence_of_the_page(made_table):
    summary = summarise(*made_table(("imp",)))
    said = " ".join(shell.text(summary, 80).split())
    assert said.startswith(findings.lead(summary))
