"""Where ``gate`` puts its summary, and where ``submit`` and ``store export`` put their files."""

import pytest

from lthbench import report
from lthbench.cli import main


@pytest.fixture
def folder(tmp_path, made_table, monkeypatch):
    """A report and a baseline of it, in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    table, facts = made_table(("imp",), seeds=2, sparsities=(0.5,))
    report.write(table, facts, tmp_path / "lthbench-report", formats=("csv",))
    main(["gate", "--write-baseline", "baseline.json"])
    return tmp_path


def test_the_folder_of_a_summary_is_made(folder):
    for _ in range(2):
        main(["gate", "--baseline", "baseline.json", "--summary", "new/folder/summary.md"])
    assert (folder / "new" / "folder" / "summary.md").read_text().count("### lthbench gate") == 2


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("baseline.json/summary.md", "baseline.json: is a file"),
        ("lthbench-report", "lthbench-report: is a folder"),
    ],
)
def test_a_summary_that_cannot_be_written_is_refused_first(folder, place, why, capsys, monkeypatch):
    for words in (["--summary", place], []):
        capsys.readouterr()
        with pytest.raises(SystemExit, match="2"):
            main(["gate", "--baseline", "baseline.json", *words])
        said = capsys.readouterr()
        assert why in said.err
        assert said.out == ""
        monkeypatch.setenv("GITHUB_STEP_SUMMARY", place)


@pytest.mark.parametrize("words", [["submit", "lthbench-report", "--out"], ["store", "export"]])
def test_a_file_in_the_place_of_a_folder_or_a_folder_in_its_own_is_refused_first(folder, words, capsys):
    (folder / "taken.zip").mkdir()
    for place, why in (("taken.zip", "taken.zip: is a folder"), ("baseline.json/b.zip", "is a file")):
        with pytest.raises(SystemExit, match="2"):
            main([*words, place])
        assert why in capsys.readouterr().err
