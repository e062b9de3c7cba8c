"""The folder of a task in a site stands alone: what reads the folder of a run reads it."""

import base64
import csv
import dataclasses
import io

import pandas as pd
import pytest
from PIL import Image

import lthbench
from lthbench import report
from lthbench.cli import main
from lthbench.report import site, task_page, task_texts, templates
from lthbench.report.figures import curves
from lthbench.results import latency, table, units
from lthbench.results.merge import grouped


@pytest.fixture(autouse=True)
def _without_figures(monkeypatch):
    """Pages without figures: those take their time, and are not what is read."""
    monkeypatch.setattr(task_page, "drawn", lambda summary: [(curves.KIND, [])])


@pytest.fixture
def tables(made_table):
    """Two tables of a task, which a site puts together."""
    return [made_table((method,), seeds=2, sparsities=(0.5, 0.9)) for method in ("imp", "omp")]


def written(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name in (*table.SCORES, "run.json")}


@pytest.mark.parametrize(("most", "name"), [(20_000, "scores.csv"), (3, "scores.csv.gz")])
def test_the_folder_of_a_task_is_read_as_that_of_a_run(tables, tmp_path, monkeypatch, capsys, most, name):
    monkeypatch.setattr(templates, "COMPRESSED", most)
    report.write_several(tables, tmp_path / "site")
    folder = tmp_path / "site" / "made-quick"
    ((scores, facts),) = grouped(tables)
    for path in (folder, folder / name):
        found = lthbench.read(path)
        pd.testing.assert_frame_equal(found.table, scores)
        assert found.facts == facts
    main(["explain", "omp", "0.9", "--from", str(folder)])
    assert "omp" in capsys.readouterr().out
    main(["compare", str(folder), str(folder)])
    assert "the same in both" in capsys.readouterr().out
    main(["report", str(folder), "--out", str(tmp_path / "again"), "--format", "csv,site"])
    assert written(tmp_path / "again" / "made-quick") == written(folder)
    assert written(folder).keys() == {name, "run.json"}
    read_again = lthbench.read(tmp_path / "again")
    pd.testing.assert_frame_equal(read_again.table, scores)
    page = (folder / "index.html").read_text()
    assert f'href="{name}"' in page
    assert 'href="run.json"' in page


def test_a_site_says_by_which_rule_it_judges(tables, tmp_path):
    report.write_several(tables, tmp_path, "std")
    assert lthbench.read(tmp_path / "made-quick").facts.rule == "std"


def test_a_table_that_was_there_before_is_not_left_beside_the_new_one(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(templates, "COMPRESSED", 3)
    report.write_several(tables, tmp_path)
    monkeypatch.setattr(templates, "COMPRESSED", 20_000)
    report.write_several(tables[:1], tmp_path)
    assert written(tmp_path / "made-quick").keys() == {"scores.csv", "run.json"}
    assert set(lthbench.read(tmp_path / "made-quick").table["method"]) == {"dense", "imp"}


def test_units_and_times_lie_beside_the_table_and_pictures_once(tables, tmp_path):
    scores, facts = tables[0]
    content = io.BytesIO()
    Image.new("RGB", (2, 2)).save(content, "WEBP")
    image = f"data:image/webp;base64,{base64.b64encode(content.getvalue()).decode()}"
    kept = dataclasses.replace(
        facts,
        pictures=({"kind": "saliency", "title": "t", "text": "x", "image": image},),
        latencies=(latency.Latency("imp", 0.5, 0, "imp0.50", 1, 0.25, 10, "cpu", 1),),
        units=(units.Unit("imp", 0.5, 0, "dissection", "conv1", 3, "sky", "object", 0.125, 0.5),),
    )
    report.write_several([(scores, kept)], tmp_path)
    assert lthbench.read(tmp_path / "made-quick").facts == dataclasses.replace(kept, pictures=())
    names = {path.name for path in (tmp_path / "made-quick").iterdir()}
    assert {"run.json", "units.csv", "latency.csv", "picture-0.webp"} <= names
    assert "pictures.json" not in names


def test_the_leaderboard_is_a_table_too(tables, tmp_path):
    report.write_several(tables, tmp_path)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "leaderboard.csv").read_text())))
    found = lthbench.read(tmp_path / "made-quick")
    verdict = found.verdict()
    assert len(rows) == 2 * (1 + verdict["score"].nunique())
    assert {(row["task"], row["folder"], row["seeds"]) for row in rows} == {("made", "made-quick", "2")}
    good = verdict["finding"].isin(["better", "matches"])
    for row in rows:
        here = verdict[verdict["method"] == row["method"]]
        if row["score"] != "all":
            here = here[here["score"] == row["score"]]
        levels = [s for s in (0.5, 0.9) if good[here.index[here["sparsity"] <= s]].all()]
        assert row["finding"] in (["holds"] if levels else ["open", "none", "unknown"])
        assert row["up_to"] == (str(levels[-1]) if levels else "")
        assert row["decided_by"].startswith(f"{row['method']} at ")
    assert {row["finding"] for row in rows} > {"holds"}
    assert 'href="leaderboard.csv"' in (tmp_path / "index.html").read_text()


def test_the_first_page_begins_with_tables_of_which_something_is_shown(published):
    """No method passes on clothing, which is not calibrated: its leaderboard stands below alone."""
    pairs = [(summary, name) for name, summary in published.items()]
    page = site._index([summary for summary, _ in pairs], pairs)
    answers = page.partition('class="answers"')[2].partition("</tbody>")[0]
    assert "digits-r8" in answers
    assert "c10-r20s-standard-bf16" in answers
    assert "clothing10" not in answers
    assert 'as good as dense on every score yet on <a href="clothing10' in page
    assert "clothing10" in page
    (alone,) = [p for p in pairs if p[1] == "clothing10-r18-quick"]
    page = site._index([alone[0]], [alone])
    assert "clothing10" in page.partition('class="answers"')[2].partition("</tbody>")[0]


def test_a_site_tells_the_recipe_of_a_task_that_ships_as_it_is_here(tables, tmp_path, monkeypatch):
    monkeypatch.setattr(task_texts, "recipe", lambda facts: "as it is here")
    report.write_several(tables, tmp_path / "site")
    assert "(as it is here)" in (tmp_path / "site" / "index.html").read_text()
