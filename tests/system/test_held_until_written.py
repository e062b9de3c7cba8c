"""Nobody deletes what is stored before the report of it is written."""

from types import SimpleNamespace

import pytest

from lthbench import api
from lthbench.cli import main, output
from lthbench.results import run_facts, table
from lthbench.store import LocalStore


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store that lacks nothing of what is asked for, as it is said."""
    store = LocalStore(tmp_path / "store")
    store.open()
    monkeypatch.setattr(api, "missing", lambda made, store, told, **how: [])
    monkeypatch.setattr(run_facts, "facts", lambda *given: SimpleNamespace())
    monkeypatch.setattr(table, "build", lambda made, store, failures: "the table")
    return store


def at_work(store: LocalStore) -> list[str]:
    return [str(found["what"]).split()[0] for found in store.leases().others()]


def test_a_run_is_at_work_until_its_report_is_written(store, tiny_task, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(api.Outcome, "report", lambda outcome, folder: seen.append(at_work(store)))
    how = {"methods": ["omp"], "seeds": 1, "store": store.root}
    assert api.run(tiny_task, **how, report=tmp_path / "report") == "the table"
    assert seen == [["run"]]
    assert at_work(store) == []


def test_so_is_the_command(store, tiny_task, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        output, "show", lambda outcome, *rest, **more: seen.append((outcome.table, at_work(store)))
    )
    words = ["--methods", "omp", "--seeds", "1", "--report", str(tmp_path / "report"), "--progress", "none"]
    main(["run", "--task", tiny_task, *words, "--store", str(store.root)])
    assert seen == [("the table", ["run"])]
    assert at_work(store) == []


def test_a_program_that_keeps_no_hold_is_at_work_until_it_has_the_outcome(store, tiny_task):
    from lthbench.planning.request import ask

    outcome = api.execute(ask(tiny_task, ["omp"], seeds=1), api.RunOptions(store=store.root))
    assert outcome.failures == {}
    assert at_work(store) == []
