"""A run that is killed, interrupted or hurt continues where it was, and ends with the same bytes."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lthbench import api
from lthbench.cli import main
from lthbench.engines import local, local_worker, pool
from lthbench.planning import request
from lthbench.planning.plan import plan
from lthbench.report import write
from lthbench.spec import Step, Train
from lthbench.store import LocalStore

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="looks at processes through /proc"),
]

METHODS, METRICS = ["imp", "omp"], ["accuracy", "mce", "fgsm"]
REQUEST = ("--methods", ",".join(METHODS), "--metrics", ",".join(METRICS))
#: Networks trained one by one, or four as one.
STACKED = pytest.mark.parametrize(
    "more",
    [
        pytest.param((), id="apart"),
        pytest.param(("--stack", "4"), id="stacked", marks=pytest.mark.slow),
    ],
)


def launch(
    folder: Path, task: str, *more: str, report: str = "report", workers: int = 1, seeds: int = 1
) -> subprocess.Popen[str]:
    """The command, started in a session of its own, with its store in ``folder``."""
    command = [sys.executable, "-m", "lthbench", "run", "--task", task, "--store", str(folder / "store")]
    command += ["--report", str(folder / report), "--workers", str(workers), "--device", "cpu"]
    return subprocess.Popen(
        [*command, "--seeds", str(seeds), *REQUEST, *more],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Its exit code and what it said on stderr."""
    said = process.communicate(timeout=240)[1]
    return process.returncode, said


def session(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, number, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(number) == leader and state != "Z":
            found.append(int(folder.name))
    return found


def workers_of(leader: int) -> list[int]:
    """The worker processes of a run."""
    found = []
    for pid in session(leader):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue
        if "spawn_main" in command:
            found.append(pid)
    return found


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.02)
    return done()


def steps_done(folder: Path) -> int:
    """Without the lines of trainings on their way."""
    log = folder / "store" / "events.jsonl"
    return log.read_bytes().count(b'"key": ') if log.exists() else 0


def far_enough(folder: Path, steps: int, process: subprocess.Popen[str]) -> bool:
    """Whether a run did so many steps, or ended."""
    return steps_done(folder) >= steps or process.poll() is not None


def gone(process: subprocess.Popen[str]) -> bool:
    """Whether no process of a run is left."""
    return not session(process.pid)


def whole(folder: Path, task: str, seeds: int = 1) -> bool:
    """Whether everything that stands among the artefacts matches its hashes."""
    store, asked = LocalStore(folder / "store"), request.ask(task, METHODS, seeds=seeds, metrics=METRICS)
    stored = [s for s in plan(asked, ()).steps if store.place(s.key).exists()]
    return bool(stored) and all(store.intact(s) for s in stored)


