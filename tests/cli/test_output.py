"""What a run says beside its results."""

import pytest

from lthbench import api
from lthbench.cli import foresight, output
from lthbench.planning import summary
from lthbench.planning.estimate import Estimate


@pytest.mark.parametrize(
    ("looks", "progress", "said"),
    [
        ([60.0], "plain", "done   in 0 s; planned were 60 s to 2 min"),
        ([60.0, 240.0], "plain", "done   in 0 s; planned were 5-10 min"),
        ([], "plain", ""),
        ([60.0], "none", ""),
    ],
)
def test_a_run_says_what_it_took_beside_what_was_planned(monkeypatch, capsys, looks, progress, said):
    """Looks after the first are planned one by one; where all is stored there is nothing to compare."""

    def execute(asked, options, announce, brought, *, controls, held):
        announce(None, [], Estimate(0.0, 0.0, 0.0, True), 2)
        for low in looks:
            announce(None, ["a step"], Estimate(low, 2 * low, 0.0, True), 2)
        return "outcome"

    monkeypatch.setattr(api, "execute", execute)
    monkeypatch.setattr(summary, "header", lambda *words: "")
    monkeypatch.setattr(foresight, "of_plan", lambda made: None)
    assert output.execute(None, api.RunOptions(progress=progress)) == "outcome"
    assert capsys.readouterr().err.strip() == said
