"""What the interactive chart is given: the numbers of the table, and null where there is none."""

import json
import math

import pytest

from lthbench.report import chart_data, templates
from lthbench.report.figures import curves
from lthbench.report.summary import summarise


@pytest.fixture
def summary(made_table):
    return summarise(*made_table(("imp", "</script><b>")))


def test_it_holds_the_means_and_findings_of_the_table(summary):
    data = chart_data.data(summary)
    assert data["methods"] == list(summary.methods)
    assert len(data["colours"]) == len(data["dashed"]) == 2
    judged = 0
    for record, score in zip(data["scores"], summary.scores, strict=True):
        assert record["title"] == score.title
        dense = summary.cell("dense", 0.0, score.name)
        assert record["dense"][0] == pytest.approx(dense.mean, rel=1e-5)
        worst = curves.worst_allowed(summary, score.name, dense.mean)
        assert record["worst"] == (None if worst is None else pytest.approx(worst, rel=1e-5))
        assert (worst is not None) == score.verdict
        for m, method in enumerate(summary.methods):
            for s, sparsity in enumerate(data["sparsities"]):
                cell = summary.cell(method, sparsity, score.name)
                assert record["mean"][m][s] == pytest.approx(cell.mean, rel=1e-5)
                assert record["spread"][m][s] == pytest.approx(cell.spread, rel=5e-3)
        judged += "found" in record
    found = [data["findings"][f] for r in data["scores"] for row in r.get("found", []) for f in row]
    expected = [m for v in summary.headline for m in v.matches]
    assert judged == len({m.score for m in expected})
    assert sorted(found) == sorted(m.finding for m in expected)


def test_what_is_not_measured_is_null_and_valid_json(made_table):
    table, facts = made_table(("imp",))
    table.loc[(table["method"] == "imp") & (table["score"] == "nll"), "value"] = math.nan
    data = chart_data.data(summarise(table, facts))
    (nll,) = (r for r in data["scores"] if r["title"] == "NLL")
    assert {x for row in nll["mean"] + nll["spread"] for x in row} == {None}
    json.dumps(data, allow_nan=False)


def test_a_table_of_dense_networks_has_none(made_table):
    table, facts = made_table(("imp",))
    assert chart_data.data(summarise(table[table["method"] == "dense"], facts)) is None


def test_names_cannot_leave_the_data(summary):
    text = (
        templates.environment().from_string("{{ closer | tojson }}").render(closer=chart_data.data(summary))
    )
    assert "<" not in text
    assert json.loads(text)["methods"] == list(summary.methods)
