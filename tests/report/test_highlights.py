"""What a site says first: of which table, and of the best training of a task."""

import dataclasses

from lthbench.report import highlights


def of_dense(summary, accuracy):
    """A summary whose dense networks are so accurate."""
    cell = summary.cells["dense", 0.0, "accuracy"]
    cells = {**summary.cells, ("dense", 0.0, "accuracy"): dataclasses.replace(cell, mean=accuracy)}
    return dataclasses.replace(summary, cells=cells)


def better(*pairs):
    return [h.text for h in highlights.of_site(pairs) if h.about == "Better than dense:"]


def test_what_is_better_than_dense_names_its_table_and_is_of_the_best_training_alone(judged_as):
    short = of_dense(judged_as(imp=("++y", "yyy")), 0.724)
    longer = of_dense(judged_as(imp=("yyy", "yyy")), 0.902)
    table = f"{short.facts.task_name}, {short.facts.budget_name}, dense 72.4 %"
    assert better((short, "a")) == [f"imp at 80.0 %, in accuracy ({table})."]
    assert better((short, "a"), (longer, "b")) == []
