"""Removal curves are drawn from the table's variants, with their words."""

import dataclasses

import pandas as pd

from lthbench.report import controls, task_page
from lthbench.report.figures import removal
from lthbench.report.summary import summarise
from lthbench.results import run_facts, table


def with_curves(made_table):
    made, facts = made_table(("imp", "omp"))
    rows = []
    for method, sparsity in [("dense", 0.0), *((m, s) for m in ("imp", "omp") for s in (0.5, 0.9, 0.98))]:
        for seed in range(3):
            like = made[
                (made["method"] == method) & (made["sparsity"] == sparsity) & (made["seed"] == seed)
            ].iloc[0]

            def add(score, variant, value, like=like, metric="road"):
                rows.append({**like, "metric": metric, "score": score, "variant": variant, "value": value,
                             "group": "interpretability", "unit": "fraction"})  # fmt: skip

            for share in range(0, 100, 10):
                for order, end in (("MoRF", 0.1), ("LeRF", 0.8)):
                    add(
                        "road_accuracy", f"ig {order} {share} %", 0.9 + (end - 0.9) * share / 90 + 0.01 * seed
                    )
                add("road_accuracy", f"random {share} %", 0.9 - 0.006 * share)
                add("label_probability", f"ig deletion {share} %", 0.9 - 0.009 * share)
                add("label_probability", f"ig insertion {share} %", 0.1 + 0.008 * share)
            add("road_accuracy", "made up", 0.5)
            add("road_accuracy", "made up by others %", 0.5)
            if method == "dense":
                for variant, value in (("", 0.7), ("untrained network", 0.2), ("chance", 0.05)):
                    add("ig_iou", variant, value, metric="agreement")
    more = tuple(s for s in run_facts.score_facts(("agreement",)) if s.name == "ig_iou")
    facts = dataclasses.replace(facts, scores=facts.scores + more)
    return pd.concat([made, pd.DataFrame(rows)], ignore_index=True).astype(table.COLUMNS), facts


def test_each_method_has_its_curves_beside_dense_in_words(made_table):
    figures = removal.diagrams(summarise(*with_curves(made_table)))
    assert [f.title for f in figures] == [f"{m} at 90.0 %, integrated gradients" for m in ("imp", "omp")] * 2
    road, _, erased, _ = figures
    assert "imp, most relevant first, from 91 to 11" in road.text
    assert "imp, least relevant first, from 91 to 81" in road.text
    assert "dense, most relevant first" in road.text
    assert "imp, random order, from 90 to 36" in road.text
    assert "imp, deletion, from 90 to 9" in erased.text
    assert "imp, insertion, from 10 to 82" in erased.text
    assert road.head == erased.head
    measured, order = road.head.index("score"), road.head.index("order")
    assert {row[measured] for row in road.rows} == {"accuracy"}
    assert {row[measured] for row in erased.rows} == {"probability of the label"}
    assert {row[order] for row in erased.rows} >= {"deletion", "insertion"}


def test_curves_are_at_a_sparsity_at_which_most_methods_were_measured(made_table):
    made, facts = with_curves(made_table)
    some = made[(made["method"] != "imp") | (made["sparsity"] < 0.9)]
    titles = [f.title for f in removal.diagrams(summarise(some, facts))]
    assert titles == [f"{m} at 50.0 %, integrated gradients" for m in ("imp", "omp")] * 2


def test_a_table_without_curves_has_none(made_table):
    assert removal.diagrams(summarise(*made_table(("imp",)))) == []


def test_the_page_shows_curves_and_nulls(made_table):
    summary = summarise(*with_curves(made_table))
    (row,) = controls.rows(summary)
    assert row[1:] == ("70.0 (two dense networks)", "20.0", "5.0")
    text = task_page.render(summary)
    assert "Do the pixels it looks at matter?" in text
    assert "What interpretability scores are worth" in text
    assert "70.0 (two dense networks)" in text
    assert "What interpretability scores are worth" not in task_page.render(summarise(*made_table(("imp",))))