def kill_and_continue(
    folder: Path, task: str, expected: bytes, kills: int, seed: int, most: int, seeds: int = 1
) -> list[str]:
    """Kill a run so many times, each a little later than the last; then let it end. What was killed when."""
    draw, killed = random.Random(seed), []
    for trial in range(kills):
        before, early, group = steps_done(folder), trial % 4 == 0, trial % 3 == 2
        process = launch(folder, task, seeds=seeds)
        if early:
            time.sleep(draw.uniform(0.0, 4.0))
        else:
            wanted = before + draw.randint(1, most)
            wait_until(partial(far_enough, folder, wanted, process), 120)
            time.sleep(draw.uniform(0.0, 0.1))
        assert process.poll() is None, "the run ended before it could be killed"
        killed.append(f"{'group' if group else 'main'} after {steps_done(folder) - before} steps")
        (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        process.communicate()
        assert wait_until(partial(gone, process), 30), "a worker outlived its parent"
    process = launch(folder, task, seeds=seeds)
    code, said = finished(process)
    assert code == 0, said
    assert wait_until(partial(gone, process), 10)
    assert (folder / "report" / "scores.csv").read_bytes() == expected
    assert whole(folder, task, seeds)
    assert not (folder / "store" / "damaged").exists()
    return killed


def undisturbed(task: str, folder: Path, seeds: int = 1) -> bytes:
    """The table of a run in this process that nothing happens to."""
    asked = request.ask(task, METHODS, seeds=seeds, metrics=METRICS)
    outcome = api.execute(asked, api.RunOptions(store=folder / "store", device="cpu"))
    write(outcome.table, outcome.facts, folder / "report", formats=("csv",))
    return (folder / "report" / "scores.csv").read_bytes()


@pytest.fixture(scope="module")
def expected(tiny_task, tmp_path_factory) -> bytes:
    return undisturbed(tiny_task, tmp_path_factory.mktemp("undisturbed"))


def test_a_run_killed_three_times_ends_with_the_same_table(tmp_path, tiny_task, expected):
    killed = kill_and_continue(tmp_path, tiny_task, expected, kills=3, seed=1, most=12)
    assert [k.split()[0] for k in killed] == ["main", "main", "group"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_run_killed_two_dozen_times_ends_with_the_same_table(tmp_path, tiny_task, capsys):
    text = Path(tiny_task).read_text(encoding="utf-8")
    text = text.replace("epochs = 2\n", "epochs = 8\n").replace("images = 320\n", "images = 0\n")
    task = tmp_path / "longer.toml"
    task.write_text(text, encoding="utf-8")
    table = undisturbed(str(task), tmp_path / "undisturbed", seeds=2)
    killed = kill_and_continue(tmp_path, str(task), table, kills=24, seed=2, most=4, seeds=2)
    assert len(killed) == 24
    with capsys.disabled():
        print(f"\n{len(killed)} kills: {', '.join(killed)}")


@STACKED
def test_two_runs_at_once_on_one_store_end_with_the_same_table(tmp_path, tiny_task, expected, more):
    both = [launch(tmp_path, tiny_task, *more, report=name, workers=0) for name in ("one", "two")]
    for process in both:
        code, said = finished(process)
        assert code == 0, said
    assert (tmp_path / "one" / "scores.csv").read_bytes() == expected
    assert (tmp_path / "two" / "scores.csv").read_bytes() == expected
    assert whole(tmp_path, tiny_task)


def test_a_run_that_is_told_to_terminate_finishes_its_steps_like_an_interrupted_one(tmp_path, tiny_task):
    process = launch(tmp_path, tiny_task)
    assert wait_until(lambda: steps_done(tmp_path) > 0, 120)
    os.kill(process.pid, signal.SIGTERM)  # as a supervisor does
    code, said = finished(process)
    assert code == 130, said
    assert "finishing the steps in progress" in said
    assert "Continue with the same command" in said
    assert wait_until(partial(gone, process), 10)


@STACKED
def test_an_interrupted_run_says_how_to_continue_and_does(tmp_path, tiny_task, expected, more):
    process = launch(tmp_path, tiny_task, *more)
    assert wait_until(lambda: steps_done(tmp_path) > 0, 120)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all processes of the command
    code, said = finished(process)
    assert code == 130, said
    assert "finishing the steps in progress" in said
    assert f"What was finished is in {tmp_path / 'store'}. Continue with the same command." in said
    assert "Traceback" not in said
    assert not (tmp_path / "report").exists()
    assert wait_until(partial(gone, process), 10)
    before = steps_done(tmp_path)
    code, said = finished(launch(tmp_path, tiny_task))
    assert code == 0, said
    assert f"{before} stored or not needed" in said or steps_done(tmp_path) > before
    assert (tmp_path / "report" / "scores.csv").read_bytes() == expected


@pytest.fixture
def long_task(tiny_task, tmp_path):
    """The tiny task with trainings of 40 epochs."""
    text = Path(tiny_task).read_text(encoding="utf-8").replace("epochs = 2\n", "epochs = 40\n", 1)
    path = tmp_path / "long.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_an_interrupt_leaves_a_training_that_the_same_command_takes_up(long_task, tmp_path, capsys):
    more = ("--methods", "omp", "--rounds", "1", "--metrics", "accuracy")
    store = LocalStore(tmp_path / "store")
    for wait in (0.3, 0.6, 1.2, 2.4, 4.8):  # once it comes while a network trains
        process = launch(tmp_path, long_task, *more)
        assert wait_until(lambda: steps_done(tmp_path) > 0, 120)
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGTERM)  # as a scheduler does, to all processes of the command
        code, said = finished(process)
        assert code == 130, said
        assert "trainings to the end of their epoch" in said
        assert wait_until(partial(gone, process), 10)
        if store.saved():
            break
    assert len(store.saved()) == 1
    main(["store", "--store", str(store.root)])
    shown = capsys.readouterr().out
    assert re.search(r"savepoints +1 ", shown)
    assert "asked for again, they go on from there" in shown
    code, said = finished(launch(tmp_path, long_task, *more))
    assert code == 0, said
    assert store.saved() == {}
    asked = request.ask(long_task, ["omp"], rounds=[1], seeds=1, metrics=["accuracy"])
    trained = [s for s in plan(asked, ()).steps if isinstance(s, Train)]
    assert [0 < store.meta(s).get("resumed_after", 0) < 40 for s in trained].count(True) == 1
    outcome = api.execute(asked, api.RunOptions(store=tmp_path / "other", device="cpu"))
    again = api.execute(asked, api.RunOptions(store=store.root, device="cpu"))
    assert outcome.table.equals(again.table)


@STACKED
def test_a_run_outlives_the_death_of_a_worker(tmp_path, tiny_task, expected, more):
    process = launch(tmp_path, tiny_task, *more, workers=2)
    assert wait_until(lambda: steps_done(tmp_path) > 0, 120)
    victim = workers_of(process.pid)[0]
    os.kill(victim, signal.SIGKILL)
    code, said = finished(process)
    assert code == 0, said
    assert (tmp_path / "report" / "scores.csv").read_bytes() == expected


METRIC = """
from lthbench.kinds import Metric, Score, Value

def measure(context):
    raise ValueError("kaboom")

METRIC = Metric("explodes", 1, "t", "f", "s", (Score("explodes", "E", "", True, 0.0, 1.0, "geometry"),),
                ("test",), measure)
"""


def test_a_measure_that_raises_is_reported_and_the_others_are_done(tmp_path, tiny_task, capfd):
    path = tmp_path / "explodes.py"
    path.write_text(METRIC, encoding="utf-8")
    words = ["run", "--task", tiny_task, "--methods", "omp", "--rounds", "1", "--metrics", f"accuracy,{path}"]
    words += ["--store", str(tmp_path / "store"), "--report", str(tmp_path / "report")]
    with pytest.raises(SystemExit) as end:
        main([*words, "--workers", "1", "--device", "cpu"])
    assert end.value.code == 1
    said = capfd.readouterr().err
    assert said.count("failed: metric explodes: ValueError: kaboom") >= 1
    assert "Traceback" not in said
    rows = (tmp_path / "report" / "scores.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert sorted(("explodes" in r, ",failed,ValueError: kaboom," in r, ",ok," in r) for r in rows) == [
        (False, False, True),
        (False, False, True),
        (True, True, False),
        (True, True, False),
    ]


def test_a_pool_found_dead_when_work_is_given_to_it_is_replaced(tmp_path, tiny_task, monkeypatch):
    from concurrent.futures import Future
    from concurrent.futures.process import BrokenProcessPool

    from lthbench.execution.runner import Runner

    class Alive:
        """Works at once, in this thread: another would see the engine change signal handlers beside it."""

        def submit(self, do: Any, *work: Any) -> Future[Any]:
            done: Future[Any] = Future()
            done.set_result(do(*work))
            return done

        def shutdown(self, **how: bool) -> None:
            pass

    class Dead(Alive):
        def submit(self, do: Any, *work: Any) -> Future[Any]:
            raise BrokenProcessPool("dead")

    store = LocalStore(tmp_path / "store")
    store.open()
    monkeypatch.setattr(local_worker, "_runner", Runner(store, ()))
    pools = [Dead(), Alive()]
    monkeypatch.setattr(pool.Pool, "_made", lambda self: pools.pop(0))
    made = plan(request.ask(tiny_task, [], metrics=["accuracy"]), ())
    assert local.Local(1).run(made.steps, store, ()) == {}
    assert all(store.intact(m) for e in made.entries for m in e.measures)
    assert pools == []


def test_an_interrupt_in_this_process_keeps_what_was_finished(tmp_path, tiny_task, monkeypatch):
    from lthbench.execution.runner import Runner

    do, calls = Runner.do, []

    def interrupted(self: Runner, steps: Sequence[Step], *more: Any, **how: Any) -> object:
        calls.append(steps)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return do(self, steps, *more, **how)

    asked = request.ask(tiny_task, ["omp"], metrics=["accuracy"])
    monkeypatch.setattr(Runner, "do", interrupted)
    with pytest.raises(KeyboardInterrupt):
        api.execute(asked, api.RunOptions(store=tmp_path / "store", device="cpu"))
    done = steps_done(tmp_path)
    assert done >= 3
    monkeypatch.undo()
    outcome = api.execute(asked, api.RunOptions(store=tmp_path / "store", device="cpu"))
    assert set(outcome.table["status"]) <= {"ok", "degenerate"}
    keys = [e["key"] for e in LocalStore(tmp_path / "store").events() if "key" in e]
    assert len(keys) == len(set(keys)) > done


def interrupted_while_starting():
    """What a process that is started says of an interrupt of its own, after one that came before it."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('deaf')"
    with pool.deaf_to_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        born = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert born.stdout == "deaf\n"


def test_an_interrupt_while_a_worker_is_started_is_not_lost():
    with pytest.raises(KeyboardInterrupt):
        interrupted_while_starting()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
