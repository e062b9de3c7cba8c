"""The local engine's workers: what they are told, and what they refuse."""

import signal
from pathlib import Path

import pytest

import lthbench
from lthbench.engines import local, local_worker
from lthbench.engines.local import Local
from lthbench.engines.queue import known, skipped
from lthbench.errors import BadInput
from lthbench.kinds.origins import OwnFile
from lthbench.planning import request
from lthbench.planning.plan import plan
from lthbench.spec import Data, Explain, Init, Inputs, Measure, Predict
from lthbench.store import LocalStore
from lthbench.training import savepoints


def test_a_worker_that_finds_another_file_of_plugins_does_nothing_and_says_so(tmp_path, monkeypatch):
    for name in ("_runner", "_flag", "_unfit"):
        monkeypatch.setattr(local_worker, name, None)
    monkeypatch.setattr(signal, "signal", lambda number, how: None)  # this process goes on
    (tmp_path / "mine.py").write_text("METHOD = None\n")
    LocalStore(tmp_path / "store").open()
    files = (OwnFile("Method", str(tmp_path / "mine.py"), "0" * 64),)
    local_worker.begin(str(tmp_path / "store"), (), "cpu", 1, files, None)
    with pytest.raises(BadInput, match="another file than when the run was planned"):
        local_worker.work([], {})


def test_one_process_tells_of_the_epochs_of_a_training_too(tiny_task, tmp_path, monkeypatch):
    monkeypatch.setattr(savepoints, "TELL_EVERY", 0.0)
    monkeypatch.setattr(local, "LOOK_EVERY", 0.0)
    long = (tmp_path / "long.toml", Path(tiny_task).read_text().replace("epochs = 2\n", "epochs = 5\n", 1))
    long[0].write_text(long[1])
    made = plan(request.ask(str(long[0]), ["omp"], rounds=[1], metrics=["accuracy"]), ())
    store = LocalStore(tmp_path / "store")
    store.open()
    told = []
    assert (
        Local(0).run(made.steps, store, (), stepped=lambda step, share: told.append((step.key, share))) == {}
    )
    dense = next(e.network.key for e in made.entries if e.method == "dense")
    assert [share for key, share in told if key == dense] == [0.2, 0.4, 0.6, 1.0]


def test_controls_have_names(tiny_task):
    made = plan(request.ask(tiny_task, ["omp"], rounds=[1], metrics=["gini"]), ())
    control = next(m.subject.key for e in made.entries for _, m in e.controls)
    assert made.labels()[control] == "untrained network seed 0"


def test_of_a_job_only_what_needs_a_failed_step_is_not_done(network, init):
    digits = Data("digits", 1, "0" * 64)
    dense, inputs = Init(network, 1), Inputs(digits, "test", 0, "clean", 1)
    explain, predict = Explain(init, inputs, dense), Predict(init, inputs)
    failed = {Predict(dense, inputs).key: "diverged"}
    assert skipped([explain, predict], failed) == {}
    assert known([explain, predict], failed) == failed
    drift = Measure("drift", "1", init, (), dense, maps=(("maps", inputs),))
    assert explain in drift.needs()
    both = skipped([explain, drift], failed)
    assert both == {explain.key: "diverged", drift.key: "diverged"}
    assert skipped([explain, drift, predict], failed | {init.key: "no room"})[predict.key] == "no room"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_run_that_is_stopped_ends_a_program_that_goes_on_after_errors(
    tmp_path, tiny_task, monkeypatch, workers
):
    def stopped(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(local._Crew, "give", stopped)
    monkeypatch.setattr(local, "_in_process", stopped)
    with pytest.raises(KeyboardInterrupt) as end:
        lthbench.run(tiny_task, ["omp"], metrics=["gini"], store=tmp_path, device="cpu", workers=workers)
    assert not isinstance(end.value, Exception)
