"""Claims and tables in one matrix, as CSV and Markdown."""

import csv
import re
from types import SimpleNamespace
from typing import Any

from lthbench.report import claim_matrix, templates
from lthbench.report.claims import any_task, between

SAID = {
    "a": [("Tickets exist.", "agrees", "up to 50 %"), ("Units vanish.", "not measured", "")],
    "b": [("Tickets exist.", "differs", "worse | at each"), ("Only of b.", "cannot say", "0 ± 1")],
    "c": [("Tickets exist.", "agrees", "up to 90 %"), ("Only of b.", "not measured", "")],
}


#: Task, budget, epochs, and how accurate dense is.
TABLES = tuple((name, "quick", 2, 0.9) for name in SAID)


def made(monkeypatch, said=None, tables=TABLES):
    """A matrix of what tables say."""
    said = said or SAID
    monkeypatch.setattr(
        any_task,
        "held",
        lambda summary: [
            {"claim": claim, "source": "Chen", "finding": finding, "shown": shown}
            for claim, finding, shown in said[summary.name]
        ],
    )
    monkeypatch.setattr(between, "held", lambda summaries: [[] for _ in summaries])
    summaries: list[Any] = [
        SimpleNamespace(
            name=name,
            named=f"{task}, {budget}",
            facts=SimpleNamespace(
                task_name=task, budget_name=budget, budget={"train": {"epochs": epochs}}, seeds=(0, 1, 2)
            ),
            dense_accuracy=dense,
        )
        for name, (task, budget, epochs, dense) in zip(said, tables, strict=True)
    ]
    return claim_matrix.matrix([(summary, f"{summary.name}-quick") for summary in summaries])


def test_of_tables_of_one_task_that_of_the_longest_training_counts(monkeypatch):
    """Five claims rested on a table of networks of 72 % where one of 90 % had what they are about."""
    said = {
        "short": [
            ("A.", "agrees", "1"),
            ("B.", "differs", "2"),
            ("C.", "agrees", "3"),
            ("D.", "agrees", "4"),
        ],
        "long": [("A.", "cannot say", "5"), ("B.", "agrees", "6"), ("C.", "not measured", "–")],
        "other": [("A.", "cannot say", "7")],
    }
    tables = ("c10-r20s", "quick", 6, 0.724), ("c10-r20s", "standard", 30, 0.902), ("else", "quick", 6, 0.99)
    found = made(monkeypatch, said, tables)
    rows = {row["claim"]: row for row in (*found["rows"], *found["open"])}
    assert {claim: row["answer"] for claim, row in rows.items()} == {
        **{"A.": "cannot say", "B.": "agrees"},
        **{"C.": "agrees", "D.": "agrees"},
    }
    assert rows["A."]["decided"] == []
    assert rows["B."]["decided"] == ["c10-r20s, standard: dense 90.2 %, 3 seeds"]
    assert rows["C."]["decided"] == ["c10-r20s, quick: dense 72.4 %, 3 seeds"]
    assert [rows[c]["note"] for c in ("A.", "B.", "C.")] == ["", "", "quick budget only"]
    assert [rows[c]["cells"][0]["outranked"] for c in ("A.", "C.")] == ["c10-r20s, standard", ""]
    csv_rows = {r["claim"]: r for r in csv.DictReader(claim_matrix.as_csv(found).decode().splitlines())}
    assert csv_rows["A."]["c10-r20s, quick"] == "outranked: agrees"
    assert (csv_rows["B."]["agrees"], csv_rows["B."]["differs"]) == ("1", "0")
    assert csv_rows["B."]["decided_by"] == "c10-r20s, standard: dense 90.2 %, 3 seeds"
    markdown = claim_matrix.as_markdown(found)
    assert "| ✓ agrees (quick budget only) | c10-r20s, quick: dense 72.4 %, 3 seeds" in " ".join(
        markdown.split()
    )
    page = templates.render("claims.html.j2", claims=found, said="", notices=[], elsewhere=[])
    told = re.findall(
        r'<td class="told" data-name="answer">.*?</td>\s*<td data-name="decided by">(.*?)</td>', page
    )
    assert "c10-r20s, quick: dense 72.4\u00a0%, 3 seeds" in told
    assert "(outranked by c10-r20s, standard)" in page


def test_the_published_tables_decide_these_claims(published):
    """Those that rest on networks of 72 % say so."""
    found = claim_matrix.matrix([(summary, name) for name, summary in published.items()])
    assert found["counts"] == {"agrees": 17, "differs": 0, "both": 0, "cannot say": 23, "not measured": 6}
    assert all(row["note"] for row in found["rows"] if not any("standard" in r for r in row["decided"]))
    (small,) = (row for row in found["rows"] if row["claim"].startswith("A small dense network"))
    assert small["decided"] == ["c10-r20s, quick: dense 72.4 %, 3 seeds"]
    masks = [row for row in found["rows"] if row["claim"].startswith("A mask from initialisation")]
    assert [row["decided"] for row in masks] == [["digits-r8, quick: dense 99.0 %, 5 seeds"]] * 2
    (early,) = (row for row in found["rows"] if row["claim"].startswith("Pruning at initialisation is less"))
    on_clothing = "clothing10-r18, quick: dense 67.8 %, 3 seeds"
    assert sorted(early["decided"]) == ["c10-r20s, standard-bf16: dense 90.2 %, 3 seeds", on_clothing]
    (told,) = (cell for cell in early["cells"] if cell["outranked"])
    assert (told["finding"], told["shown"].partition(" (")[0]) == (
        "agrees",
        "at 67.2 %, the worst of 6 pairs, omp is 5.6 points above snip",
    )
    (linear,) = (row for row in found["open"] if row["claim"].startswith("Random, one-shot and early"))
    told = [cell["shown"].partition("beside imp: ")[2] for cell in linear["cells"] if cell and cell["sign"]]
    assert "lower in 6 of 12 comparisons, higher in 0, open in 6" in told


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
        "One table that tells is enough, where none tells otherwise; of several of one task that of the "
        "longest training counts."
    )


def test_the_markdown_has_what_a_table_can_speak_to(monkeypatch):
    said = claim_matrix.as_markdown(made(monkeypatch))
    ticket, only = (line for line in said.splitlines() if "(Chen)" in line)
    cells = [cell.strip() for cell in ticket.strip("|").replace(r"\|", "/").split("|")]
    rests = [f"{name}, quick: dense 90.0 %, 3 seeds" for name in SAID]
    assert cells[1:3] == ["✓✗ both", "; ".join(rests)]
    assert "differ from 0, do both on 1, and cannot say for 1. " in said
    assert cells[3:] == ["✓ up to 50 %", "✗ worse / at each", "✓ up to 90 %"]
    assert "? 0 ± 1" in only
    assert "Units vanish" not in said
