"""What is said when a report takes the place of another."""

import json

import pytest

from lthbench.cli import main, output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"command": "lthbench run a"}, ""),
        ({"command": "lthbench run b"}, "lthbench run b"),
        ({}, ""),
        ([], ""),
    ],
)
def test_another_request_is_told_by_its_command(tmp_path, content, said):
    (tmp_path / "run.json").write_text(json.dumps(content))
    assert output._other_request(tmp_path, "lthbench run a") == said


def test_an_empty_folder_holds_no_request(tmp_path):
    assert output._other_request(tmp_path, "lthbench run a") == ""
    (tmp_path / "run.json").write_text("no JSON")
    assert output._other_request(tmp_path, "lthbench run a") == ""


def test_a_run_says_that_it_replaces_the_report_of_another(tmp_path, made_table, monkeypatch, capsys):
    """And says nothing where it is the same request again."""
    from types import SimpleNamespace

    from lthbench import api

    table, facts = made_table(("imp",), seeds=2, sparsities=(0.5,))
    monkeypatch.setattr(api, "write_report", lambda *_: [])
    outcome = SimpleNamespace(table=table, facts=facts, failures={})
    (tmp_path / "run.json").write_text(json.dumps({"command": facts.command}))
    output.show(outcome, tmp_path, None)
    assert "another request" not in capsys.readouterr().err
    (tmp_path / "run.json").write_text(json.dumps({"command": "lthbench run --task other"}))
    output.show(outcome, tmp_path, None)
    said = capsys.readouterr().err
    assert "another request, which this one replaces:\n  lthbench run --task other" in said


@pytest.mark.parametrize(("seeds", "said"), [("1000", True), ("100", True), ("99", False), ("1000,", False)])
def test_a_large_count_of_seeds_is_said_for_it_may_be_meant_as_one_seed(
    tiny_task, tmp_path, capsys, seeds, said
):
    main(["plan", "--task", tiny_task, "--seeds", seeds, "--store", str(tmp_path / "store"), "--json"])
    told = capsys.readouterr()
    last = int(seeds.strip(",")) - 1
    words = f"{last + 1} seeds: 0 to {last}; one seed alone is written {last + 1},\n"
    assert told.err == (words if said else "")
    assert json.loads(told.out)["request"]["seeds"][-1] == (last if "," not in seeds else last + 1)
