"""Of several reports, the one that was edited is named."""

from pathlib import Path

import pytest

from lthbench import report
from lthbench.cli import main, options
from lthbench.errors import BadInput
from lthbench.report import summary


@pytest.mark.parametrize("odd", ["first", "second"])
def test_the_report_that_was_edited_is_named(tmp_path, made_table, monkeypatch, capsys, odd):
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        table, facts = made_table(("imp",), name, seeds=2, sparsities=(0.5,))
        report.write(table, facts, tmp_path / name, formats=("csv",))

    def summarise(table, facts, rule=None):
        if facts.task_name == odd:
            raise OverflowError
        return whole(table, facts, rule)

    whole = summary.summarise
    monkeypatch.setattr(summary, "summarise", summarise)
    with pytest.raises(SystemExit, match="2"):
        main(["report", "first", "second", "--out", "site", "--format", "json"])
    assert f"Error: {odd}: run.json and scores.csv are not as a run wrote them" in capsys.readouterr().err


@pytest.mark.parametrize(("odd", "named"), [((0,), "a"), ((1,), "b"), ((), "a or b")])
def test_where_each_by_itself_is_whole_both_are_named(odd, named):
    def alone(place):
        if place in odd:
            raise KeyError(place)

    with (
        pytest.raises(BadInput, match=f"^{named}: run.json"),
        options.as_a_run_wrote_it(Path("a"), Path("b"), alone=alone),
    ):
        raise ValueError
