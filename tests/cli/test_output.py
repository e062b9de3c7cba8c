"""What is said when a report takes the place of another."""

import json

import pytest

from lthbench.cli import output


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
