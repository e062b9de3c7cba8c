"""What others wrote is not replaced in silence."""

import re
import zipfile

import pytest

from lthbench import report
from lthbench.cli.app import main
from lthbench.errors import BadInput
from lthbench.report import site, templates
from lthbench.report.summary import summarise
from lthbench.results import overwriting


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("report.html", b"<html>my notes</html>"),
        ("scores.csv", b"name,score\nme,1\n"),
        ("run.json", b'{"mine": 1}'),
        ("run.json", b"[" * 100_000),
        ("export.json", b"{}"),
        ("report.md", b"# My notes on lthbench"),
        ("bundle.zip", b"no zip"),
        ("report.html", b""),
    ],
)
def test_a_file_of_others_is_named_and_stays(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=rf"{name}: is there, and lthbench did not write it.*--force"):
        overwriting.check([tmp_path / "free", tmp_path / name])
    overwriting.check([tmp_path / name], force=True)
    assert (tmp_path / name).read_bytes() == content


def test_a_zip_file_of_others_is_no_bundle(tmp_path):
    for name, entry in (
        ("theirs.zip", "photo.jpg"),
        ("ours.zip", "bundle.json"),
        ("exported.zip", "store.json"),
    ):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr(entry, "")
    overwriting.check([tmp_path / "ours.zip", tmp_path / "exported.zip"])
    with pytest.raises(BadInput, match=r"theirs\.zip"):
        overwriting.check([tmp_path / "theirs.zip"])


def test_a_report_and_a_site_replace_their_own_and_nothing_else(tmp_path, made_table):
    table, facts = made_table(("imp",), seeds=2, sparsities=(0.5,))
    first = report.write(table, facts, tmp_path)
    assert report.write(table, facts, tmp_path) == first
    for formats, name in ((("md", "csv"), "run.json"), (("site",), "index.html")):
        other = tmp_path / name.replace(".", "-")
        other.mkdir()
        (other / name).write_text("{}")
        with pytest.raises(BadInput, match=name):
            report.write(table, facts, other, formats=formats)
        assert [(p.name, p.read_text()) for p in other.iterdir()] == [(name, "{}")]


def test_all_files_of_a_site_are_looked_at_before_one_is_written(tmp_path, made_table):
    summary = summarise(*made_table(("imp",), seeds=2, sparsities=(0.5,)))
    site.write([summary], tmp_path / "site")
    every = [path.relative_to(tmp_path / "site") for path in (tmp_path / "site").rglob("*") if path.is_file()]
    for place, name in enumerate(every):
        theirs = tmp_path / f"other {place}" / name
        theirs.parent.mkdir(parents=True)
        theirs.write_text("mine")
        with pytest.raises(BadInput, match=re.escape(f"{name}: is there, and lthbench did not write it")):
            overwriting.check(site.in_the_way([summary], tmp_path / f"other {place}"))


def test_a_site_whose_writing_was_stopped_is_written_over(tmp_path, made_table):
    (tmp_path / "assets").mkdir()
    for name, source in templates.assets().items():
        (tmp_path / "assets" / name).write_bytes(source.read_bytes())
    summary = summarise(*made_table(("imp",), seeds=2, sparsities=(0.5,)))
    overwriting.check(site.in_the_way([summary], tmp_path))


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (("run", "--report", "."), "scores.csv"),
        (("submit", ".", "--out", "results.zip"), "results.zip"),
        (("store", "export", "results.zip"), "results.zip"),
        (("export", "omp", "0.5", "--out", "."), "network.safetensors"),
        (("score", "--checkpoint", "none.pt", "--report", "."), "run.json"),
    ],
)
def test_commands_refuse_before_they_do_anything(tmp_path, monkeypatch, capsys, words, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("mine")
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 2
    assert f"{name}: is there, and lthbench did not write it" in capsys.readouterr().err
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, "mine")]


def test_a_finished_report_that_stays_is_told_from_one_of_other_versions(tmp_path, made_table):
    table, facts = made_table(("imp",), seeds=2, sparsities=(0.5,))
    table = table.assign(step=table["step"] + table["score"])
    report.write(table, facts, tmp_path, formats=("csv",))
    late = table["seed"] == 1
    lacking = table.assign(status=table["status"].where(~late, "missing"), value=table["value"].where(~late))
    with pytest.raises(BadInput, match=r"of this command finished, .*: its run may have gone on meanwhile\."):
        overwriting.check_further(tmp_path, facts.command, lacking)
    newer = lacking.assign(step=lacking["step"].where(lacking["score"] != "nll", lacking["step"] + "v2"))
    said = rf"4 of its {table['step'].nunique()} measures are of other versions .* --force"
    with pytest.raises(BadInput, match=said) as told:
        overwriting.check_further(tmp_path, facts.command, newer)
    assert "gone on meanwhile" not in str(told.value)
    assert "lthbench plan" in str(told.value)
    overwriting.check_further(tmp_path, facts.command, newer, force=True)
    overwriting.check_further(tmp_path, "lthbench run another", newer)
    overwriting.check_further(tmp_path, facts.command, newer.assign(status="ok"))
    fewer_seeds = lacking[~late | (lacking["score"] == "nll")]  # of an earlier look
    with pytest.raises(BadInput, match="gone on meanwhile"):
        overwriting.check_further(tmp_path, facts.command, fewer_seeds)
