"""Claims and tables in one matrix, as CSV and Markdown."""

import csv
from types import SimpleNamespace
from typing import Any

from lthbench.report import claim_matrix
from lthbench.report.claims import any_task, between

SAID = {
    "a": [("Tickets exist.", "agrees", "up to 50 %"), ("Units vanish.", "not measured", "")],
    "b": [("Tickets exist.", "differs", "worse | at each"), ("Only of b.", "cannot say", "0 ± 1")],
    "c": [("Tickets exist.", "agrees", "up to 90 %"), ("Only of b.", "not measured", "")],
}


def made(monkeypatch):
    monkeypatch.setattr(
        any_task,
        "held",
        lambda summary: [
            {"claim": claim, "source": "Chen", "finding": finding, "shown": shown}
            for claim, finding, shown in SAID[summary.facts.task_name]
        ],
    )
    monkeypatch.setattr(between, "held", lambda summaries: [[] for _ in summaries])
    facts: list[Any] = [
        SimpleNamespace(facts=SimpleNamespace(task_name=n, budget_name="quick")) for n in SAID
    ]
    return claim_matrix.matrix([(summary, f"{summary.facts.task_name}-quick") for summary in facts])


def test_the_csv_says_on_how_many_tasks_each_claim_agrees_and_differs(monkeypatch):
    rows = list(csv.DictReader(claim_matrix.as_csv(made(monkeypatch)).decode().splitlines()))
    counts = {r["claim"]: (r["agrees"], r["differs"], r["cannot_say"]) for r in rows}
    assert counts == {
        "Tickets exist.": ("2", "1", "0"),
        "Only of b.": ("0", "0", "1"),
        "Units vanish.": ("0", "0", "0"),
    }
    assert [rows[0][f"{n}, quick"] for n in SAID] == ["agrees", "differs", "agrees"]
    assert rows[0]["b, quick: shown"] == "worse | at each"
    assert rows[1]["a, quick"] == ""


def test_claims_that_no_table_decides_stand_apart(monkeypatch):
    found = made(monkeypatch)
    assert [row["claim"] for row in found["rows"]] == ["Tickets exist."]
    assert [row["claim"] for row in found["open"]] == ["Only of b."]
    assert [row["claim"] for row in found["untold"]] == ["Units vanish."]
    counts = {"agrees": 3, "differs": 2, "both": 0, "cannot say": 1, "not measured": 9}
    assert claim_matrix.said(counts) == (
        "Of 6 claims, these tables agree with 3, differ from 2, and cannot say for 1. "
        "One table that tells is enough, where none tells otherwise."
    )


def test_the_markdown_has_what_a_table_can_speak_to(monkeypatch):
    said = claim_matrix.as_markdown(made(monkeypatch))
    ticket, only = (line for line in said.splitlines() if "(Chen)" in line)
    cells = [cell.strip() for cell in ticket.strip("|").replace(r"\|", "/").split("|")]
    assert cells[1:4] == ["2", "1", "0"]
    assert "differ from 0, do both on 1, and cannot say for 1. " in said
    assert cells[4:] == ["✓ up to 50 %", "✗ worse / at each", "✓ up to 90 %"]
    assert "? 0 ± 1" in only
    assert "Units vanish" not in said
