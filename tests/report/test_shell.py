"""The verdict in a terminal: it fits, and says what the page says."""

import dataclasses
from pathlib import Path

import pytest

from lthbench.report import answer, findings, shell
from lthbench.report.summary import summarise
from lthbench.results import run_facts


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


@pytest.mark.parametrize("width", [40, 80])
def test_the_answer_has_a_line_for_each_fact_of_the_page(made_table, width):
    summary = summarise(*made_table(("imp", "omp")))
    said = shell.answer(summary, width)
    assert max(map(len, said.splitlines())) <= width
    for name, what in answer.of_table(summary).facts:
        assert f"{name} {what}" in " ".join(said.split())


def test_scores_outside_the_verdict_are_shown_where_nothing_is_judged(module_at):
    tables = module_at(Path(__file__).parents[1] / "tables.py")
    found = tables.frame(
        tables.rows("dense", 0.0, "nll", [0.25, 0.35]), tables.rows("m", 0.5, "nll", [0.5, 0.7])
    ).assign(score="brier", unit="squared probability")
    scores = [dataclasses.asdict(s) for s in run_facts.score_facts(["brier"])]
    text = shell.text(summarise(found, tables.facts(2, aspects=[], scores=scores)), 80)
    (line,) = [line for line in text.splitlines() if line.startswith("m ")]
    assert "50.0 %" in line
    assert "0.600" in line
    assert "Brier" in text
