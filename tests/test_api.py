"""Arguments of another type: each function says which one it is and what would do, and nothing is done."""

import pytest

import lthbench
from lthbench.errors import BadInput
from lthbench.report.outcome import Outcome

WRONG = [3, 1.5, True, b"x", object(), [3], {"a": 1}, [None]]


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("task", "task: expected a name or a path"),
        ("report", "report: expected a folder, got"),
        ("pretrained", "pretrained: expected a file or the id of a repository"),
        ("data", "data: expected a folder"),
        ("store", "store: expected a folder or a URL"),
    ],
)
def test_run_names_what_is_no_path(tmp_path, monkeypatch, argument, value, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInput, match=said):
        lthbench.run(**{argument: value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [3, 1.5, True, b"x", object(), [3], [None]])
@pytest.mark.parametrize("function", [lthbench.run, lthbench.read, lthbench.score])
def test_plugins_are_a_path_or_a_list_of_paths(tmp_path, function, value):
    with pytest.raises(BadInput, match="plugins: expected a list of files, got"):
        function(tmp_path, plugins=value)


@pytest.mark.parametrize("value", WRONG)
def test_read_names_what_is_no_path(value):
    with pytest.raises(BadInput, match="path: expected the folder of a report, or a bundle, got"):
        lthbench.read(value)


@pytest.mark.parametrize("value", WRONG)
def test_what_is_read_says_what_it_takes(made_table, tmp_path, value):
    scores, facts = made_table(("imp",))
    found = Outcome(scores, facts, {}, source=tmp_path)
    with pytest.raises(BadInput, match=r"^rule: expected a text, got"):
        found.verdict(rule=value)
    with pytest.raises(BadInput, match=r"^other: expected what lthbench\.read gives, got"):
        found.compare(value)
    with pytest.raises(BadInput, match=r"^folder: expected a folder, got"):
        found.report(value)
    with pytest.raises(BadInput, match=r"^(formats: expected a list of names, got|no format)"):
        found.report(tmp_path / "out", formats=value)
    assert list(tmp_path.iterdir()) == []
