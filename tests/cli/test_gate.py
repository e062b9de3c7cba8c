"""Where ``gate`` puts its summary, and where ``submit`` and ``store export`` put their files."""

import dataclasses
import json
import os
from pathlib import Path

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


def test_a_score_that_got_worse_than_it_may_ends_with_1(folder, made_table):
    main(["gate", "--baseline", "baseline.json"])
    table, facts = made_table(("imp",), seeds=2, sparsities=(0.5,))
    ours = (table["method"] == "imp") & (table["score"] == "accuracy")
    table.loc[ours, "value"] -= 0.3
    report.write(table, facts, folder / "lthbench-report", formats=("csv",))
    with pytest.raises(SystemExit) as ended:
        main(["gate", "--baseline", "baseline.json"])
    assert ended.value.code == 1


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


def refused(words, capsys):
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        main(words)
    return capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
@pytest.mark.parametrize(
    "words",
    [
        ["gate", "--write-baseline"],
        ["submit", "lthbench-report", "--out"],
        ["calibrate", "lthbench-report", "--out"],
        ["store", "export"],
    ],
)
def test_what_is_no_file_of_its_kind_is_not_replaced(folder, words, capsys):
    os.mkfifo(folder / "pipe.zip")
    (folder / "lost.zip").symlink_to("nowhere")
    (folder / "run.json").write_bytes((folder / "lthbench-report" / "run.json").read_bytes())
    if words[0] == "calibrate":  # what is asked for first: dense networks alone
        words = ["calibrate", "--task", "digits-r8", "--budget", "quick", "--seeds", "1000-1009", "--out"]
    assert "is no file but a device or a pipe" in refused([*words, "pipe.zip"], capsys)
    assert "is a link to what is not there" in refused([*words, "lost.zip"], capsys)
    if words[0] != "store":
        said = refused([*words, "run.json"], capsys)
        assert "run.json: is there, and lthbench did not write it as a" in said
    assert (folder / "pipe.zip").is_fifo()
    assert (folder / "run.json").read_bytes() == (folder / "lthbench-report" / "run.json").read_bytes()


def test_a_baseline_replaces_one_and_with_force_anything(folder, capsys):
    main(["gate", "--write-baseline", "baseline.json"])
    (folder / "mine.json").write_text("{}")
    assert "did not write it as a baseline" in refused(["gate", "--write-baseline", "mine.json"], capsys)
    main(["gate", "--write-baseline", "mine.json", "--force"])
    assert (folder / "mine.json").read_bytes() == (folder / "baseline.json").read_bytes()


@pytest.mark.parametrize(
    "words", [["--json"], ["--rule", "noninferior"], ["--elsewhere"], ["--summary", "s.md"]]
)
def test_what_no_baseline_is_written_by_is_refused_beside_it(folder, words, capsys):
    said = refused(["gate", "--write-baseline", "other.json", *words], capsys)
    assert f"Error: {words[0]} beside --write-baseline" in said
    assert not (folder / "other.json").exists()
    assert not (folder / "s.md").exists()


def test_a_score_between_the_two_tolerances_holds_elsewhere_alone(folder, made_table, capsys):
    """Worse by more than its tolerance, and by less than that for other machines."""
    base = json.loads((folder / "baseline.json").read_text())
    entry = next(e for e in base["scores"] if (e["method"], e["score"]) == ("imp", "accuracy"))
    entry["tolerance"], entry["elsewhere"] = 0.01, 0.05
    (folder / "baseline.json").write_text(json.dumps(base))
    table, facts = made_table(("imp",), seeds=2, sparsities=(0.5,))
    table.loc[(table["method"] == "imp") & (table["score"] == "accuracy"), "value"] -= 0.03
    report.write(table, facts, folder / "lthbench-report", formats=("csv",))
    with pytest.raises(SystemExit, match="1"):
        main(["gate", "--baseline", "baseline.json"])
    assert "1 score does not hold" in capsys.readouterr().out
    main(["gate", "--baseline", "baseline.json", "--elsewhere", "--json"])
    assert json.loads(capsys.readouterr().out)["elsewhere"] is True
    there = ({**facts.environments[0], "device": "cpu: another"},)
    other = dataclasses.replace(facts, environments=there)
    report.write(table, other, folder / "lthbench-report", formats=("csv",))
    main(["gate", "--baseline", "baseline.json"])
    said = capsys.readouterr().out
    assert "hold against the baseline." in said
    assert "The baseline is of another kind of device or version of PyTorch" in said
    table.loc[(table["method"] == "imp") & (table["score"] == "accuracy"), "value"] -= 0.03
    report.write(table, other, folder / "lthbench-report", formats=("csv",))
    with pytest.raises(SystemExit, match="1"):
        main(["gate", "--baseline", "baseline.json"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is full")
def test_a_summary_on_a_full_disk_is_no_regression(folder, capsys):
    said = refused(["gate", "--baseline", "baseline.json", "--summary", "/dev/full"], capsys)
    assert said == "Error: --summary /dev/full: cannot be written: No space left on device.\n"


def test_by_noninferior_the_shell_the_summary_and_json_say_where_there_is_not_enough_data(
    folder, made_table, capsys
):
    table, facts = made_table(("imp",), seeds=1, sparsities=(0.5,))
    report.write(table, facts, folder / "lthbench-report", formats=("csv",))
    main(["gate", "--baseline", "baseline.json"])
    assert "hold against the baseline, by 1 of its 2 seeds alone." in capsys.readouterr().out.splitlines()[0]
    words = ["gate", "--baseline", "baseline.json", "--rule", "noninferior", "--summary", "s.md"]
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit, match="1"):
            main([*words, *more])
        said = capsys.readouterr().out
        if more:
            assert {s["finding"] for s in json.loads(said)["scores"]} == {"not enough data"}
        else:
            assert ", by 1 of its 2 seeds alone. None is shown to be worse; for" in said.splitlines()[0]
            assert "not enough data: one seed in both, and a test needs two or more" in said
    assert "None is shown to be worse" in (folder / "s.md").read_text()


def test_a_report_that_is_not_finished_is_told_and_makes_no_baseline(folder, made_table, capsys):
    table, facts = made_table(("imp",), seeds=2, sparsities=(0.5,))
    late = (table["method"] == "imp") & (table["seed"] == 1)
    table.loc[late, ["value", "status", "reason"]] = [float("nan"), "missing", "not run"]
    report.write(table, facts, folder / "unfinished", formats=("csv",))
    said = refused(["gate", "--report", "unfinished", "--write-baseline", "new.json"], capsys)
    assert "the table is not finished" in said
    assert facts.command in said
    assert not (folder / "new.json").exists()
    with pytest.raises(SystemExit, match="1"):
        main(["gate", "--report", "unfinished", "--baseline", "baseline.json", "--summary", "s.md"])
    for told in (capsys.readouterr().out, (folder / "s.md").read_text()):
        assert "measured for 1 of 2 seeds so far" in told
        assert "This table is not finished: 3 of 4 networks have all their scores" in told
    main(["gate", "--report", "lthbench-report", "--baseline", "baseline.json"])
    assert "not finished" not in capsys.readouterr().out
