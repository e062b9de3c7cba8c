"""A small run of the default task, and the bundle of it."""

import pytest

from lthbench import api, report
from lthbench.planning import request
from lthbench.store import LocalStore
from lthbench.submission import bundle


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """A small run of the default task, its report and its store."""
    root = tmp_path_factory.mktemp("run")
    asked = request.ask(
        "digits-r8", ["omp"], [0.59], seeds=2, metrics=["accuracy", "ece", "nll"], budget="quick"
    )
    outcome = api.execute(asked, api.RunOptions(store=root / "store", device="cpu"))
    report.write(outcome.table, outcome.facts, root / "report", formats=("csv",))
    return root


@pytest.fixture(scope="session")
def whole(run):
    path = run / "new" / "folder" / "bundle.zip"
    assert bundle.write(run / "report", LocalStore(run / "store"), path) == 12
    return path
