"""A table that is read, and its verdict, comparison and report: what the commands say, as data."""

import dataclasses
import json
import math

import pandas as pd
import pytest

import lthbench
from lthbench import report
from lthbench.api import Outcome
from lthbench.cli import main
from lthbench.errors import BadInput
from lthbench.report import machine_readable
from lthbench.report.summary import summarise


@pytest.fixture
def made(made_table):
    return made_table(("imp", "omp"), seeds=3, sparsities=(0.5, 0.9))


@pytest.fixture
def folder(made, tmp_path):
    table, facts = made
    report.write(table, facts, tmp_path / "first", formats=("csv",))
    return tmp_path / "first"


@pytest.mark.parametrize("rule", [None, "std"])
def test_a_verdict_has_the_findings_of_the_json_report(made, rule):
    table, facts = made
    found = Outcome(table, facts, {}).verdict(rule)
    told = json.loads(machine_readable.as_json(summarise(table, facts, rule)))
    expected = [
        {"method": verdict["method"], **finding}
        for verdict in told["verdicts"][told["rule"]]
        for finding in verdict["findings"]
    ]
    assert len(found) == len(expected) > 0
    for row, wanted in zip(found.to_dict("records"), expected, strict=True):
        unit = row.pop("unit")
        assert unit == next(s.unit for s in facts.scores if s.name == row["score"])
        known = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        assert known == wanted


def test_a_table_without_pruned_networks_has_a_verdict_without_rows(made):
    table, facts = made
    found = Outcome(table[table["method"] == "dense"], facts, {}).verdict()
    assert len(found) == 0
    assert {"method", "sparsity", "score", "finding"} <= set(found.columns)


def test_a_folder_or_a_file_in_it_is_read(folder, made):
    table, facts = made
    for path in (folder, str(folder), folder / "scores.csv"):
        found = lthbench.read(path)
        pd.testing.assert_frame_equal(found.table, table)
        assert found.facts == facts
        assert found.failures == {}


def test_a_comparison_has_the_numbers_of_the_command_and_what_it_leaves_out(made, folder, tmp_path, capsys):
    table, facts = made
    gated = (table["method"] == "imp") & (table["score"] == "nll")
    better = table["value"].mask((table["score"] == "accuracy") & (table["method"] == "omp"), 0.9)
    changed = table.assign(
        value=better,
        status=table["status"].mask(gated, "gated"),
        reason=table["reason"].mask(gated, "accuracy is too low"),
    )
    report.write(changed, facts, tmp_path / "second", formats=("csv",))
    found = lthbench.read(folder).compare(lthbench.read(tmp_path / "second"))
    main(["compare", str(folder), str(tmp_path / "second"), "--json"])
    told = json.loads(capsys.readouterr().out)
    compared = found[found["finding"] != "uncompared"]
    assert compared[list(told["changes"][0])].to_dict("records") == told["changes"]
    left = found[found["finding"] == "uncompared"]
    assert set(zip(left["method"], left["score"], strict=True)) == {("imp", "nll")}
    assert set(zip(left["status_a"], left["status_b"], left["reason"], left["unit"], strict=True)) == {
        ("ok", "gated", "accuracy is too low", "nats")
    }
    assert left[["a", "b", "difference", "low", "high"]].isna().all(axis=None)


def test_a_report_of_what_was_read_keeps_pictures_and_times(made, tmp_path):
    table, facts = made
    picture = {"kind": "saliency", "title": "t", "text": "x", "image": "", "head": [], "rows": []}
    report.write(table, dataclasses.replace(facts, pictures=(picture,)), tmp_path / "first", formats=("csv",))
    lthbench.read(tmp_path / "first").report(str(tmp_path / "second"), "csv")
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert "pictures.json" in names
    assert {p.name: p.read_bytes() for p in (tmp_path / "second").iterdir()} == {
        name: (tmp_path / "first" / name).read_bytes() for name in names
    }


def test_what_cannot_be_read_or_asked_for_is_named(folder, tmp_path):
    with pytest.raises(BadInput, match=r"absent: has no scores\.csv"):
        lthbench.read(tmp_path / "absent")
    found = lthbench.read(folder)
    with pytest.raises(BadInput, match="no format"):
        found.report(tmp_path / "new", ["hmtl"])
    with pytest.raises(BadInput, match="no rule"):
        found.verdict("papr")
    assert not (tmp_path / "new").exists()


def test_a_table_that_was_edited_is_named(folder, made_table, monkeypatch):
    def broken(*given):
        raise KeyError("dense")

    found = lthbench.read(folder)
    monkeypatch.setattr("lthbench.report.summary.summarise", broken)
    with pytest.raises(BadInput, match=r"first: run\.json and scores\.csv are not as a run wrote them"):
        found.verdict()
    with pytest.raises(KeyError):  # of a table that no file holds nobody edited one
        dataclasses.replace(found, source=None).verdict()
