"""The table of scores on disk: nothing is lost, and what is not one is refused by name."""

import csv
import dataclasses
import errno
import importlib.util
import io
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lthbench import textfiles
from lthbench.errors import BadInput
from lthbench.results import score_order, table, validation

spec = importlib.util.spec_from_file_location("tables", Path(__file__).parents[1] / "tables.py")
tables = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tables)
FACTS = tables.facts(later={"high": None})
TEXTS = ["", "NA", "nan", "null", "None", "1e3", 'a, "b"', "<b>&\n", "é ✗ ", "10%\r20%"]


def frame(rows=400, seed=0):
    """Random values over 18 orders of magnitude, and texts that readers of CSV like to change.

    Only a reason may have several lines.
    """
    rng = np.random.default_rng(seed)
    columns = {}
    for place, (name, kind) in enumerate(table.COLUMNS.items()):
        if kind == "str":
            texts = TEXTS if name == "reason" else [text.strip("\n").replace("\r", "") for text in TEXTS]
            columns[name] = [texts[(place + i) % len(texts)] for i in range(rows)]
        elif kind == "int64":
            columns[name] = rng.integers(0, 2**53, rows)
        else:
            columns[name] = rng.random(rows) * 10.0 ** rng.uniform(-9, 9, rows)
    made = pd.DataFrame(columns).astype(table.COLUMNS)
    made.loc[:2, "value"] = [math.nan, math.inf, -math.inf]
    made.loc[3, "se"] = math.nan
    return made


def test_csv_keeps_every_value_and_text_to_the_last_bit(tmp_path):
    made = frame()
    table.write(made, FACTS, tmp_path)
    found, facts = table.read(tmp_path)
    pd.testing.assert_frame_equal(found, made, check_exact=True)
    assert facts == FACTS


def test_the_bytes_of_a_table_are_those_of_its_text():
    made = frame()
    made["reason"] = made["reason"].str.replace("\r", "\n")  # which older versions of Python do not quote
    assert table.as_csv(made) == made.to_csv(index=False, lineterminator="\n").encode()


def test_parquet_holds_the_same_table(tmp_path):
    made = frame()
    table.write(made, FACTS, tmp_path)
    found = pd.read_parquet(tmp_path / "scores.parquet").astype(table.COLUMNS)
    pd.testing.assert_frame_equal(found, made, check_exact=True)


def test_where_pyarrow_is_absent_no_table_of_before_stays_beside_the_new_one(tmp_path, monkeypatch):
    table.write(frame(seed=1), FACTS, tmp_path)
    assert (tmp_path / "scores.parquet").exists()
    monkeypatch.setattr(table, "to_parquet", lambda made: None)
    table.write(frame(seed=2), FACTS, tmp_path)
    assert not (tmp_path / "scores.parquet").exists()


def test_writing_again_replaces_the_files_and_leaves_no_scraps(tmp_path):
    table.write(frame(seed=1), FACTS, tmp_path)
    written = table.write(frame(seed=2), FACTS, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in written)
    pd.testing.assert_frame_equal(table.read(tmp_path)[0], frame(seed=2), check_exact=True)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scores.csv", None, "has no scores.csv"),
        ("run.json", None, "has no run.json"),
        ("run.json", "{", "cannot be read"),
        ("run.json", "[]", "cannot be read"),
        ("run.json", '{"schema": 99}', "schema 99"),
        ("scores.csv", "task,method\na,b\n", "missing sparsity"),
        ("scores.csv", "", "not a table"),
    ],
)
def test_a_folder_that_no_run_wrote_is_refused_by_name(tmp_path, name, content, said):
    table.write(frame(4), FACTS, tmp_path)
    (tmp_path / name).unlink() if content is None else (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=said):
        table.read(tmp_path)


def test_the_scores_of_the_verdict_are_asked_in_the_papers_order_whatever_order_is_given():
    names = ("nll", "brier", "ood", "ece", "mce", "generalization-gap", "fgsm", "accuracy")
    asked = ["accuracy", "mce", "fgsm_accuracy", "ood_auroc", "ece", "nll"]
    assert [a.score for a in score_order.aspects(names)] == asked
    shown = [s.name for s in score_order.scores(names)]
    assert shown[: len(asked)] == asked
    assert {"relative_mce", "corruption_error", "generalization_gap", "brier"} <= set(shown[len(asked) :])


def test_only_accuracy_has_slack_and_only_mce_borrows_its_spread():
    found = {a.score: (a.slack, a.spread_of) for a in score_order.aspects(("accuracy", "mce", "fgsm", "nll"))}
    assert found["accuracy"] == (0.01, "")
    assert found["mce"] == (0.0, "corruption_error")
    assert found["fgsm_accuracy"] == found["nll"] == (0.0, "")


# ------------------------------------------------------------------------------------- as editors leave them


def rewritten(path, change):
    """A text as an editor or a spreadsheet leaves it."""
    text = path.read_text(encoding="utf-8")
    if change in (";", "\t"):
        rows = list(csv.reader(io.StringIO(text)))
        with path.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=change).writerows(rows)
    else:
        path.write_text(text, encoding=change)


@pytest.mark.parametrize("change", ["utf-8-sig", "utf-16", "utf-32", ";", "\t"])
@pytest.mark.parametrize("name", ["scores.csv", "run.json", "pictures.json"])
def test_a_table_is_read_as_editors_leave_it(tmp_path, change, name):
    if name != "scores.csv" and len(change) == 1:
        return
    made = tables.frame(tables.rows("m", 0.5, "accuracy", (0.9, 0.91)))
    table.write(made, tables.facts(2), tmp_path)
    (tmp_path / "pictures.json").write_text("[]")
    plain, facts = table.read(tmp_path)
    rewritten(tmp_path / name, change)
    again, same = table.read(tmp_path)
    pd.testing.assert_frame_equal(again, plain)
    assert same == facts


