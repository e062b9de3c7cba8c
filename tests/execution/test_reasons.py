"""Why something failed is read back from the table of scores, whatever a library says of it."""

import pytest

from lthbench import registry
from lthbench.data import loading
from lthbench.errors import StepFailed
from lthbench.execution import measure, runner
from lthbench.formatting import one_line
from lthbench.kinds import Metric, Score, Value
from lthbench.results import rows, table
from lthbench.spec import Inputs, Measure
from lthbench.store import LocalStore
from lthbench.store.artifacts import SCORES

SCORE = Score("rude", "rude", "fraction", True, 0.0, 1.0, "geometry")


@pytest.fixture
def run(tmp_path):
    found = runner.Runner(LocalStore(tmp_path / "store"), ())
    found.store.open()
    return found


@pytest.fixture
def read_back(tmp_path, made_table):
    """The reason that is read from a table which was written with another."""

    def through(reason):
        scores, facts = made_table(["imp"], seeds=1, sparsities=(0.5,))
        scores["reason"] = [reason] * len(scores)
        table.write(scores.astype(table.COLUMNS), facts, tmp_path)
        return table.read(tmp_path)[0]["reason"][0]

    return through


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RuntimeError("10%\r20%"), "RuntimeError: 10% 20%"),
        (OSError("no \udcff.png"), r"OSError: no \udcff.png"),
        (RuntimeError("in load:\n\tsize of a"), "RuntimeError: in load: size of a"),
        (StepFailed("nul \0"), r"nul \u0000"),
        (StepFailed("@home"), "reason: @home"),
        (StepFailed(""), "no reason was given"),
    ],
)
def test_that_of_a_step_is_read_back(run, init, read_back, monkeypatch, error, said):
    def fails(*given):
        raise error

    monkeypatch.setattr(runner, "do", fails)
    monkeypatch.setattr(runner, "runs_plugins", lambda step: True)
    reason = run.do([init])[init.key]
    assert one_line(reason)
    assert read_back(reason) == reason == said


def test_that_of_a_score_is_read_back(run, init, read_back, monkeypatch):
    values = [Value("rude", float("nan"), 0.0, 1, "", "no \udcff.png:\r@home")]
    metric = Metric("rude", 1, "rude", "f", "s", (SCORE,), ("test",), lambda context: values)
    monkeypatch.setattr(
        registry, "get", lambda kind, name, get=registry.get: metric if name == "rude" else get(kind, name)
    )
    inputs = Inputs(loading.identify("digits", ()), "test", 20, "clean", 1)
    step = Measure("rude", "1", init, (("test", inputs),))
    assert run.do([init]) == {}
    monkeypatch.setattr(measure, "_degenerate", lambda *given: [])
    assert run.do([step]) == {}
    (value,) = SCORES.read(run.store, step)["values"]
    assert read_back(value["reason"]) == value["reason"] == r"no \udcff.png: @home"


@pytest.mark.parametrize(("stored", "said"), [("=1+1", "reason: =1+1"), ("10%\r20%", "10% 20%"), ("", "")])
def test_that_which_an_earlier_version_stored_is_read_back(stored, said):
    row = rows._told(None, SCORE, "", {"value": 0.5, "se": None, "n": 1, "reason": stored})
    assert row.reason == said