@pytest.mark.parametrize("name", ["scores.csv", "run.json", "pictures.json"])
@pytest.mark.parametrize("content", ["größer".encode("latin-1"), "[]".encode("utf-16-le"), b"\xff\xfea"])
def test_a_table_of_another_encoding_is_refused_by_name(tmp_path, name, content):
    made = tables.frame(tables.rows("m", 0.5, "accuracy", (0.9, 0.91)))
    table.write(made, tables.facts(2), tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{name}: (is not UTF-|is no text)"):
        table.read(tmp_path)


def test_a_large_file_is_read_a_block_at_a_time_and_the_table_is_the_same(tmp_path, made_table, monkeypatch):
    made, facts = made_table(["imp"])
    folder = tmp_path / "run"
    table.write(made, facts, folder)
    plain = (folder / "scores.csv").read_bytes()
    assert plain == table.as_csv(made)
    monkeypatch.setattr(textfiles, "_BLOCK", 7)  # cuts characters in two
    for mark, encoding in (("", "utf-8"), ("\ufeff", "utf-8"), ("", "utf-16"), ("", "utf-32")):
        (folder / "scores.csv").write_bytes((mark + plain.decode()).encode(encoding))
        assert table.read(folder)[0].equals(made)


@pytest.mark.parametrize("content", [b"task,\xc3", b"a\xff", "task".encode("utf-16-le"), b"a\0"])
def test_a_file_that_is_no_text_is_refused_at_any_block(tmp_path, monkeypatch, content):
    path = tmp_path / "scores.csv"
    path.write_bytes(content)
    monkeypatch.setattr(textfiles, "_BLOCK", 1)
    with pytest.raises(BadInput) as whole:
        textfiles.read(path)
    with pytest.raises(BadInput) as parts:
        textfiles.opened(path)
    assert str(parts.value) == str(whole.value)


@pytest.mark.parametrize("name", ["kind", "title"])
def test_a_picture_whose_name_breaks_lines_or_steers_terminals_is_refused(tmp_path, made_table, name):
    made, facts = made_table(["imp"])
    table.write(made, facts, tmp_path)
    picture = {"kind": "saliency", "title": "a", "text": "b", "image": "c"}
    for odd in ("a\nb", "\x1b[31m"):
        (tmp_path / "pictures.json").write_text(json.dumps([{**picture, name: odd}]))
        with pytest.raises(BadInput, match="cannot be read as pictures"):
            table.read(tmp_path)
    (tmp_path / "pictures.json").write_text(json.dumps([picture]))
    assert table.read(tmp_path)[1].pictures == (picture,)


def test_a_table_with_a_column_twice_or_rows_that_are_longer_is_refused(tmp_path, made_table):
    made, facts = made_table(["imp"])
    table.write(made, facts, tmp_path)
    lines = (tmp_path / "scores.csv").read_text().splitlines()
    first, twice = [lines[0]], [f"{lines[0]},value"]
    for changed, said in (
        (first + [f"x,{line}" for line in lines[1:]], "rows have more fields than the header"),
        (twice + [f"{line},0.99" for line in lines[1:]], "has column value twice"),
    ):
        (tmp_path / "scores.csv").write_text("\n".join(changed) + "\n")
        with pytest.raises(BadInput, match=said):
            table.read(tmp_path)


def test_a_table_of_another_budget_than_its_facts_is_refused(made_table):
    made, facts = made_table(["imp"])
    other = dataclasses.replace(facts, budget={**facts.budget, "name": "paper"})
    with pytest.raises(BadInput, match='of budget "quick", its facts of "paper"'):
        validation.check(made, other)


def test_what_lies_beside_a_table_stays_until_the_new_one_is_there(tmp_path, monkeypatch):
    """Times and pictures are not made again from a store: a full disk must not take them."""
    made = frame()
    for name in table.BESIDE:
        (tmp_path / name).write_text("[]")

    def full(*given):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(table, "publish_all", full)
        with pytest.raises(OSError, match="No space"):
            table.write(made, FACTS, tmp_path)
    assert all((tmp_path / name).exists() for name in table.BESIDE)
    table.write(made, FACTS, tmp_path)
    assert not any((tmp_path / name).exists() for name in table.BESIDE)


def test_a_text_in_the_place_of_a_number_is_named_by_its_column(tmp_path):
    table.write(frame(), FACTS, tmp_path)
    lines = (tmp_path / "scores.csv").read_text().split("\n")
    place = list(table.COLUMNS).index("value")
    fields = next(csv.reader([lines[1]]))
    rows = [["nan" if i == place else field for i, field in enumerate(fields)]]
    with (tmp_path / "scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows([list(table.COLUMNS), *rows])
    with pytest.raises(BadInput, match=r"scores\.csv: not a table of scores: value holds a text that is no"):
        table.read(tmp_path)


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        (
            "RuntimeError: 10%\r20%",
            r"row 5 has 18 columns, the header 21\. Earlier versions .* run the command",
        ),
        ("@home", "row 5: reason has a text that spreadsheets would compute: '@home'"),
    ],
)
def test_a_reason_that_an_earlier_version_wrote_so_is_told_by_its_row(tmp_path, made_table, reason, said):
    made, facts = made_table(["imp"], seeds=1, sparsities=(0.5,))
    made["reason"] = ["", "", "", "why", *[""] * (len(made) - 4)]
    table.write(made.astype(table.COLUMNS), facts, tmp_path)
    content = (tmp_path / "scores.csv").read_bytes().replace(b",why,", f",{reason},".encode())
    (tmp_path / "scores.csv").write_bytes(content)
    with pytest.raises(BadInput, match=said):
        table.read(tmp_path)
